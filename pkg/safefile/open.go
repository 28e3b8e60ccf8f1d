package safefile

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnsafe reports a file that is not what it has to be: not a regular file,
// with a second name, or with the wrong owner or mode.
var ErrUnsafe = errors.New("unsafe file")

// AnyOwner is the Owner of a [Check] that accepts every owner.
const AnyOwner = -1

// Check says what an opened file must be. A regular file with one name is
// always demanded.
type Check struct {
	Owner     int         // the uid that must own the file, or AnyOwner
	Forbidden os.FileMode // permission bits that must be off
	Links     bool        // more than one name is fine
}

// Open opens an existing file that others may have prepared. It follows no
// symbolic link at the end of path, does not wait on a FIFO or a device, and
// checks what it got before it returns. flag is os.O_RDONLY, O_WRONLY or
// O_RDWR, with O_APPEND.
func (fs *FS) Open(path string, flag int, c Check) (*os.File, *unix.Stat_t, error) {
	if err := fs.fault(OpOpen, path); err != nil {
		return nil, nil, err
	}
	fd, err := fs.open(path, flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		if err == unix.ELOOP {
			err = fmt.Errorf("%w: symbolic link", ErrUnsafe)
		}
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return nil, nil, &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	if err := c.Verify(&st); err != nil {
		_ = unix.Close(fd)
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return newRegular(fd, path, flag), &st, nil
}

// ReadSmall reads a file as Open and a read to the size that it has do, with
// half the system calls. A file of more than limit bytes is not read: data is
// nil then. It is in buf if that has room for it. mtime is when it was changed,
// in seconds.
func (fs *FS) ReadSmall(path string, buf []byte, limit int64, c Check) (data []byte, mtime int64, err error) {
	if err := fs.fault(OpOpen, path); err != nil {
		return nil, 0, err
	}
	fd, err := fs.open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, 0, &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	if err := c.Verify(&st); err != nil {
		return nil, 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if st.Size > limit {
		return nil, 0, nil
	}
	if data = buf[:0]; int64(cap(buf)) < st.Size || buf == nil {
		data = make([]byte, st.Size)
	}
	data = data[:st.Size]
	for n := 0; n < len(data); {
		k, err := unix.Read(fd, data[n:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, 0, &os.PathError{Op: "read", Path: path, Err: err}
		case k == 0:
			return data[:n], st.Mtim.Sec, nil // it was cut meanwhile
		default:
			n += k
		}
	}
	return data, st.Mtim.Sec, nil
}

// OpenDir opens a directory, which may be a symbolic link, to read its names.
// os.Open would try the poller on it, with five system calls more.
func (fs *FS) OpenDir(path string) (*os.File, error) {
	return fs.openDir(path, 0)
}

// OpenDirNoLink is OpenDir of what is no symbolic link.
func (fs *FS) OpenDirNoLink(path string) (*os.File, error) {
	return fs.openDir(path, unix.O_NOFOLLOW)
}

func (fs *FS) openDir(path string, flags int) (*os.File, error) {
	dir, name, err := fs.at(path)
	if err == nil {
		defer leave(dir)
		if dir >= 0 {
			flags |= unix.O_NOFOLLOW
		}
		var fd int
		if fd, err = openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|flags, 0); err == nil {
			return os.NewFile(uintptr(fd), path), nil
		}
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: err}
}

// newRegular wraps the descriptor of a regular file, for which O_NONBLOCK has
// no effect: it is taken off only so that os.File does not try the poller.
func newRegular(fd int, path string, flag int) *os.File {
	_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flag&unix.O_APPEND)
	return os.NewFile(uintptr(fd), path)
}

// Verify reports as [ErrUnsafe] in what the file differs from c, and as
// [os.ErrNotExist] a file without a name.
func (c Check) Verify(st *unix.Stat_t) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%w: not a regular file", ErrUnsafe)
	case st.Nlink == 0: // removed while it was opened
		return os.ErrNotExist
	case st.Nlink != 1 && !(c.Links && st.Nlink > 1):
		return fmt.Errorf("%w: %d links", ErrUnsafe, st.Nlink)
	case c.Owner != AnyOwner && int(st.Uid) != c.Owner:
		return fmt.Errorf("%w: owner is uid %d", ErrUnsafe, st.Uid)
	case os.FileMode(st.Mode)&c.Forbidden.Perm() != 0:
		return fmt.Errorf("%w: mode is %#o", ErrUnsafe, st.Mode&0o7777)
	}
	return nil
}

