package queue

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Body is what an open queue file holds beside its envelope.
type Body struct {
	f           *os.File
	size, start int64 // of the file, and where the content begins
	buffers     *Buffers
}

// Body returns the message in an open queue file that was passed by another process,
// which says where its content begins; 0 is what the file itself says.
func (b *Buffers) Body(f *os.File, start int64) (Body, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return Body{}, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	if start == 0 {
		size, err := readSize(f)
		if err != nil {
			return Body{}, fmt.Errorf("%s: %w", f.Name(), err)
		}
		start = size.DataOffset
	}
	return Body{f, st.Size, start, b}, nil
}

// Body returns the message without its envelope.
func (m *Message) Body() Body { return Body{m.f, m.FileSize, m.DataOffset, m.buffers} }

// Content is that of the message's Body.
func (m *Message) Content() *Content { return m.Body().Content() }

// Content reads the lines of a message.
type Content struct {
	buffers *Buffers
	r       *RecordReader // nil at the end
	end     error         // what comes then: io.EOF, or why there was no beginning
	name    string
}

// Content returns a reader of the message, from its first header line. Edits
// that were made through pointer records are seen as the result.
func (b Body) Content() *Content {
	c := &Content{buffers: b.buffers, r: b.buffers.reader(b.f, b.size), name: b.f.Name(), end: io.EOF}
	if err := c.r.SeekTo(b.start); err != nil {
		c.Close()
		c.end = fmt.Errorf("%s: content: %w", c.name, err)
	}
	return c
}

// Close is for who stops before the end: the next file is read with the buffer of
// this one.
func (c *Content) Close() {
	if c.r == nil {
		return
	}
	c.buffers.putReader(c.r)
	c.r = nil
}

// Next returns the next piece of a line. eol tells whether the line ends with
// it; a long line comes in pieces. The data is valid until the next call. The
// error is io.EOF, bare, at the end of the message.
func (c *Content) Next() (data []byte, eol bool, err error) {
	if c.r == nil {
		return nil, false, c.end
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

// WriteTo writes a prefix as it is, and then the message with the given line end.
func (b Body) WriteTo(w io.Writer, prefix, eol string) error {
	bw, ok := w.(*bufio.Writer)
	if !ok {
		bw = b.buffers.writer(w)
		defer b.buffers.putWriter(bw)
	}
	if _, err := bw.WriteString(prefix); err != nil {
		return err
	}
	c := b.Content()
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
