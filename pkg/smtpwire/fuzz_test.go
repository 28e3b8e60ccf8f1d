package smtpwire

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
)

func FuzzReadLine(f *testing.F) {
	f.Add([]byte("EHLO x\r\nMAIL\nQUIT"), 20)
	f.Fuzz(func(t *testing.T, in []byte, limit int) {
		if limit < 0 || limit > 5000 {
			return
		}
		r := NewReader(bytes.NewReader(in), nil)
		for {
			line, err := r.ReadLine(limit)
			if len(line) > limit || bytes.IndexByte(line, '\n') >= 0 {
				t.Fatalf("line %q", line)
			}
			if err != nil && err != ErrLineTooLong {
				return
			}
		}
	})
}

// endOfData finds the end mark in the plainest way, as the oracle.
func endOfData(in string) int {
	if i := strings.Index("\r\n"+in, "\r\n.\r\n"); i >= 0 {
		return i + 3
	}
	return -1
}

// FuzzReadData checks the end of data against a plain search, that the
// content does not depend on how the bytes arrive, and that what a writer
// makes of it is read back the same.
func FuzzReadData(f *testing.F) {
	for _, s := range []string{"a\r\n.\r\n", "a\n.\r\n.\r\n", "\r\r\n.\r\n", "..\r\n.\r\n", strings.Repeat("x", 2049) + "\r\n.\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, rest, err := content(t, bytes.NewReader(in), &Content{Fragment: 7})
		end := endOfData(string(in))
		if (err == nil) != (end >= 0) {
			t.Fatalf("end at %d, but err %v", end, err)
		}
		if err != nil {
			return
		}
		if rest != string(in[end:]) {
			t.Fatalf("rest %q, want %q", rest, in[end:])
		}
		slow, _, _ := content(t, iotest.OneByteReader(bytes.NewReader(in)), &Content{})
		if strings.Join(slow, "\n") != strings.Join(got, "\n") {
			t.Fatalf("%q and %q", got, slow)
		}
		var out bytes.Buffer
		w := NewWriter(&out, nil)
		for _, l := range got {
			w.ContentLine([]byte(l))
		}
		w.EndData()
		w.Flush()
		again, left, err := content(t, &out, &Content{})
		if err != nil || left != "" || len(again) != len(got) {
			t.Fatalf("written form: %q, left %q, %v", again, left, err)
		}
	})
}

func FuzzReadChunk(f *testing.F) {
	f.Add([]byte("a\r\nb\n\r\r\nc"), 3)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		if cut < 0 || cut > len(in) {
			return
		}
		read := func(sizes ...int) string {
			r := NewReader(bytes.NewReader(in), nil)
			c := &Content{Fragment: 5}
			var out bytes.Buffer
			fn := func(b []byte, eol bool) error {
				out.Write(b)
				if eol {
					out.WriteString("\r\n")
				}
				return nil
			}
			for _, n := range sizes {
				if err := r.ReadChunk(int64(n), c, fn); err != nil {
					t.Fatal(err)
				}
			}
			c.Finish(fn)
			if c.Info.Size != int64(out.Len()) {
				t.Fatalf("size %d, wrote %d", c.Info.Size, out.Len())
			}
			return out.String()
		}
		if a, b := read(len(in)), read(cut, len(in)-cut); a != b {
			t.Fatalf("%q and %q", a, b)
		}
	})
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte("250-a\r\n250 b\r\n"))
	f.Add([]byte("354\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		reply, err := NewReader(bytes.NewReader(in), nil).ReadReply()
		if err != nil {
			return
		}
		if reply.Code < 200 || reply.Code > 599 || len(reply.Lines) == 0 || strings.ContainsAny(reply.String(), "\r\n\x00") {
			t.Fatalf("%+v", reply)
		}
		reply.Status()
	})
}

func benchmarkData(b *testing.B, size int) {
	line := strings.Repeat("x", 76) + "\r\n"
	in := []byte(strings.Repeat(line, size/len(line)) + ".\r\n")
	bufs := &Buffers{}
	src := bytes.NewReader(in)
	r := NewReader(src, bufs)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(in)
		r.Reset(src)
		c := Content{}
		if err := r.ReadData(&c, func([]byte, bool) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadData4K(b *testing.B) { benchmarkData(b, 4<<10) }
func BenchmarkReadData1M(b *testing.B) { benchmarkData(b, 1<<20) }

func BenchmarkReadLine(b *testing.B) {
	in := []byte(strings.Repeat("RCPT TO:<user@example.com>\r\n", 100))
	src := bytes.NewReader(in)
	r := NewReader(src, &Buffers{})
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(in)
		r.Reset(src)
		for range 100 {
			if _, err := r.ReadLine(2048); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkContentLine(b *testing.B) {
	w := NewWriter(discard{}, &Buffers{})
	line := bytes.Repeat([]byte("x"), 76)
	b.SetBytes(78)
	b.ReportAllocs()
	for b.Loop() {
		w.ContentLine(line)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