// TryFlock takes an exclusive flock lock, the kind that Postfix uses on queue
// files on Linux, and reports whether it got it. The lock ends when all
// copies of the descriptor are closed.
func TryFlock(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch err {
		case nil:
			return true, nil
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return false, nil
		default:
			return false, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

// Unflock gives up a lock of [TryFlock].
func Unflock(f *os.File) error {
	return unix.Flock(int(f.Fd()), unix.LOCK_UN)
}

// TryLockOFD takes an exclusive lock on the whole file that excludes the fcntl
// locks of other programs, as for mailboxes, and yet belongs to this open file
// and not to the process. It reports whether it got it.
func TryLockOFD(f *os.File) (bool, error) {
	lk := unix.Flock_t{Type: unix.F_WRLCK}
	for {
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lk)
		switch err {
		case nil:
			return true, nil
		case unix.EINTR:
		case unix.EAGAIN, unix.EACCES:
			return false, nil
		default:
			return false, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}

// UnlockOFD gives up a lock of [TryLockOFD].
func UnlockOFD(f *os.File) error {
	lk := unix.Flock_t{Type: unix.F_UNLCK}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lk)
}

// Inode returns the device and inode number of an open file.
func Inode(f *os.File) (dev, ino uint64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, 0, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	return uint64(st.Dev), st.Ino, nil
}

// SetTimes sets access and modification time of a file by name.
func (fs *FS) SetTimes(path string, t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	dir, name, err := fs.at(path)
	if err != nil {
		return &os.PathError{Op: "utimes", Path: path, Err: err}
	}
	defer leave(dir)
	err = unix.UtimesNanoAt(dir, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return &os.PathError{Op: "utimes", Path: path, Err: err}
	}
	return nil
}

// Scratch opens a file without a name in dir, for what is of no use once the
// process is gone. Not all file systems know such files.
func Scratch(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if err == nil {
		return f, nil
	}
	if f, err = os.CreateTemp(dir, "scratch-*"); err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// CreateUnnamed makes a file in dir that has no name yet: [FS.LinkUnnamed]
// gives it one when it is complete, so that nobody sees it half written and
// nothing of it stays when the process is killed before.
func (fs *FS) CreateUnnamed(dir string, mode os.FileMode) (*os.File, error) {
	if err := fs.fault(OpCreate, dir); err != nil {
		return nil, err
	}
	fd, err := fs.open(dir, unix.O_WRONLY|unix.O_TMPFILE, uint32(mode.Perm()))
	if err != nil {
		return nil, &os.PathError{Op: "create in", Path: dir, Err: err}
	}
	return os.NewFile(uintptr(fd), dir), nil
}

// LinkUnnamed gives a file of [FS.CreateUnnamed] a name that does not exist.
func (fs *FS) LinkUnnamed(f *os.File, path string) error {
	if err := fs.fault(OpLink, path); err != nil {
		return err
	}
	old := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	dir, name, err := fs.at(path)
	if err == nil {
		defer leave(dir)
		err = unix.Linkat(unix.AT_FDCWD, old, dir, name, unix.AT_SYMLINK_FOLLOW)
	}
	if err != nil {
		return &os.LinkError{Op: "link", Old: f.Name(), New: path, Err: err}
	}
	return nil
}
