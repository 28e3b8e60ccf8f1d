package queue

import (
	"bufio"
	"fmt"
	"io"
)

// Content reads the lines of a message.
type Content struct {
	m    *Message
	r    *RecordReader // nil at the end
	name string
}

// Content returns a reader of the message, from its first header line. Edits
// that were made through pointer records are seen as the result.
func (m *Message) Content() *Content {
	r := m.buffers.reader(m.f, m.FileSize)
	c := &Content{m: m, r: r, name: m.f.Name()}
	if err := r.SeekTo(m.DataOffset); err != nil {
		c.Close()
	}
	return c
}

// Close is for who stops before the end: the next file is read with the buffer of
// this one.
func (c *Content) Close() {
	if c.r == nil {
		return
	}
	c.m.buffers.putReader(c.r)
	c.r = nil
}

// Next returns the next piece of a line. eol tells whether the line ends with
// it; a long line comes in pieces. The data is valid until the next call. The
// error is io.EOF, bare, at the end of the message.
func (c *Content) Next() (data []byte, eol bool, err error) {
	if c.r == nil {
		return nil, false, io.EOF
	}
	rec, err := c.r.NextFollow()
	if err == io.EOF {
		err = fmt.Errorf("%w: missing end of content", ErrCorrupt)
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", c.name, err)
	}
	switch rec.Type {
	case RecNorm:
		return rec.Data, true, nil
	case RecCont:
		return rec.Data, false, nil
	case RecXtra:
		c.Close()
		return nil, false, io.EOF
	}
	return nil, false, fmt.Errorf("%s: %w: record %q in content", c.name, ErrCorrupt, rec.Type)
}

// WriteContentTo writes the message with the given line end.
func (m *Message) WriteContentTo(w io.Writer, eol string) error {
	return m.WritePrefixedTo(w, "", eol)
}

// WritePrefixedTo writes a prefix as it is, and then the message.
func (m *Message) WritePrefixedTo(w io.Writer, prefix, eol string) error {
	bw, ok := w.(*bufio.Writer)
	if !ok {
		bw = m.buffers.writer(w)
		defer m.buffers.putWriter(bw)
	}
	if _, err := bw.WriteString(prefix); err != nil {
		return err
	}
	c := m.Content()
	defer c.Close()
	open := false
	for {
		data, end, err := c.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if _, err := bw.Write(data); err != nil {
			return err
		}
		if open = !end; end {
			if _, err := bw.WriteString(eol); err != nil {
				return err
			}
		}
	}
	if open {
		if _, err := bw.WriteString(eol); err != nil {
			return err
		}
	}
	return bw.Flush()
}
