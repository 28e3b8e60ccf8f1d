// Package safefile makes changes to files that survive a power cut, and opens
// files that somebody else may have prepared as a trap.
//
// It is the only package that calls fsync, rename, link and their relatives.
// A message counts as kept only after its bytes and its name are on disk: the
// bytes by [FS.Sync], the name by [FS.SyncDir]. Callers that sync the same
// directory at the same time share one fsync, and all of them get its error.
//
// A failed fsync is never repeated on the same file. Linux reports a failed
// write-back once and then takes the pages for clean, so a second call would
// claim success for data that is gone: the caller has to give up the file.
package safefile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Op names an operation for the fault hook.
type Op string

// The operations that the fault hook sees.
const (
	OpCreate  Op = "create"
	OpOpen    Op = "open"
	OpSync    Op = "fsync"
	OpSyncDir Op = "fsync-dir"
	OpRename  Op = "rename"
	OpLink    Op = "link"
	OpRemove  Op = "remove"
	OpChmod   Op = "chmod"
	OpMkdir   Op = "mkdir"
	OpWrite   Op = "write"
	OpClose   Op = "close"
)

// FS performs the operations. The zero value works; a process keeps one and
// shares it, since directory fsyncs are shared among the users of one FS.
// It is safe for concurrent use.
type FS struct {
	// Fault, when set, is asked before each operation; an error that it
	// returns is reported as the result of the operation, which is then not
	// done. Tests fail the Nth operation with it. It must be set before use.
	Fault func(op Op, path string) error

	counts  [4]atomic.Int64
	guarded atomic.Pointer[[]string]
	writers atomic.Int64 // calls of SyncNamed that go on
	mu      sync.Mutex
	dirs    map[string]*dirState
}

// Counters tell how often an FS did what costs most.
type Counters struct {
	FileSyncs   int64 // fsync of a file
	DirSyncs    int64 // fsync of a directory
	DirRequests int64 // calls of SyncDir, each answered by one of DirSyncs
	Renames     int64
}

const (
	cntFile = iota
	cntDir
	cntDirReq
	cntRename
)

// Counters returns what was counted so far.
func (fs *FS) Counters() Counters {
	return Counters{
		FileSyncs:   fs.counts[cntFile].Load(),
		DirSyncs:    fs.counts[cntDir].Load(),
		DirRequests: fs.counts[cntDirReq].Load(),
		Renames:     fs.counts[cntRename].Load(),
	}
}

func (fs *FS) fault(op Op, path string) error {
	if fs.Fault == nil {
		return nil
	}
	if err := fs.Fault(op, path); err != nil {
		return &os.PathError{Op: string(op), Path: path, Err: err}
	}
	return nil
}

// Create makes a new file for reading and writing. The umask takes away from
// mode. A file or link of that name is an error for which errors.Is(err,
// os.ErrExist) holds.
func (fs *FS) Create(path string, mode os.FileMode) (*os.File, error) {
	if err := fs.fault(OpCreate, path); err != nil {
		return nil, err
	}
	fd, err := fs.open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, uint32(mode.Perm()))
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Sync flushes a file's data and metadata to disk. After an error the file is
// not to be trusted and not to be synced again.
func (fs *FS) Sync(f *os.File) error {
	if err := fs.fault(OpSync, f.Name()); err != nil {
		return err
	}
	fs.counts[cntFile].Add(1)
	if err := f.Sync(); err != nil {
		return fmt.Errorf("fsync %s: %w", f.Name(), err)
	}
	return nil
}

// SyncClose syncs and closes f. It closes f in any case.
func (fs *FS) SyncClose(f *os.File) error {
	err := fs.Sync(f)
	if cerr := fs.Close(f); err == nil {
		err = cerr
	}
	return err
}

// Close closes f and reports the error, as some file systems tell of a failed
// write only then.
func (fs *FS) Close(f *os.File) error {
	err := f.Close()
	if ferr := fs.fault(OpClose, f.Name()); err == nil {
		err = ferr
	}
	return err
}

// Rename moves a file within one file system, replacing what is at the new
// path. It is not on disk before [FS.SyncDir] of the new directory.
func (fs *FS) Rename(oldpath, newpath string) error {
	return fs.rename(oldpath, newpath, 0)
}

