package main

import (
	"bytes"
	"io"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// FuzzCopy: whatever a user feeds to the setgid program, the file has only
// records that a user may submit, and no line breaks in its envelope.
func FuzzCopy(f *testing.F) {
	good := records("Sa@b", "Rc@d", "M", "NSubject: x", "X", "E")
	f.Add(good)
	f.Add(records("Sa@b", "Aencoding=8bit", "Asasl_username=root", "Rc@d", "M", "Na", "Lb", "X", "Rlate@d", "E"))
	f.Add(records("C1", "T1", "p0"))
	f.Add(good[:len(good)-1])
	f.Add([]byte{'S', 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, in []byte) {
		w := writer(t)
		defer w.Abort()
		c := &copier{w: w, limit: 1 << 20, warn: func(string, ...any) {}}
		err := c.copy(bytes.NewReader(in), 2048)
		if err != nil || c.problem != "" || c.failed != nil {
			return
		}
		// What was taken is what pickup would read: nothing that breaks out
		// of its record.
		r := queue.NewRecordReader(bytes.NewReader(in))
		r.SetLimit(2048)
		for content := false; ; {
			rec, err := r.Next()
			if err == io.EOF {
				t.Fatal("taken without an end record")
			}
			if err != nil {
				t.Fatalf("taken with a damaged record: %v", err)
			}
			switch {
			case rec.Type == queue.RecEnd:
				return
			case rec.Type == queue.RecMesg:
				content = true
			case rec.Type == queue.RecXtra:
				content = false
			case bytes.IndexByte([]byte("CTpDW<>"), rec.Type) >= 0:
				t.Fatalf("record %q of ours was taken from a user", rec.Type)
			case !content && bytes.ContainsAny(rec.Data, "\r\n\x00"):
				t.Fatalf("line break in record %q", rec.Type)
			}
		}
	})
}
