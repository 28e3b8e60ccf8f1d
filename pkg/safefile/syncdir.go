package safefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// dirState is the group commit of one directory: at most one fsync runs, and
// those who come while it runs wait for the next, as theirs must start after
// they came.
type dirState struct {
	next *dirBatch // nil if nobody waits
}

type dirBatch struct {
	done chan struct{} // closed when err is valid
	lead chan struct{} // receives one value: its reader does the fsync
	err  error
}

// SyncDir makes the names in a directory durable: created, renamed and linked
// files before the call are found after a power cut.
func (fs *FS) SyncDir(dir string) error {
	fs.counts[cntDirReq].Add(1)
	if dir == "" {
		dir = "."
	}
	return fs.shared(dir, func() error { return fs.syncDirNow(dir) })
}

// shared does work, of which one runs at a time for each key. Those who come
// while it runs share the next one.
func (fs *FS) shared(key string, work func() error) error {
	fs.mu.Lock()
	if fs.dirs == nil {
		fs.dirs = make(map[string]*dirState)
	}
	st := fs.dirs[key]
	if st == nil {
		st = new(dirState)
		fs.dirs[key] = st
		fs.mu.Unlock()
		err := work()
		fs.passOn(key, st)
		return err
	}
	b := st.next
	if b == nil {
		b = &dirBatch{done: make(chan struct{}), lead: make(chan struct{}, 1)}
		st.next = b
	}
	fs.mu.Unlock()

	select {
	case <-b.lead:
		fs.mu.Lock()
		st.next = nil
		fs.mu.Unlock()
		b.err = work()
		close(b.done)
		fs.passOn(key, st)
	case <-b.done:
	}
	return b.err
}

// passOn starts the batch that formed while work was done.
func (fs *FS) passOn(key string, st *dirState) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if st.next != nil {
		st.next.lead <- struct{}{}
		return
	}
	delete(fs.dirs, key)
}

func (fs *FS) syncDirNow(dir string) error {
	if err := fs.fault(OpSyncDir, dir); err != nil {
		return err
	}
	fs.counts[cntDir].Add(1)
	fd, err := fs.open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	for {
		err = unix.Fsync(fd)
		if err != unix.EINTR {
			break
		}
	}
	cerr := unix.Close(fd)
	if err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("fsync directory %s: %w", dir, err)
	}
	return nil
}

// syncsName reports file systems on which an fsync of a new file makes its name durable too, as
// power cuts have shown.
func syncsName(magic int64) bool {
	switch magic {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}

// SyncNamed makes a new file durable that got its name before: its content, and
// the name that it has in dir. The file is not to be trusted after an error.
//
// A file system with a journal commits both together, whichever is asked for
// first. Where one writer is alone, the file comes first, and its directory finds
// nothing left to do. Where there are several, the directory changes all the time,
// and each sync of it forces a commit of its own; so one of them syncs the
// directory for all first, and then it is the files that find little to do.
func (fs *FS) SyncNamed(f *os.File, dir string) error {
	defer fs.writers.Add(-1)
	if fs.writers.Add(1) < crowd {
		if err := fs.Sync(f); err != nil {
			return err
		}
		return fs.SyncDir(dir)
	}
	startWriteBack(f) // so that its blocks are part of the commit
	if err := fs.SyncDir(dir); err != nil {
		return err
	}
	return fs.Sync(f)
}

// crowd is how many writers make a directory change all the time.
const crowd = 3

// SyncNameOf makes the name of a new file durable, whose content was synced
// after it got that name. It is [FS.SyncDir] of its directory, and for a
// process that may make files there but not read the directory, as postdrop in
// the maildrop, the nearest that the kernel grants: nothing on file systems
// where the sync of the file was enough, else a sync of the file system.
func (fs *FS) SyncNameOf(f *os.File) error {
	err := fs.SyncDir(filepath.Dir(f.Name()))
	if !errors.Is(err, os.ErrPermission) {
		return err
	}
	var st unix.Statfs_t
	if serr := unix.Fstatfs(int(f.Fd()), &st); serr == nil && syncsName(int64(st.Type)) {
		return nil
	}
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("syncfs %s: %w", f.Name(), err)
	}
	return nil
}
