package userdb

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// AnyOwner is an Options.Owner of sources that may belong to anybody.
const AnyOwner = -1

// trustAll reads sources without asking who may reach them.
const trustAll = -2

// stamp is what tells that a file or directory changed.
type stamp struct {
	path  string
	dir   bool
	size  int64
	mtime unix.Timespec
	ctime unix.Timespec
	inode uint64
}

// source is where the text of a database is.
type source struct {
	stamps []stamp // in the order of reading: directories before what is in them
}

// scan finds the files of the database, in the order of their names, and checks
// who may reach them.
func scan(path string, owner int) (*source, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil, fmt.Errorf("%s: %w: it is a symbolic link", path, ErrUnsafe)
	}
	if owner != trustAll {
		if err := checkAccess(path, &st, owner); err != nil {
			return nil, err
		}
	}
	s := &source{}
	return s, s.add(path, 0, owner)
}

// checkAccess refuses sources that others may read or write.
func checkAccess(path string, st *unix.Stat_t, owner int) error {
	if st.Mode&0o077 != 0 {
		return fmt.Errorf("%s: %w: its mode is %04o; run `chmod go= %s`", path, ErrUnsafe, st.Mode&0o7777, path)
	}
	if uid := int(st.Uid); owner != AnyOwner && uid != 0 && uid != os.Geteuid() && uid != owner {
		return fmt.Errorf("%s: %w: it belongs to uid %d", path, ErrUnsafe, uid)
	}
	return nil
}

// add takes in a file, or a directory with all that is in it.
func (s *source) add(path string, depth, owner int) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		if errors.Is(err, fs.ErrNotExist) && depth > 0 {
			return nil // removed while we read the directory
		}
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if len(s.stamps) >= MaxFiles {
		return fmt.Errorf("%s: more than %d files", path, MaxFiles)
	}
	mark := newStamp(path, &st)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if st.Size > MaxFile {
			return fmt.Errorf("%s: larger than %d bytes", path, MaxFile)
		}
		s.stamps = append(s.stamps, mark)
		return nil
	case unix.S_IFDIR:
		s.stamps = append(s.stamps, mark)
		return s.addDir(path, depth, owner)
	case unix.S_IFCHR:
		return nil // a link to /dev/null takes a file out
	}
	return fmt.Errorf("%s: not a regular file", path)
}

func newStamp(path string, st *unix.Stat_t) stamp {
	return stamp{path: path, dir: st.Mode&unix.S_IFMT == unix.S_IFDIR, size: st.Size, inode: st.Ino,
		mtime: st.Mtim, ctime: st.Ctim}
}

func (s *source) addDir(path string, depth, owner int) error {
	if depth >= MaxDepth {
		return fmt.Errorf("%s: directories are nested more than %d deep", path, MaxDepth)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := filepath.Join(path, e.Name())
		// What is below a private directory is private, but a link leads
		// out of it.
		if e.Type()&fs.ModeSymlink != 0 && owner != trustAll {
			if err := checkLink(name, owner); err != nil {
				return err
			}
		}
		if err := s.add(name, depth+1, owner); err != nil {
			return err
		}
	}
	return nil
}

func checkLink(name string, owner int) error {
	var st unix.Stat_t
	err := unix.Stat(name, &st)
	if err != nil || st.Mode&unix.S_IFMT == unix.S_IFCHR {
		return nil
	}
	return checkAccess(name, &st, owner)
}

// changed tells whether a file or directory is not what it was.
func (s *source) changed() bool {
	var st unix.Stat_t
	for i := range s.stamps {
		old := &s.stamps[i]
		if unix.Stat(old.path, &st) != nil {
			return true
		}
		// The change time tells of a new mode or owner, too.
		if st.Ino != old.inode || st.Size != old.size && !old.dir ||
			st.Mtim != old.mtime || st.Ctim != old.ctime {
			return true
		}
	}
	return false
}

// signature names a state of the text, as index files record it: the sizes and
// times of the files, in a form that a copy of the whole tree keeps.
func (s *source) signature(root string) string {
	h := fnv.New128a()
	for _, m := range s.stamps {
		if m.dir {
			continue
		}
		rel := strings.TrimPrefix(m.path, root)
		fmt.Fprintf(h, "%s\x00%d\x00%d\x00", rel, m.size, m.mtime.Nano())
	}
	return fmt.Sprintf("1 %x", h.Sum(nil))
}

// readFile reads a file of the database. The caller's scan has checked it.
func readFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b strings.Builder
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Size() < MaxFile {
		b.Grow(int(info.Size()) + 1)
	}
	n, err := io.Copy(&b, io.LimitReader(f, MaxFile+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	if n > MaxFile {
		return "", fmt.Errorf("%s: larger than %d bytes", path, MaxFile)
	}
	return b.String(), nil
}

// Files lists the files of the database at path, in the order in which they
// are read, after checking who may reach them.
func Files(path string, o Options) ([]string, error) {
	s, err := scan(path, o.Owner)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, m := range s.stamps {
		if !m.dir {
			files = append(files, m.path)
		}
	}
	return files, nil
}
