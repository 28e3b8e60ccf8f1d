// Package notice lets processes that change a Maildir folder tell those that
// wait for changes of it and have no inotify watch left.
//
// A process that waits makes a FIFO in the directory posthouse.notify of the
// folder, and who has changed the folder writes a byte into each FIFO there. A
// byte says "look" and nothing else, so that neither side has to trust what
// the other writes, or what a third one puts into the directory: nobody waits
// for anybody, follows a link, or looks at more than maxEntries names. A
// notice can get lost; whoever needs certainty looks from time to time as
// well.
//
// While nobody waits there is no directory, and a change costs one call that
// fails. The directory and what is in it may be removed at any time: its
// makers make it again.
package notice

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Dir is the name of the directory in a folder.
const Dir = "posthouse.notify"

// maxEntries is how many names of the directory a change looks at. A folder
// for which more processes wait has some that look from time to time only.
const maxEntries = 256

// stale is for how long nobody has read from or written to a FIFO that nobody
// has open before it is taken for one that a killed process left. Its maker
// opens a new one within that time.
const stale = time.Minute

// Post tells who waits for changes of the folder at dir, but for the waiter
// with the name except. It never blocks, and costs one system call if nobody
// waits.
func Post(fs *safefile.FS, dir, except string) {
	d, err := fs.OpenDirNoLink(dir + "/" + Dir)
	if err != nil {
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(maxEntries)
	left := len(names)
	for _, name := range names {
		if name != except && !tell(int(d.Fd()), name) {
			left--
		}
	}
	if left == 0 {
		removeEmpty(int(d.Fd()))
	}
}

// tell writes to one FIFO, or removes it if nobody will ever read it; there is
// false then.
func tell(dir int, name string) (there bool) {
	fd, err := openat(dir, name, unix.O_WRONLY)
	if err != nil {
		// A socket gives the same error.
		return !errors.Is(err, unix.ENXIO) || !isStale(dir, name) || unix.Unlinkat(dir, name, 0) != nil
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO {
		// One that is full tells as much as one with a byte more.
		_, _ = unix.Write(fd, []byte{0})
	}
	return true
}

func isStale(dir int, name string) bool {
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return false
	}
	age := time.Since(time.Unix(st.Mtim.Unix()))
	return age > stale || age < -stale // the clock may have been wrong
}

// removeEmpty removes the directory that fd is, if it is empty. One that is
// just being made by somebody is made again.
func removeEmpty(fd int) {
	parent, err := openat(fd, "..", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return
	}
	defer unix.Close(parent)
	_ = unix.Unlinkat(parent, Dir, unix.AT_REMOVEDIR)
}

// openat opens without waiting for anybody and without following a link.
func openat(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// remove removes a FIFO, and the directory if it was the last.
func remove(fs *safefile.FS, dir, name string) {
	d, err := fs.OpenDirNoLink(filepath.Join(dir, Dir))
	if err != nil {
		return
	}
	defer d.Close()
	_ = unix.Unlinkat(int(d.Fd()), name, 0)
	removeEmpty(int(d.Fd()))
}

// create makes a FIFO for the folder at dir and opens it. Who may write into
// the folder may write into the FIFO.
func create(fs *safefile.FS, dir, name string) (*os.File, error) {
	parent, err := fs.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(parent.Fd()), &st); err != nil {
		return nil, err
	}
	const tries = 10 // the directory may be removed, being empty
	for try := 1; ; try++ {
		fd, err := createIn(int(parent.Fd()), name, st.Mode&0o777)
		if err == nil {
			return os.NewFile(uintptr(fd), filepath.Join(dir, Dir, name)), nil
		}
		if !errors.Is(err, unix.ENOENT) || try == tries {
			return nil, &os.PathError{Op: "make FIFO", Path: filepath.Join(dir, Dir, name), Err: err}
		}
	}
}

func createIn(parent int, name string, mode uint32) (int, error) {
	err := unix.Mkdirat(parent, Dir, 0o700)
	if err != nil && err != unix.EEXIST {
		return -1, err
	}
	dir, oerr := openat(parent, Dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if oerr != nil {
		return -1, oerr
	}
	defer unix.Close(dir)
	if err == nil && mode|0o700 != 0o700 {
		_ = unix.Fchmod(dir, mode|0o700)
	}
	if err := unix.Mkfifoat(dir, name, 0o600); err != nil {
		return -1, err
	}
	// With a writer of its own, a FIFO does not end with the others.
	fd, err := openat(dir, name, unix.O_RDWR)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		_ = unix.Close(fd)
		return -1, unix.EEXIST // somebody put something else there
	}
	if mode&0o022 != 0 {
		_ = unix.Fchmod(fd, 0o600|mode&0o022)
	}
	// The kernel counts the room of all pipes of a user.
	_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, os.Getpagesize())
	return fd, nil
}
