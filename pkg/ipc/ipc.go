// Package ipc is how Posthouse processes talk to each other.
//
// A request or reply is a list of attributes, each a name and a value, on a
// stream socket:
//
//	name NUL value NUL name NUL value NUL ... NUL
//
// An empty name ends the list. Integers travel as decimal text. This is the
// form of the public showq socket too, so tools that read that socket can
// read ours.
//
// The peer is not trusted, although it is a sibling: the number of attributes
// and their size have limits ([Limits]), every read and write has a deadline,
// and any violation is an error after which the caller closes the connection.
// Nothing is learnt about the process at the other end from what it says; use
// [PeerCred] for that.
package ipc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// Limits for one attribute list.
const (
	MaxName   = 64      // bytes in an attribute name
	MaxValue  = 1 << 16 // bytes in a value
	MaxAttrs  = 4096    // attributes in a list: a user has some of 1000 in each of several lists
	MaxTotal  = 1 << 18 // bytes in a list
	IOTimeout = 3600 * time.Second
)

// ErrMalformed reports an attribute list that breaks the limits or the form,
// or that lacks an attribute that the reader needs.
var ErrMalformed = errors.New("malformed attribute list")

// Attr is one attribute.
type Attr struct{ Name, Value string }

// List is an ordered attribute list. The zero value is an empty list.
type List []Attr

// Str appends a string attribute and returns the longer list.
func (l List) Str(name, value string) List { return append(l, Attr{name, value}) }

// Int appends an integer attribute.
func (l List) Int(name string, value int64) List {
	return append(l, Attr{name, strconv.FormatInt(value, 10)})
}

// Bool appends a boolean as "1" or "0".
func (l List) Bool(name string, value bool) List {
	if value {
		return append(l, Attr{name, "1"})
	}
	return append(l, Attr{name, "0"})
}

