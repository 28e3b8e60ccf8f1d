package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// mailboxMove moves a Maildir to another place, also on another file system,
// with its UIDs and everything. Nobody may use it meanwhile.
func (a *app) mailboxMove(f *mailboxFlags, s *mailstore.Store) error {
	from, to := s.Root(), filepath.Clean(f.Arg(2))
	if !filepath.IsAbs(to) || strings.HasPrefix(to+"/", from+"/") {
		return fmt.Errorf("%w: %s is not an absolute path outside of %s", errUsage, f.Arg(2), from)
	}
	if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is there already", to)
	}
	fs := new(safefile.FS)
	err := fs.RenameNew(from, to)
	if err == nil {
		if err = fs.SyncDir(filepath.Dir(to)); err == nil {
			err = fs.SyncDir(filepath.Dir(from))
		}
		return a.moved(from, to, err)
	}
	if !errors.Is(err, unix.EXDEV) {
		return err
	}
	// Away with it first, so that what comes meanwhile is not lost in a copy
	// that is made already.
	old := from + ".moved"
	if err := fs.RenameNew(from, old); err != nil {
		return err
	}
	tmp := to + ".part"
	err = copyTree(fs, old, tmp)
	if err == nil {
		err = fs.RenameNew(tmp, to)
	}
	if err == nil {
		err = fs.SyncDir(filepath.Dir(to))
	}
	if err != nil {
		_ = os.RemoveAll(tmp)
		if back := fs.RenameNew(old, from); back != nil {
			return fmt.Errorf("%w; and the Maildir is at %s: %w", err, old, back)
		}
		return err
	}
	fmt.Fprintf(a.out, "the old Maildir is at %s; remove it when you have looked\n", old)
	return a.moved(from, to, nil)
}

func (a *app) moved(from, to string, err error) error {
	if err == nil {
		fmt.Fprintf(a.out, "%s is at %s now; tell the user database\n", from, to)
	}
	return err
}

// copyTree copies directories and regular files, with their times, to disk.
func copyTree(fs *safefile.FS, from, to string) error {
	if err := fs.Mkdir(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		src, dst := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		switch {
		case e.IsDir():
			err = copyTree(fs, src, dst)
		case e.Type().IsRegular():
			err = copyFile(fs, src, dst)
		}
		if err != nil {
			return err
		}
	}
	return fs.SyncDir(to)
}

func copyFile(fs *safefile.FS, src, dst string) error {
	in, st, err := fs.Open(src, os.O_RDONLY, safefile.Check{Owner: safefile.AnyOwner, Links: true})
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := fs.Create(dst, os.FileMode(st.Mode).Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = fs.Close(out)
		return err
	}
	if err := fs.SetTimes(dst, info.ModTime()); err != nil {
		_ = fs.Close(out)
		return err
	}
	return fs.SyncClose(out)
}
