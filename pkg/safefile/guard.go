package safefile

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Guard makes fs follow no symbolic link below root, in none of the directories
// of a path: for a tree in which others may put a link in place of a directory
// at any moment. A link in the way is an error (ENOTDIR). The way to root
// itself is the administrator's, and may have links.
func (fs *FS) Guard(root string) {
	root = filepath.Clean(root)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var roots []string
	if old := fs.guarded.Load(); old != nil {
		roots = *old
	}
	for _, r := range roots {
		if r == root {
			return
		}
	}
	roots = append(roots[:len(roots):len(roots)], root)
	fs.guarded.Store(&roots)
}

// at finds the directory that path is in: a descriptor, which is to be given
// to [leave], and the name in there.
func (fs *FS) at(path string) (dir int, name string, err error) {
	roots := fs.guarded.Load()
	if roots == nil {
		return unix.AT_FDCWD, path, nil
	}
	for _, root := range *roots {
		if len(path) > len(root) && path[len(root)] == '/' && strings.HasPrefix(path, root) {
			dir, name, err = walk(root, filepath.Clean(path[len(root)+1:]))
			return dir, name, err
		}
	}
	return unix.AT_FDCWD, path, nil
}

// walk opens the directory of rel below root, one step after the other.
func walk(root, rel string) (int, string, error) {
	dir, err := openat(unix.AT_FDCWD, root, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, "", err
	}
	steps := strings.Split(rel, "/")
	last := len(steps) - 1
	for i, step := range steps {
		if step == ".." {
			leave(dir)
			return -1, "", unix.EXDEV
		}
		if i == last {
			break
		}
		next, err := openat(dir, step, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		leave(dir)
		if err != nil {
			return -1, "", err
		}
		dir = next
	}
	return dir, steps[last], nil
}

func leave(dir int) {
	if dir >= 0 {
		_ = unix.Close(dir)
	}
}

func openat(dir int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// open is open(2) with close-on-exec and without following a final symbolic
// link. os.OpenFile would add five system calls to try the poller on a file.
func (fs *FS) open(path string, flags int, mode uint32) (int, error) {
	dir, name, err := fs.at(path)
	if err != nil {
		return -1, err
	}
	defer leave(dir)
	return openat(dir, name, flags|unix.O_NOFOLLOW, mode)
}

// twoNames finds the directories of two paths.
func (fs *FS) twoNames(a, b string, call func(adir int, a string, bdir int, b string) error) error {
	adir, a, err := fs.at(a)
	if err != nil {
		return err
	}
	defer leave(adir)
	bdir, b, err := fs.at(b)
	if err != nil {
		return err
	}
	defer leave(bdir)
	for {
		if err := call(adir, a, bdir, b); err != unix.EINTR {
			return err
		}
	}
}

func (fs *FS) unlink(path string) error {
	dir, name, err := fs.at(path)
	if err != nil {
		return err
	}
	defer leave(dir)
	for {
		if err := unix.Unlinkat(dir, name, 0); err != unix.EINTR {
			return err
		}
	}
}

// mkdir makes a directory with exactly the given mode.
func (fs *FS) mkdir(path string, mode os.FileMode) error {
	dir, name, err := fs.at(path)
	if err != nil {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	defer leave(dir)
	if dir < 0 {
		if err := os.Mkdir(path, mode); err != nil {
			return err
		}
		return os.Chmod(path, mode)
	}
	if err := unix.Mkdirat(dir, name, uint32(mode.Perm())); err != nil {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	fd, err := openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if err := unix.Fchmod(fd, uint32(mode.Perm())); err != nil {
		return &os.PathError{Op: "chmod", Path: path, Err: err}
	}
	return nil
}
