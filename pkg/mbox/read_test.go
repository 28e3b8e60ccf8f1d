package mbox

import (
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

func readAll(t testing.TB, text string) (out []string, err error) {
	t.Helper()
	for r := NewReader(strings.NewReader(text)); ; {
		m, err := r.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		var b bytes.Buffer
		if _, err := m.WriteTo(&b); err != nil {
			return out, err
		}
		out = append(out, m.Sender+"|"+b.String())
	}
}

func TestReader(t *testing.T) {
	text := "From a@b  Mon Jan  2 15:04:05 2006\nSubject: 1\n\n>From here\n>>From\n\n\nFrom c Tue Jan  3 15:04:05 2006\nSubject: 2\n\nFrom the start of a body\nx\nFrom no separator\n\nFrom d Wed Jan  4 15:04:05 2006\n\nlast"
	got, err := readAll(t, text)
	want := []string{"a@b|Subject: 1\n\nFrom here\n>>From\n\n", "c|Subject: 2\n\nFrom the start of a body\nx\nFrom no separator\n", "d|\nlast"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	r := NewReader(strings.NewReader(text))
	if m, err := r.Next(); err != nil || m.Time.Hour() != 15 {
		t.Errorf("%v, %v", m, err)
	}
	if m, err := r.Next(); err != nil || m.Sender != "c" {
		t.Errorf("the second without reading the first: %+v, %v", m, err)
	}
	if _, err := readAll(t, "Subject: x\n"); err == nil {
		t.Error("a file that is no mailbox was read")
	}
}

// TestReaderReadsWhatIsAppended: all that Append writes comes back.
func TestReaderReadsWhatIsAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "box")
	var want []string
	var all bytes.Buffer
	for _, body := range []string{"a\n", "Subject: x\n\nFrom y\n\nFrom z\n", "\n\n", "no end"} {
		o := Options{StrictOwner: safefile.AnyOwner, Now: func() time.Time { return time.Unix(1e9, 0) }}
		err := Append(t.Context(), new(safefile.FS), path, "s@x", o, func(w io.Writer) error {
			_, err := io.WriteString(w, body)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, "s@x|"+strings.TrimSuffix(body, "\n")+"\n")
	}
	f, _, err := new(safefile.FS).Open(path, 0, safefile.Check{Owner: safefile.AnyOwner})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := all.ReadFrom(f); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, all.String())
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q, %v", got, want, err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add("From a@b  Mon Jan  2 15:04:05 2006\nx\n\nFrom b\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := readAll(t, text)
		n := 0
		for _, m := range list {
			n += len(m)
		}
		if err == nil && n > 2*len(text)+1 {
			t.Errorf("%d bytes became %d", len(text), n)
		}
	})
}
