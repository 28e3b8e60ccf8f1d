// Package mbox appends messages to mailbox files: one file, messages one
// after the other, each begun by a "From " line (RFC 4155 describes the form).
//
// A delivery holds the locks that mail readers respect while it writes, syncs
// the file before it says yes, and on any failure cuts the file back to the
// length that it had. What a killed delivery left is cut off by the next one.
package mbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Problems that a caller tells apart. A mailbox that is too large is a
// permanent failure of this message; the others may pass.
var (
	ErrLocked  = errors.New("mailbox is locked")
	ErrTooBig  = errors.New("mailbox size limit exceeded")
	ErrMailbox = errors.New("mailbox file is not safe to use")
)

// Options say how a mailbox is opened and locked.
type Options struct {
	Fcntl, Flock, Dotlock bool
	DotlockMayFail        bool          // no dot lock in a directory that we may not write
	Attempts              int           // to get a lock
	Delay                 time.Duration // between two attempts
	Stale                 time.Duration // age at which a dot lock counts as left behind
	StrictOwner           int           // uid that must own the file, or safefile.AnyOwner
	SizeLimit             int64         // bytes the file may have afterwards; 0: no limit
	Identity              string        // as [Identity] found it before the process was confined
	Now                   func() time.Time
}

// Append adds one message to the mailbox at path, which is made with mode
// 0600 if there is none. fill writes the message with LF line ends and
// without the separator; sender stands in the separator line.
func Append(ctx context.Context, fs *safefile.FS, path, sender string, o Options, fill func(io.Writer) error) error {
	if o.Dotlock {
		unlock, err := dotlock(ctx, fs, path, o)
		if err != nil {
			return err
		}
		defer unlock()
	}
	f, made, err := open(fs, path, o)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lockFile(ctx, f, o); err != nil {
		return err
	}
	if err := appendTo(fs, f, sender, o, fill); err != nil {
		return err
	}
	if made {
		return fs.SyncDir(filepath.Dir(path))
	}
	return nil
}

// open opens the mailbox, or makes it. A file that others could have put
// there is checked first.
func open(fs *safefile.FS, path string, o Options) (f *os.File, made bool, err error) {
	for try := 0; try < 3; try++ {
		f, _, err = fs.Open(path, os.O_RDWR, safefile.Check{Owner: o.StrictOwner})
		if errors.Is(err, safefile.ErrUnsafe) {
			return nil, false, fmt.Errorf("%w: %w", ErrMailbox, err)
		}
		if !errors.Is(err, os.ErrNotExist) {
			return f, false, err
		}
		f, err = fs.Create(path, 0o600)
		if !errors.Is(err, os.ErrExist) {
			return f, true, err
		}
	}
	return nil, false, err
}

func lockFile(ctx context.Context, f *os.File, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, o.patience())
	defer cancel()
	if o.Fcntl {
		if err := safefile.LockOFD(ctx, f); err != nil {
			return fmt.Errorf("%w: %w", ErrLocked, err)
		}
	}
	if o.Flock {
		if err := safefile.Flock(ctx, f); err != nil {
			return fmt.Errorf("%w: %w", ErrLocked, err)
		}
	}
	return nil
}

func (o Options) patience() time.Duration {
	n := max(o.Attempts, 1)
	return time.Duration(n) * max(o.Delay, 100*time.Millisecond)
}

