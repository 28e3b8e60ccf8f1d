package main

import (
	"bytes"
	"context"
	"strings"
)

// sink takes a message. Its stages are a chain: each does its part and passes
// the message on, so that a stage may change what those behind it see. The
// last one is cleanup.
type sink interface {
	// header gets the complete header. A stage may change it.
	header(ctx context.Context, h *header) error
	// body gets the lines behind the header, the empty one included. It has
	// no end of line where a line comes in parts.
	body(line []byte, eol bool)
	// end is the end of the message. An error refuses it for now.
	end(ctx context.Context) error
}

// header is the header of a message on its way through the stages.
type header struct {
	// slots are fields in front of all others whose text is known only at
	// the end: until then it has the right length in each line.
	slots []*slot
	// trace are the lines of the Received field.
	trace []string
	// fields are the fields, folded lines joined by LF, without line end.
	fields []field
	// from is the address of the author, or of who passes the message on.
	from string
}

// slot is a field, its lines joined by LF.
type slot struct{ text string }

type field struct {
	name string // lower case
	text []byte
}

// value is what stands behind the colon.
func (f *field) value() string {
	return string(f.text[bytes.IndexByte(f.text, ':')+1:])
}

// find returns the fields of a name.
func (h *header) find(name string) []*field {
	var list []*field
	for i := range h.fields {
		if h.fields[i].name == name {
			list = append(list, &h.fields[i])
		}
	}
	return list
}

func (h *header) has(name string) bool { return len(h.find(name)) > 0 }

// add appends a field.
func (h *header) add(name, value string) {
	h.fields = append(h.fields, field{strings.ToLower(name), []byte(name + ": " + value)})
}

// remove takes the fields of a name out.
func (h *header) remove(name string) {
	keep := h.fields[:0]
	for _, f := range h.fields {
		if f.name != name {
			keep = append(keep, f)
		}
	}
	h.fields = keep
}

// lines gives the lines of the header behind its slots.
func (h *header) lines(yield func([]byte) bool) {
	for _, line := range h.trace {
		if !yield([]byte(line)) {
			return
		}
	}
	for _, f := range h.fields {
		for line := range bytes.SplitSeq(f.text, []byte("\n")) {
			if !yield(line) {
				return
			}
		}
	}
}

// queueSink is cleanup.
type queueSink struct {
	h     *session
	slots []*slot
}

// header implements sink.
func (q *queueSink) header(_ context.Context, h *header) error {
	q.slots = h.slots
	sub := q.h.Submission()
	for _, s := range h.slots {
		for line := range strings.SplitSeq(s.text, "\n") {
			if err := sub.Slot(line); err != nil {
				return err
			}
		}
	}
	q.h.Prepend()
	for line := range h.lines {
		q.h.Put(line, true)
	}
	return nil
}

// body implements sink.
func (q *queueSink) body(line []byte, eol bool) { q.h.Put(line, eol) }

// end implements sink.
func (q *queueSink) end(context.Context) error {
	if len(q.slots) == 0 {
		return nil
	}
	sub := q.h.Submission()
	if err := sub.StartExtracted(); err != nil {
		return err
	}
	for _, s := range q.slots {
		for line := range strings.SplitSeq(s.text, "\n") {
			if err := sub.Fill(line); err != nil {
				return err
			}
		}
	}
	return nil
}
