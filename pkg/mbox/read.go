package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxReadLine bounds a line of a mailbox that is read; longer ones are given
// on in parts.
const maxReadLine = 64 << 10

// Message is a message of a mailbox file that is read.
type Message struct {
	Sender string
	Time   time.Time // of the separator; zero if it tells none
	r      *Reader
	done   bool
}

// Reader reads the messages of a mailbox file, one after the other. A line
// that begins with "From ", stands after an empty line or at the start, and has
// a date separates them; one '>' before "From " is taken off.
type Reader struct {
	in    *bufio.Reader
	next  []byte // a separator line that was read
	blank bool   // the line before was empty
	msg   *Message
}

// ErrNoMailbox reports a file that does not begin with a separator.
var ErrNoMailbox = errors.New("not a mailbox file")

// NewReader returns a reader of in.
func NewReader(in io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, maxReadLine), blank: true}
}

// Next returns the next message, or io.EOF. What was not read of the one
// before is passed over.
func (r *Reader) Next() (*Message, error) {
	if r.msg != nil && !r.msg.done {
		if _, err := io.Copy(io.Discard, r.msg); err != nil {
			return nil, err
		}
	}
	if r.next == nil {
		line, err := r.line()
		if err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(line, from) {
			return nil, fmt.Errorf("%w: it begins with %.20q", ErrNoMailbox, line)
		}
		r.next = bytes.Clone(line)
	}
	r.msg = &Message{r: r}
	r.msg.Sender, r.msg.Time = parseSeparator(string(bytes.TrimRight(r.next, "\r\n")))
	r.next, r.blank = nil, false
	return r.msg, nil
}

// line returns a line with its end, or a part of a very long one.
func (r *Reader) line() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || err == io.EOF && len(line) > 0 {
		err = nil
	}
	return line, err
}

// isSeparator reports whether a line after an empty one begins a message. Not
// every program quotes what only looks like that.
func isSeparator(line []byte) bool {
	if !bytes.HasPrefix(line, from) {
		return false
	}
	_, at := parseSeparator(string(bytes.TrimRight(line, "\r\n")))
	return !at.IsZero()
}

// parseSeparator reads "From sender  Mon Jan  2 15:04:05 2006".
func parseSeparator(line string) (sender string, at time.Time) {
	fields := bytes.Fields([]byte(line))
	if len(fields) > 1 {
		sender = string(fields[1])
	}
	for i := 2; i < len(fields); i++ {
		text := string(bytes.Join(fields[i:], []byte(" ")))
		for _, layout := range []string{"Mon Jan 2 15:04:05 2006", "Mon Jan 2 15:04:05 MST 2006", "Mon Jan 2 15:04:05 2006 -0700", "Mon Jan 2 15:04 2006"} {
			if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
				return sender, t
			}
		}
	}
	return sender, at
}

// WriteTo writes the message, without the separator and the empty line that
// stands before the next.
func (m *Message) WriteTo(w io.Writer) (n int64, err error) {
	held := false // an empty line that may be the last
	for {
		line, err := m.r.line()
		if err == io.EOF {
			m.done = true
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if m.r.blank && isSeparator(line) {
			m.r.next, m.done = bytes.Clone(line), true
			return n, nil
		}
		if held {
			k, err := w.Write([]byte{'\n'})
			if n += int64(k); err != nil {
				return n, err
			}
		}
		held = string(line) == "\n" || string(line) == "\r\n"
		m.r.blank = held
		if held {
			continue
		}
		k, err := w.Write(unquote(line))
		if n += int64(k); err != nil {
			return n, err
		}
	}
}

// Read implements io.Reader, for who passes a message over.
func (m *Message) Read(p []byte) (int, error) {
	if m.done {
		return 0, io.EOF
	}
	_, err := m.WriteTo(io.Discard)
	if err == nil {
		err = io.EOF
	}
	return 0, err
}

func unquote(line []byte) []byte {
	if rest, ok := bytes.CutPrefix(line, []byte{'>'}); ok && bytes.HasPrefix(rest, from) {
		return rest
	}
	return line
}
