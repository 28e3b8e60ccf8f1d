package maildirsize

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Account is the file as it was read for one change: what the change asks, adds
// and tells comes from one reading. It is for one goroutine.
type Account struct {
	d       *Dir
	f       *os.File // nil if there was none
	canAdd  bool
	content content
	whole   bool // the content need not be made anew
}

// Open reads the file. There need not be one. The account is to be closed.
func (d *Dir) Open() (*Account, error) {
	a := &Account{d: d}
	if err := a.open(); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (a *Account) open() error {
	path, check := filepath.Join(a.d.Root, Name), safefile.Check{Owner: safefile.AnyOwner}
	f, st, err := a.d.FS.Open(path, os.O_RDWR|os.O_APPEND, check)
	a.canAdd = err == nil
	if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) {
		f, st, err = a.d.FS.Open(path, os.O_RDONLY, check)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	a.f = f
	return a.read(st.Size, time.Unix(st.Mtim.Unix()))
}

// read takes what the file has up to size.
func (a *Account) read(size int64, mtime time.Time) error {
	buf := make([]byte, min(size, maxSize))
	n, err := a.f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", a.f.Name(), err)
	}
	a.content, a.whole = parse(string(buf[:n]))
	if size >= maxSize {
		a.whole = false
	}
	a.content.size, a.content.mtime = size, mtime
	return nil
}

// Close ends the account.
func (a *Account) Close() {
	if a.f != nil {
		a.f.Close()
	}
	*a = Account{d: a.d}
}

// Refresh reads the file again if somebody has changed it since. All that
// write to it append or put another in its place.
func (a *Account) Refresh() error {
	if a.f != nil {
		st, err := a.stat()
		if err != nil {
			return err
		}
		if st != nil && st.Size == a.content.size && time.Unix(st.Mtim.Unix()).Equal(a.content.mtime) {
			return nil
		}
		if st != nil {
			return a.read(st.Size, time.Unix(st.Mtim.Unix()))
		}
	}
	a.Close()
	return a.open()
}

// stat tells how the open file is; nil if it is not the Maildir's any more.
func (a *Account) stat() (*syscall.Stat_t, error) {
	info, err := a.f.Stat()
	if err != nil {
		return nil, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 0 {
		return st, nil
	}
	return nil, nil
}

// Line returns the quota that the file has, for Maildirs that have it only
// there; "" if there is no file.
func (a *Account) Line() string { return a.content.line }

// Usage returns what the Maildir has, with quota as its limit.
func (a *Account) Usage(quota string) (Usage, error) {
	if !a.whole || a.content.line != quota {
		return a.Recount(quota)
	}
	q, err := Parse(quota)
	if err != nil {
		return Usage{}, err
	}
	if a.content.usage.Over(q, Usage{}) && a.stale() {
		return a.Recount(quota)
	}
	return a.content.usage, nil
}

// stale reports a file that is not believed when it says that there is no room:
// it may be behind.
func (a *Account) stale() bool {
	return a.content.lines > 1 || a.d.now().Sub(a.content.mtime) >= maxAge
}

// Allow tells whether add fits below the quota; what would not is counted
// anew first.
func (a *Account) Allow(quota string, q Quota, add Usage) (bool, Usage, error) {
	u, err := a.Usage(quota)
	if err != nil {
		return false, u, err
	}
	if u.Over(q, add) && a.stale() {
		if u, err = a.Recount(quota); err != nil {
			return false, u, err
		}
	}
	return !u.Over(q, add), u, nil
}

// Recount counts the messages and writes the file.
func (a *Account) Recount(quota string) (Usage, error) {
	u, err := a.d.Recount(quota)
	if err != nil {
		return u, err
	}
	a.Close()
	if a.open() != nil || !a.whole {
		a.Close()
		a.content, a.whole = content{line: quota, usage: u, lines: 1, mtime: a.d.now()}, true
	}
	return u, nil
}

// Add appends a line, if the file is there.
func (a *Account) Add(change Usage) error {
	if change == (Usage{}) {
		return nil
	}
	if a.f != nil {
		// Another may be in its place by now.
		if st, err := a.stat(); err != nil || st == nil {
			a.Close()
		}
	}
	if a.f == nil {
		if err := a.open(); err != nil || a.f == nil {
			return err
		}
	}
	if !a.canAdd {
		return &os.PathError{Op: "append to", Path: a.f.Name(), Err: os.ErrPermission}
	}
	if _, err := a.f.WriteString(line(change)); err != nil {
		return err
	}
	a.content.usage.Bytes += change.Bytes
	a.content.usage.Messages += change.Messages
	a.content.lines++
	return nil
}
