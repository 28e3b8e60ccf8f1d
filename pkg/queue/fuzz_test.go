package queue

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func seeds(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/postfix/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no samples: %v", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("N\xff\xff\xff\xff\x7f"))
	f.Add([]byte("\x00\x00"))
	f.Add(AppendRecord(nil, RecPtr, AppendFixed(nil, 0)))
}

func FuzzRecords(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewRecordReader(bytes.NewReader(data))
		var again []byte
		for {
			rec, err := r.Next()
			if err != nil {
				if err != io.EOF && !errors.Is(err, ErrCorrupt) {
					t.Fatal(err)
				}
				break
			}
			if rec.Offset+int64(len(rec.Data)) > int64(len(data)) {
				t.Fatalf("record beyond the input: %+v", rec)
			}
			again = AppendRecord(again, rec.Type, rec.Data)
		}
		if len(again) > len(data) {
			t.Errorf("%d bytes became %d", len(data), len(again))
		}
		fr := NewFileReader(bytes.NewReader(data), int64(len(data)))
		for {
			if _, err := fr.NextFollow(); err != nil {
				break
			}
		}
	})
}

func FuzzMessage(f *testing.F) {
	seeds(f)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, data, 0o700); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		b, err := new(Buffers).Body(file, 0)
		if err == nil {
			err = b.WriteTo(io.Discard, "", "\n")
		}
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		m, err := Open("", Options{}).OpenPath(Incoming, "ABCDE1", path)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		defer m.Close()
		count := 0
		for off := int64(0); ; {
			rcpts, next, err := m.Recipients(off, 2)
			if err != nil {
				break
			}
			for _, r := range rcpts {
				_ = m.MarkDone(r.Offset)
			}
			if count += len(rcpts); count > len(data) || next == 0 {
				break
			}
			off = next
		}
		if err := m.Body().WriteTo(io.Discard, "", "\r\n"); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