func (o Options) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// appendTo writes behind what is there, and takes it back when it fails.
func appendTo(fs *safefile.FS, f *os.File, sender string, o Options, fill func(io.Writer) error) error {
	// The length counts only now, with the locks held.
	start, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("seek %s: %w", f.Name(), err)
	}
	if start, err = repair(f, start); err != nil {
		return err
	}
	pad, err := padding(f, start)
	if err != nil {
		return err
	}
	if _, err := f.Seek(start, io.SeekStart); err != nil {
		return fmt.Errorf("seek %s: %w", f.Name(), err)
	}
	w := &limitWriter{w: f, left: -1}
	if o.SizeLimit > 0 {
		w.left = max(o.SizeLimit-start, 0)
	}
	line := separator(sender, o.now())
	m := mark{start: start + int64(len(pad)), length: -1, separator: separatorSum([]byte(line))}
	m.set(f)
	err = writeMessage(w, pad+line+"\n", fill)
	if err == nil {
		m.length, m.clean = w.written-int64(len(pad)), !w.zero
		m.set(f)
		err = fs.Sync(f)
	}
	if err == nil {
		clearMark(f)
		return nil
	}
	if terr := f.Truncate(start); terr != nil {
		// The mark stays, so that the next delivery does it.
		m.length, m.clean = -1, false
		m.set(f)
		return fmt.Errorf("%w; and cut %s back: %w", err, f.Name(), terr)
	}
	clearMark(f)
	return err
}

// separator is the line that begins a message, without its newline.
func separator(sender string, now time.Time) string {
	if sender == "" {
		sender = "MAILER-DAEMON"
	}
	return fmt.Sprintf("From %s  %s", separatorAddress(sender), now.Format(time.ANSIC))
}

func writeMessage(w io.Writer, head string, fill func(io.Writer) error) error {
	out := bufio.NewWriterSize(w, 64<<10)
	out.WriteString(head)
	q := &quoter{w: out, lineStart: true}
	if err := fill(q); err != nil {
		return err
	}
	if !q.end() {
		out.WriteByte('\n')
	}
	out.WriteByte('\n')
	return out.Flush()
}

// separatorAddress keeps an address from breaking the separator line.
func separatorAddress(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c <= ' ' || c == 0x7f {
			b[i] = '-'
		}
	}
	return string(b)
}

// limitWriter fails once more than left bytes were written; left < 0 means no
// limit.
type limitWriter struct {
	w       io.Writer
	left    int64
	written int64
	zero    bool // a byte was 0
}

func (l *limitWriter) Write(p []byte) (int, error) {
	if l.left >= 0 {
		if int64(len(p)) > l.left {
			return 0, ErrTooBig
		}
		l.left -= int64(len(p))
	}
	n, err := l.w.Write(p)
	l.written += int64(n)
	l.zero = l.zero || bytes.IndexByte(p[:n], 0) >= 0
	return n, err
}

// quoter puts '>' before lines that a reader would take for a separator.
type quoter struct {
	w         *bufio.Writer
	lineStart bool
	held      []byte // the first bytes of a line that may yet become "From "
}

var from = []byte("From ")

func (q *quoter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if q.lineStart || len(q.held) > 0 {
			n := q.match(p)
			p = p[n:]
			continue
		}
		end := len(p)
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			end = i + 1
		}
		if _, err := q.w.Write(p[:end]); err != nil {
			return 0, err
		}
		q.lineStart = p[end-1] == '\n'
		p = p[end:]
	}
	return total, nil
}

// match takes bytes at the start of a line until it is clear whether they are
// a separator, and returns how many it took.
func (q *quoter) match(p []byte) int {
	q.lineStart = false
	n := 0
	for n < len(p) && len(q.held) < len(from) && p[n] == from[len(q.held)] {
		q.held = append(q.held, p[n])
		n++
	}
	if len(q.held) < len(from) && n == len(p) {
		return n // the rest is in the next write
	}
	if len(q.held) == len(from) {
		q.w.WriteByte('>')
	}
	q.w.Write(q.held)
	q.held = q.held[:0]
	if n < len(p) && p[n] == '\n' {
		q.w.WriteByte('\n')
		q.lineStart = true
		n++
	}
	return n
}

// end writes what was held back and reports whether the last line is whole.
func (q *quoter) end() bool {
	if len(q.held) > 0 {
		q.w.Write(q.held)
		q.held = q.held[:0]
	}
	return q.lineStart
}
