// Package maildir delivers a message into a Maildir.
//
// The message is written in tmp, moved to new, and then both the file and new
// are synced: without the last step a power cut can leave the message in tmp,
// where no reader looks, while the queue file is gone already. The caller has the rights
// of the mailbox's owner and no more, so a link that the owner puts in the way
// reaches only the owner's own files; plain mistakes of that kind are refused.
package maildir

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/maildir/notice"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Mode is the mode of message files.
const Mode = 0o600

// Deliverer puts messages into Maildirs on behalf of one host.
type Deliverer struct {
	// FS does the operations that have to survive a power cut.
	FS *safefile.FS
	// Host ends the names of message files; '/' and ':' in it are replaced.
	Host string
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// Admit, if not nil, is asked when the size is known, before the message
	// becomes visible. What it returns is called at once after that, or after it
	// has failed.
	Admit func(size int64) (placed func(there bool), err error)
}

// Deliver writes one message into the Maildir at dir, which is made if it is
// not there but its parent is. fill writes the message. The name of the file,
// relative to dir, is returned when message and name are on disk. It tells the
// sizes of the message.
func (d *Deliverer) Deliver(dir string, fill func(io.Writer) error) (string, error) {
	dir = filepath.Clean(dir)
	tmp, f, err := d.create(dir)
	if err != nil {
		return "", err
	}
	name, placed, err := d.write(f, fill)
	place := ""
	if err == nil {
		name = "new/" + name
		place = dir + "/" + name
		err = d.FS.RenameNew(tmp, place)
		placed(err == nil)
	}
	if err != nil {
		_ = d.FS.Close(f)
		_ = d.FS.Remove(tmp)
		return "", err
	}
	notice.Post(d.FS, dir, "")
	// File systems commit content and name together, so syncing both after
	// the rename costs one commit, where a sync before it costs two.
	err = d.FS.SyncNamed(f, dir+"/new")
	if cerr := d.FS.Close(f); err == nil {
		err = cerr
	}
	if err != nil {
		// The message is there but may not stay; the caller retries, so
		// take it back rather than leave two.
		_ = d.FS.Remove(place)
		notice.Post(d.FS, dir, "")
		return "", err
	}
	return name, nil
}

// write fills the file and returns the name that it must have. The content is
// in its place then, and synced by the caller together with the name.
func (d *Deliverer) write(f *os.File, fill func(io.Writer) error) (name string, placed func(there bool), err error) {
	dev, ino, err := safefile.Inode(f)
	if err != nil {
		return "", nil, err
	}
	w := &counter{w: f}
	if err := fill(w); err != nil {
		return "", nil, err
	}
	safefile.WriteBack(f)
	placed = func(bool) {}
	if d.Admit != nil {
		if placed, err = d.Admit(w.size); err != nil {
			return "", nil, err
		}
	}
	now := d.now()
	return BaseName(now.Unix(), now.Nanosecond()/1000, dev, ino, d.Host, w.size, w.size+w.bare), placed, nil
}

// counter counts bytes, and line ends without CR.
type counter struct {
	w          io.Writer
	size, bare int64
	cr         bool
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	q := p[:n]
	c.size += int64(n)
	c.bare += int64(bytes.Count(q, []byte{'\n'}) - bytes.Count(q, []byte{'\r', '\n'}))
	if n > 0 {
		if c.cr && q[0] == '\n' {
			c.bare--
		}
		c.cr = q[n-1] == '\r'
	}
	return n, err
}

// create opens a file in tmp, and makes the Maildir when it is missing.
func (d *Deliverer) create(dir string) (string, *os.File, error) {
	for try := 0; ; try++ {
		name := dir + "/tmp/" + tmpName(d.now(), d.Host)
		f, err := d.FS.Create(name, Mode)
		switch {
		case err == nil:
			if err = checkDirs(dir); err != nil {
				_ = d.FS.Close(f)
				_ = d.FS.Remove(name)
				return "", nil, err
			}
			return name, f, nil
		case errors.Is(err, os.ErrNotExist) && try == 0:
			if err := d.Make(dir); err != nil {
				return "", nil, err
			}
		case errors.Is(err, os.ErrExist) && try < 10:
		default:
			return "", nil, err
		}
	}
}

// checkDirs refuses a Maildir whose parts are links or no directories.
func checkDirs(dir string) error {
	for _, path := range [...]string{dir + "/tmp", dir + "/new"} {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return &os.PathError{Op: "lstat", Path: path, Err: err}
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return &os.PathError{Op: "deliver to", Path: path, Err: safefile.ErrUnsafe}
		}
	}
	return nil
}

// Make makes the directories of a Maildir durably, with missing parents.
func (d *Deliverer) Make(dir string) error {
	if err := d.makeParents(dir, 64); err != nil {
		return err
	}
	// Whoever asks whether there is one looks for cur, so that comes last.
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := d.FS.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (d *Deliverer) makeParents(dir string, depth int) error {
	if _, err := os.Lstat(dir); err == nil || depth == 0 {
		return err
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := d.makeParents(parent, depth-1); err != nil {
			return err
		}
	}
	return d.FS.Mkdir(dir, 0o700)
}

func (d *Deliverer) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

// HostPart makes a host name fit for a file name: readers take ':' as the
// start of the flags.
func HostPart(host string) string {
	if !strings.ContainsAny(host, "/:") {
		return host
	}
	return strings.NewReplacer("/", `\057`, ":", `\072`).Replace(host)
}
