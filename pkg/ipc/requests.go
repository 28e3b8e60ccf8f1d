package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Requests yields the requests of a client, for a server that answers each
// before the next: until the client leaves, a request cannot be read (which is
// the error that comes last), or ctx is done. The answer to a request that is
// under way then can still be sent.
func (c *Conn) Requests(ctx context.Context) iter.Seq2[List, error] {
	return func(yield func(List, error) bool) {
		defer context.AfterFunc(ctx, c.EndReading)()
		for {
			req, err := c.Receive()
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("receive request: %w", err))
				return
			}
			if !yield(req, nil) {
				return
			}
		}
	}
}

// EndReading ends a Receive that waits, and each that comes. A deadline would
// be moved by the next one. What the client sent before is still read where it is
// a socket; its next request fails, and it knows that nobody has it.
func (c *Conn) EndReading() {
	if r, ok := c.Conn.(interface{ CloseRead() error }); ok {
		r.CloseRead()
		return
	}
	c.Close()
}
