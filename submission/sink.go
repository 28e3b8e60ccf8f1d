package main

import (
	"context"
	"strings"
)

// sink takes a message. Its stages are a chain: each does its part and passes
// the message on, so that a stage may change what those behind it see. The
// last one is cleanup.
type sink interface {
	// header gets the complete header. A stage may change it. What comes
	// behind the header is for the sink that it returns: a stage that has
	// nothing to do with it names the one behind it.
	header(ctx context.Context, h *header) (sink, error)
	// body gets the lines behind the header, the empty one included. It has
	// no end of line where a line comes in parts.
	body(line []byte, eol bool)
	// end is the end of the message. An error refuses it for now.
	end(ctx context.Context) error
}

// queueSink is cleanup.
type queueSink struct {
	h     *session
	slots []*slot
}

// header implements sink.
func (q *queueSink) header(_ context.Context, h *header) (sink, error) {
	q.slots = h.slots
	sub := q.h.Submission()
	for _, s := range h.slots {
		for line := range strings.SplitSeq(s.text, "\n") {
			if err := sub.Slot(line); err != nil {
				return q, err
			}
		}
	}
	q.h.Prepend()
	for line := range h.lines {
		q.h.Put(line, true)
	}
	return q, nil
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
