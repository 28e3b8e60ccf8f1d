package safefile

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Replace is [FS.WriteAtomic] without syncs, for files that can be made again
// and that tell by their content whether they are whole. It returns the new
// file, open for reading and writing.
func (fs *FS) Replace(path string, mode os.FileMode, fill func(io.Writer) error) (*os.File, error) {
	f, err := fs.createTemp(path, mode)
	if err != nil {
		return nil, err
	}
	err = fs.fault(OpWrite, path)
	if err == nil {
		err = fill(f)
	}
	if err == nil {
		err = fs.Rename(f.Name(), path)
	}
	if err != nil {
		_ = fs.unlink(f.Name())
		_ = f.Close()
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return f, nil
}

// WriteBack writes what f has to its place, so that a rename that follows
// does not become durable before it: after a power cut a name would show a
// file of zeros. It promises nothing else, and costs less than a sync, which
// has to come after the rename.
func WriteBack(f *os.File) {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
}

// startWriteBack has the kernel find places for what f has, and begin to write.
func startWriteBack(f *os.File) {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}

// SyncPath makes the content of the file at path durable, whoever wrote it.
// Callers that do so for the same file at the same time share one fsync.
func (fs *FS) SyncPath(path string) error {
	return fs.shared("file "+filepath.Clean(path), func() error {
		if err := fs.fault(OpSync, path); err != nil {
			return err
		}
		fs.counts[cntFile].Add(1)
		fd, err := fs.open(path, unix.O_RDONLY, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: path, Err: err}
		}
		for {
			err = unix.Fdatasync(fd)
			if err != unix.EINTR {
				break
			}
		}
		if cerr := unix.Close(fd); err == nil {
			err = cerr
		}
		if err != nil {
			return fmt.Errorf("fdatasync %s: %w", path, err)
		}
		return nil
	})
}
