// Package maildirsize keeps the quota of a Maildir in the file of that name, as
// Courier does (its README.maildirquota has the form), so that delivery agents
// of other mail systems and ours count together.
//
// The first line is the quota, such as "1000000S,1000C". Each line after it has
// a number of bytes and one of messages; all added up they are what the Maildir
// has. Who adds or removes messages appends a line. From time to time the
// messages are counted anew.
package maildirsize

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/maildir"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Name is the name of the file.
const Name = "maildirsize"

// The rules of Courier for when the file is made anew.
const (
	maxSize = 5120
	maxAge  = 15 * time.Minute
)

// Quota is a limit of bytes and one of messages; 0 is none.
type Quota struct{ Bytes, Messages int64 }

// ErrBadQuota reports text that is no quota.
var ErrBadQuota = errors.New("invalid quota")

// Parse reads a quota. "" and "NOQUOTA" are none.
func Parse(text string) (q Quota, err error) {
	if text == "" || text == "NOQUOTA" {
		return q, nil
	}
	for _, part := range strings.Split(text, ",") {
		if part == "" {
			continue
		}
		n, err := strconv.ParseInt(part[:len(part)-1], 10, 64)
		if err != nil || n < 0 {
			return q, fmt.Errorf("%w: %q", ErrBadQuota, text)
		}
		switch part[len(part)-1] {
		case 'S':
			q.Bytes = n
		case 'C':
			q.Messages = n
		default:
			return q, fmt.Errorf("%w: %q", ErrBadQuota, text)
		}
	}
	return q, nil
}

// String is the reverse of Parse.
func (q Quota) String() string {
	var parts []string
	if q.Bytes > 0 {
		parts = append(parts, fmt.Sprintf("%dS", q.Bytes))
	}
	if q.Messages > 0 {
		parts = append(parts, fmt.Sprintf("%dC", q.Messages))
	}
	return strings.Join(parts, ",")
}

// None reports whether there is no limit.
func (q Quota) None() bool { return q.Bytes == 0 && q.Messages == 0 }

// Usage is what a Maildir has.
type Usage struct{ Bytes, Messages int64 }

// Over reports whether more than the quota would be used with an addition.
func (u Usage) Over(q Quota, add Usage) bool {
	return q.Bytes > 0 && u.Bytes+add.Bytes > q.Bytes || q.Messages > 0 && u.Messages+add.Messages > q.Messages
}

// Reaches reports whether a quota is used up.
func (u Usage) Reaches(q Quota) bool {
	return q.Bytes > 0 && u.Bytes >= q.Bytes || q.Messages > 0 && u.Messages >= q.Messages
}

// Percent is how full the fuller of the two limits is.
func (u Usage) Percent(q Quota) int {
	p := int64(0)
	if q.Bytes > 0 {
		p = max(p, percent(u.Bytes, q.Bytes))
	}
	if q.Messages > 0 {
		p = max(p, percent(u.Messages, q.Messages))
	}
	return int(p)
}

func percent(n, of int64) int64 { return int64(float64(max(n, 0)) * 100 / float64(of)) }

// Dir is the quota of one Maildir.
type Dir struct {
	FS   *safefile.FS
	Root string
	Now  func() time.Time
	// Ignore tells which folders do not count, by the names of their
	// directories; nil for Trash only.
	Ignore func(dir string) bool
}

// content is the file as read.
type content struct {
	line  string // the quota
	usage Usage
	lines int
	size  int64
	mtime time.Time
}

// parse reads the file's text. ok is false if it has to be made anew.
func parse(text string) (c content, ok bool) {
	line, rest, whole := strings.Cut(text, "\n")
	if !whole {
		return c, false
	}
	c.line = line
	for l := range strings.Lines(rest) {
		f := strings.Fields(l)
		if len(f) != 2 || !strings.HasSuffix(l, "\n") {
			return c, false
		}
		a, err := strconv.ParseInt(f[0], 10, 64)
		b, err2 := strconv.ParseInt(f[1], 10, 64)
		if err != nil || err2 != nil {
			return c, false
		}
		c.usage.Bytes += a
		c.usage.Messages += b
		c.lines++
	}
	return c, c.lines > 0
}

func (d *Dir) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

// Usage returns what the Maildir has, with quota as its limit.
func (d *Dir) Usage(quota string) (Usage, error) {
	a, err := d.Open()
	if err != nil {
		return Usage{}, err
	}
	defer a.Close()
	return a.Usage(quota)
}

// Add appends a line, if the file is there. It does not read it.
func (d *Dir) Add(change Usage) error {
	if change == (Usage{}) {
		return nil
	}
	f, _, err := d.FS.Open(filepath.Join(d.Root, Name), os.O_WRONLY|os.O_APPEND, safefile.Check{Owner: safefile.AnyOwner})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(line(change))
	return err
}

func line(u Usage) string { return fmt.Sprintf("%12d %12d\n", u.Bytes, u.Messages) }

// Recount counts the messages and writes the file.
func (d *Dir) Recount(quota string) (Usage, error) {
	u, err := d.count()
	if err != nil {
		return u, err
	}
	f, err := d.FS.Replace(filepath.Join(d.Root, Name), 0o600, func(w io.Writer) error {
		_, err := io.WriteString(w, quota+"\n"+line(u))
		return err
	})
	if err != nil {
		return u, err
	}
	return u, f.Close()
}

func (d *Dir) count() (u Usage, err error) {
	dirs := []string{d.Root}
	entries, err := os.ReadDir(d.Root)
	if err != nil {
		return u, err
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(e.Name(), "..") && !d.ignored(e.Name()) {
			dirs = append(dirs, filepath.Join(d.Root, e.Name()))
		}
	}
	for _, dir := range dirs {
		for _, sub := range []string{"cur", "new"} {
			if err := countDir(filepath.Join(dir, sub), &u); err != nil && !errors.Is(err, os.ErrNotExist) {
				return u, err
			}
		}
	}
	return u, nil
}

func (d *Dir) ignored(dir string) bool {
	if d.Ignore != nil {
		return d.Ignore(dir)
	}
	return dir == ".Trash"
}

func countDir(path string, u *Usage) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		n := maildir.ParseName(name)
		if n.Base[0:min(1, len(n.Base))] == "." || strings.ContainsRune(n.Info, 'T') {
			continue
		}
		size, _ := maildir.Sizes(n.Base)
		if size < 0 {
			info, err := os.Lstat(filepath.Join(path, name))
			if err != nil {
				continue // gone meanwhile
			}
			size = info.Size()
		}
		u.Bytes += size
		u.Messages++
	}
	return nil
}
