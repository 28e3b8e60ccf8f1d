package pop3server

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
)

// retr sends a message.
func (s *session) retr(args string) {
	i, ok := s.number(args)
	if !ok {
		return
	}
	size, err := s.drop.Size(i)
	if err != nil {
		s.broken("size of message", err)
		return
	}
	n, ok := s.message(i, strconv.FormatInt(size, 10)+" octets", -1, size)
	if !ok {
		return
	}
	s.seen.set(i)
	s.counts.retr++
	s.counts.retrB += n
}

// top sends the header of a message and the first lines of its body.
func (s *session) top(args string) {
	num, lines, _ := strings.Cut(args, " ")
	i, ok := s.number(num)
	if !ok {
		return
	}
	max, ok := decimal(strings.TrimLeft(lines, " "))
	if !ok {
		s.unknown("Invalid line count: " + visible(lines))
		return
	}
	n, ok := s.message(i, "", max, math.MaxInt64)
	if !ok {
		return
	}
	s.counts.top++
	s.counts.topB += n
}

// message sends a message, or its header and as many lines of its body as lines
// says if that is not negative. size is that of the message.
func (s *session) message(i int, text string, lines, size int64) (sent int64, ok bool) {
	f, err := s.drop.Open(i)
	if err != nil {
		s.broken("open message", err)
		return 0, false
	}
	defer f.Close()
	chunk := s.opts.Buffers.get()
	defer s.opts.Buffers.put(chunk)
	n, err := f.Read(chunk[:])
	// What cannot be read at all is told; later there is no way to do so, and
	// the connection ends in the middle of the message.
	if err != nil && err != io.EOF {
		s.broken("read message", err)
		return 0, false
	}
	s.ok(text)
	before := s.w.sent()
	c := encoder{w: s.w, lines: lines, header: true, start: true}
	for {
		done := c.write(chunk[:n])
		// A short read that brought the last byte that was to come was the
		// last one; one more would cost as much as opening the file did.
		done = done || n < len(chunk) && c.plain >= size
		if done || s.w.Err() != nil || errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			s.warn("read message: %v", err)
			s.w.fail(err)
			s.quit = true
			return 0, false
		}
		n, err = f.Read(chunk[:])
	}
	c.end()
	sent = s.w.sent() - before
	s.w.line(".")
	return sent, s.w.Err() == nil
}

// encoder makes the lines of a multi-line reply: CRLF at their ends, and a
// second dot where one begins with a dot.
type encoder struct {
	w      writer
	lines  int64 // of the body that are still to be sent; negative is all
	header bool
	start  bool  // at the start of a line
	cr     bool  // the last byte was CR
	plain  int64 // bytes so far, with CRLF and without dots that were added
}

// write encodes a part of the message; true means that the rest is not wanted.
func (c *encoder) write(p []byte) bool {
	for len(p) > 0 {
		if c.start && !c.header && c.lines == 0 {
			return true
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			c.part(p)
			return false
		}
		c.line(p[:i])
		p = p[i+1:]
	}
	return false
}

// part writes a piece of a line that goes on.
func (c *encoder) part(p []byte) {
	if c.start && p[0] == '.' {
		c.w.WriteByte('.')
	}
	c.start = false
	c.cr = p[len(p)-1] == '\r'
	c.plain += int64(len(p))
	c.w.Write(p)
}

// line writes the rest of a line, and its end.
func (c *encoder) line(p []byte) {
	empty := c.start && (len(p) == 0 || len(p) == 1 && p[0] == '\r')
	if len(p) > 0 {
		c.part(p)
	}
	if !c.cr {
		c.w.WriteByte('\r')
		c.plain++
	}
	c.w.WriteByte('\n')
	c.plain++
	switch {
	case c.header && empty:
		c.header = false
	case !c.header && c.lines > 0:
		c.lines--
	}
	c.start, c.cr = true, false
}

// end finishes a message whose last line has no end.
func (c *encoder) end() {
	if c.start {
		return
	}
	if c.cr {
		c.w.WriteByte('\n')
		return
	}
	c.w.WriteString("\r\n")
}