// RenameNew is [FS.Rename] that refuses to replace a file, with an error for
// which errors.Is(err, os.ErrExist) holds.
func (fs *FS) RenameNew(oldpath, newpath string) error {
	err := fs.rename(oldpath, newpath, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// A file system without the flag: look first. The names that callers
	// use hold the inode number, so that nobody else makes the same one.
	if _, serr := os.Lstat(newpath); serr == nil {
		return &os.LinkError{Op: "rename", Old: oldpath, New: newpath, Err: unix.EEXIST}
	}
	return fs.rename(oldpath, newpath, 0)
}

func (fs *FS) rename(oldpath, newpath string, flags uint) error {
	if err := fs.fault(OpRename, oldpath); err != nil {
		return err
	}
	fs.counts[cntRename].Add(1)
	err := fs.twoNames(oldpath, newpath, func(odir int, o string, ndir int, n string) error {
		return unix.Renameat2(odir, o, ndir, n, flags)
	})
	if err != nil {
		return &os.LinkError{Op: "rename", Old: oldpath, New: newpath, Err: err}
	}
	return nil
}

// RenameSync is Rename followed by SyncDir of the directory of newpath. The
// old name may come back after a power cut unless the directories are the same.
func (fs *FS) RenameSync(oldpath, newpath string) error {
	if err := fs.Rename(oldpath, newpath); err != nil {
		return err
	}
	return fs.SyncDir(filepath.Dir(newpath))
}

// Link makes newpath a second name of oldpath. It fails if newpath exists, and
// is not on disk before [FS.SyncDir] of its directory.
func (fs *FS) Link(oldpath, newpath string) error {
	if err := fs.fault(OpLink, newpath); err != nil {
		return err
	}
	err := fs.twoNames(oldpath, newpath, func(odir int, o string, ndir int, n string) error {
		return unix.Linkat(odir, o, ndir, n, 0)
	})
	if err != nil {
		return &os.LinkError{Op: "link", Old: oldpath, New: newpath, Err: err}
	}
	return nil
}

// Remove removes a file. The removal is not made durable: after a power cut
// the file may be there again, which means a duplicate but never a loss.
func (fs *FS) Remove(path string) error {
	if err := fs.fault(OpRemove, path); err != nil {
		return err
	}
	if err := fs.unlink(path); err != nil {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}

// Chmod sets the permission bits of an open file.
func (fs *FS) Chmod(f *os.File, mode os.FileMode) error {
	if err := fs.fault(OpChmod, f.Name()); err != nil {
		return err
	}
	return f.Chmod(mode)
}

// Mkdir makes a directory with exactly the given mode and makes its name
// durable. A directory that exists is no error.
func (fs *FS) Mkdir(path string, mode os.FileMode) error {
	if err := fs.fault(OpMkdir, path); err != nil {
		return err
	}
	err := fs.mkdir(path, mode)
	if errors.Is(err, os.ErrExist) {
		// Whoever made it may not have synced it yet.
		return fs.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	return fs.SyncDir(filepath.Dir(path))
}

// Write writes all of p at the given offset.
func (fs *FS) Write(f *os.File, p []byte, off int64) error {
	if err := fs.fault(OpWrite, f.Name()); err != nil {
		return err
	}
	_, err := f.WriteAt(p, off)
	return err
}

// WriteAtomic replaces the file at path by what fill writes, so that a reader,
// and a start after a crash, sees the old content or the new one and nothing
// between. The new file has exactly the given mode.
func (fs *FS) WriteAtomic(path string, mode os.FileMode, fill func(io.Writer) error) error {
	f, err := fs.createTemp(path, mode)
	if err != nil {
		return err
	}
	tmp := f.Name()
	err = fill(f)
	if err == nil {
		err = fs.Chmod(f, mode)
	}
	if err == nil {
		err = fs.Sync(f)
	}
	if cerr := fs.Close(f); err == nil {
		err = cerr
	}
	if err == nil {
		err = fs.Rename(tmp, path)
	}
	if err != nil {
		_ = fs.unlink(tmp)
		return fmt.Errorf("write %s: %w", path, err)
	}
	return fs.SyncDir(filepath.Dir(path))
}

// createTemp makes a file next to path.
func (fs *FS) createTemp(path string, mode os.FileMode) (*os.File, error) {
	const tries = 100
	for i := 0; ; i++ {
		name := path + ".tmp" + strconv.Itoa(os.Getpid()) + "." + strconv.FormatInt(time.Now().UnixNano(), 36)
		f, err := fs.Create(name, mode)
		if err == nil || !errors.Is(err, os.ErrExist) || i == tries {
			return f, err
		}
	}
}