// Get returns the first value with the given name.
func (l List) Get(name string) (string, bool) {
	for _, a := range l {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

// All returns the values of all attributes of a name.
func (l List) All(name string) []string {
	var all []string
	for _, a := range l {
		if a.Name == name {
			all = append(all, a.Value)
		}
	}
	return all
}

// Value returns the first value with the given name, or "".
func (l List) Value(name string) string {
	v, _ := l.Get(name)
	return v
}

// GetInt returns the named attribute as an integer, or [ErrMalformed] when it
// is missing or is not one.
func (l List) GetInt(name string) (int64, error) {
	v, ok := l.Get(name)
	if !ok {
		return 0, fmt.Errorf("%w: no attribute %q", ErrMalformed, name)
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: attribute %q is not a number", ErrMalformed, name)
	}
	return n, nil
}

// GetBool returns the named attribute as a boolean.
func (l List) GetBool(name string) (bool, error) {
	n, err := l.GetInt(name)
	return n != 0, err
}

// bufferSize lets a message of common size pass in one write and one read, and
// so with one wake-up of either side.
const bufferSize = 8192

// Conn is a connection that carries attribute lists. One goroutine at a time
// may read, and one may write.
type Conn struct {
	net.Conn
	// Timeout bounds each read or write of a whole list; IOTimeout if zero.
	Timeout time.Duration
	r       *bufio.Reader
	w       *bufio.Writer
	text    []byte // of a list that goes with a file

	// The deadline as it was set last: from when, and for which Timeout.
	since time.Time
	span  time.Duration
}

// NewConn returns a Conn on c.
func NewConn(c net.Conn) *Conn {
	fast := nowait.Wrap(c)
	return &Conn{Conn: c, r: bufio.NewReaderSize(fast, bufferSize), w: bufio.NewWriterSize(fast, bufferSize)}
}

// Reader gives access to bytes that follow a list, such as queue file
// records. They must be read through it, since it may hold some already.
func (c *Conn) Reader() *bufio.Reader { return c.r }

// Writer gives access to the buffer below [Conn.Write]; the caller flushes.
func (c *Conn) Writer() *bufio.Writer { return c.w }

// Extend sees to it that the next read and write may take one Timeout. Moving
// a deadline has its price, so it is set for somewhat longer, and stays until
// that surplus is used up.
func (c *Conn) Extend() error {
	d := c.Timeout
	if d == 0 {
		d = IOTimeout
	}
	if d == c.span && time.Since(c.since) < surplus(d) {
		return nil
	}
	return c.renew(d)
}

// surplus is how much longer than d a read or write may take at most.
func surplus(d time.Duration) time.Duration { return min(d/8, time.Second) }

func (c *Conn) renew(d time.Duration) error {
	c.since, c.span = time.Now(), d
	return c.SetDeadline(c.since.Add(d + surplus(d)))
}

// WriteList buffers a list without sending it, so that what follows can leave
// in the same segment.
func (c *Conn) WriteList(l List) error { return writeList(c.w, l) }

// Send writes a list and flushes.
func (c *Conn) Send(l List) error {
	if err := c.Extend(); err != nil {
		return err
	}
	if err := writeList(c.w, l); err != nil {
		return err
	}
	return c.w.Flush()
}

// Waiter is a connection whose server wants to know when a session waits for
// its next request, so that it can end kept connections that nobody uses.
type Waiter interface {
	// Wait is called before waiting; false means that the session is over.
	Wait() bool
	// Wake is called after waiting; false means that the server ended the
	// wait.
	Wake() bool
}

// Receive reads one list. It returns io.EOF, bare, when the peer closed the
// connection between two lists, or when the server of a [Waiter] did.
func (c *Conn) Receive() (List, error) {
	if err := c.Extend(); err != nil {
		return nil, err
	}
	if w, ok := c.Conn.(Waiter); ok && c.r.Buffered() == 0 {
		if err := c.await(w); err != nil {
			return nil, err
		}
	}
	return ReadList(c.r)
}

// await waits for the first byte of a list.
func (c *Conn) await(w Waiter) error {
	if !w.Wait() {
		return io.EOF
	}
	_, err := c.r.Peek(1)
	kept := w.Wake()
	switch {
	case err != nil && !kept:
		return io.EOF
	case err != nil:
		return err
	case !kept:
		// Ending the wait shortened the deadline, although a request came
		// at the same moment.
		return c.renew(c.span)
	}
	return c.Extend()
}

// Call sends a request and returns the reply.
func (c *Conn) Call(req List) (List, error) {
	if err := c.Send(req); err != nil {
		return nil, err
	}
	l, err := c.Receive()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return l, err
}

// Check reports an [ErrMalformed] for a list that cannot be sent.
func (l List) Check() error {
	if len(l) > MaxAttrs {
		return fmt.Errorf("%w: %d attributes", ErrMalformed, len(l))
	}
	total := 0
	for _, a := range l {
		if err := checkAttr(a); err != nil {
			return err
		}
		total += len(a.Name) + len(a.Value) + 2
	}
	if total > MaxTotal {
		return fmt.Errorf("%w: list of %d bytes", ErrMalformed, total)
	}
	return nil
}

// keptText is how much memory of a list a connection keeps for the next one.
const keptText = bufferSize

// append appends the list as it travels.
func (l List) append(text []byte) []byte {
	for _, a := range l {
		text = append(append(text, a.Name...), 0)
		text = append(append(text, a.Value...), 0)
	}
	return append(text, 0)
}

// writeList writes all of a list, or nothing.
func writeList(w *bufio.Writer, l List) error {
	if err := l.Check(); err != nil {
		return err
	}
	_, err := w.Write(l.append(w.AvailableBuffer()))
	return err
}

func checkAttr(a Attr) error {
	if a.Name == "" || len(a.Name) > MaxName || hasNUL(a.Name) {
		return fmt.Errorf("%w: bad attribute name %q", ErrMalformed, a.Name)
	}
	if len(a.Value) > MaxValue || hasNUL(a.Value) {
		return fmt.Errorf("%w: bad value of attribute %q", ErrMalformed, a.Name)
	}
	return nil
}

func hasNUL(s string) bool { return strings.IndexByte(s, 0) >= 0 }

// ReadList reads one attribute list within the limits of this package. It
// returns io.EOF, bare, if there is no first byte.
func ReadList(r *bufio.Reader) (List, error) {
	if _, err := r.Peek(1); err != nil {
		return nil, err
	}
	if l := buffered(r); l != nil {
		return l, nil
	}
	var l List
	total := 0
	for {
		name, err := readString(r, MaxName)
		if err != nil {
			if err == io.EOF && total > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if name == "" {
			return l, nil
		}
		value, err := readString(r, MaxValue)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		total += len(name) + len(value) + 2
		if total > MaxTotal || len(l) == MaxAttrs {
			return nil, fmt.Errorf("%w: list too long", ErrMalformed)
		}
		l = append(l, Attr{name, value})
	}
}

// buffered returns the next list if all of it has arrived and nothing is wrong
// with it: in two pieces of memory, where the long way needs two for each
// attribute. nil means to go that way.
func buffered(r *bufio.Reader) List {
	all, _ := r.Peek(r.Buffered())
	size, parts := 0, 0
	for {
		n := bytes.IndexByte(all[size:], 0)
		if n < 0 {
			return nil
		}
		size += n + 1
		if n == 0 && parts%2 == 0 {
			break // an empty name ends the list
		}
		if parts%2 == 0 && n > MaxName {
			return nil
		}
		parts++
	}
	if parts == 0 || parts > 2*MaxAttrs || size > MaxValue {
		return nil
	}
	l, text := make(List, 0, parts/2), string(all[:size])
	for range parts / 2 {
		name, rest, _ := strings.Cut(text, "\x00")
		value, rest, _ := strings.Cut(rest, "\x00")
		l, text = append(l, Attr{name, value}), rest
	}
	r.Discard(size)
	return l
}

// readString reads up to a NUL, which it drops. io.EOF means that there was
// no byte at all.
func readString(r *bufio.Reader, limit int) (string, error) {
	var long []byte
	for {
		part, err := r.ReadSlice(0)
		if err == nil && long == nil && len(part)-1 <= limit {
			return string(part[:len(part)-1]), nil
		}
		if len(long)+len(part) > limit+1 {
			return "", fmt.Errorf("%w: string over %d bytes", ErrMalformed, limit)
		}
		long = append(long, part...)
		switch {
		case err == nil:
			return string(long[:len(long)-1]), nil
		case err == io.EOF && len(long) > 0:
			return "", io.ErrUnexpectedEOF
		case err != bufio.ErrBufferFull:
			return "", err
		}
	}
}
