package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// copier copies the records that a user may submit.
type copier struct {
	w     *queue.Writer
	uid   int
	limit int64 // of the file's size; 0 is none
	warn  func(format string, args ...any)
	rules *senderRules // nil permits all

	begun          bool   // a record was seen
	senders, rcpts int    // records seen
	problem        string // why the message is refused, once it was read
	denied         string // the same, when its sender is not the user's to give
	failed         error  // the file could not be written
}

// copy reads up to the end record, also when the message will be refused, so
// that the caller does not die of a broken pipe before it gets the answer.
func (c *copier) copy(r io.Reader, lineLimit int) error {
	now := time.Now()
	// The time is ours, whatever the caller says.
	if err := c.w.Printf(queue.RecTime, "%d %d", now.Unix(), now.Nanosecond()/1000); err != nil {
		c.failed = err
	}
	in := queue.NewRecordReader(r)
	in.SetLimit(lineLimit)
	parts := []string{queue.PostEnvelopeRecords, queue.PostContentRecords, queue.PostExtractRecords}
	for part := 0; part < len(parts); {
		rec, err := in.Next()
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("malformed input: %w", err)
		}
		c.begun = true
		if strings.IndexByte(parts[part], rec.Type) < 0 {
			return fmt.Errorf("unexpected record type: %d", rec.Type)
		}
		c.record(rec, part == 1)
		if rec.Type == parts[part][0] {
			part++
		}
	}
	return nil
}

// record checks and writes one record.
func (c *copier) record(rec queue.Record, content bool) {
	if c.problem != "" || c.denied != "" || c.failed != nil {
		return
	}
	if !content {
		if c.problem = injection(rec); c.problem != "" {
			return
		}
		switch rec.Type {
		case queue.RecFrom:
			c.senders++
			if c.denied = c.rules.refuse(string(rec.Data)); c.denied != "" {
				return
			}
		case queue.RecRcpt:
			c.rcpts++
		case queue.RecAttr:
			if !c.allowed(rec.Data) {
				return
			}
		}
	}
	c.failed = c.w.Rec(rec.Type, rec.Data)
	if c.failed == nil && c.limit > 0 && c.w.Offset() > c.limit {
		c.failed = syscall.EFBIG
	}
}

// injection refuses what would become a second line in a file or log made from
// an envelope record.
func injection(rec queue.Record) string {
	i := bytes.IndexAny(rec.Data, "\x00\r\n")
	if i < 0 {
		return ""
	}
	what := "line break"
	if rec.Data[i] == 0 {
		what = "NUL"
	}
	names := map[byte]string{queue.RecFrom: "FROM", queue.RecRcpt: "RCPT", queue.RecFull: "FULL",
		queue.RecAttr: "ATTR", queue.RecVerp: "VERP"}
	name := names[rec.Type]
	if name == "" {
		name = string(rec.Type)
	}
	return what + " in " + name + " record"
}

// allowed reports whether a user may set an attribute.
func (c *copier) allowed(data []byte) bool {
	name, value, problem := queue.SplitAttr(data)
	if problem != "" {
		c.warn("uid=%d: ignoring malformed record: %s: %.200s", c.uid, problem, data)
		return false
	}
	if queue.UserAttr(name, value) {
		return true
	}
	c.warn("uid=%d: ignoring attribute record: %.200s=%.200s", c.uid, name, value)
	return false
}
