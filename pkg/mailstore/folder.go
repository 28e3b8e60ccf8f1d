package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/maildir/notice"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/changelog"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/uidlist"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

const maxKeywords = uidlist.MaxKeywords

// The files of a folder.
const (
	fileLock  = "posthouse.lock"
	fileLog   = "posthouse.log"
	fileIndex = "posthouse.index"
	fileCache = "posthouse.cache"
	fileList  = uidlist.Name
)

// lockPatience is how long one waits for another process's change.
const lockPatience = time.Minute

// folder is a folder as one process knows it, for all its sessions.
type folder struct {
	sh   *Shared
	dir  string
	root string // the Maildir that dir is in or is

	mu       sync.Mutex
	st       *state // nil before the first use
	lock     *os.File
	log      *os.File
	logIno   uint64
	logOff   int64
	gen      uint64
	index    *os.File // chunks of st may be in it
	indexLen int64
	list     *os.File
	unsynced bool          // the list has UIDs of messages that others brought
	scanned  time.Time     // when the directories were last read
	scanCost time.Duration // how long that took
	odd      map[uint32]string
	cache    *cacheFile
	watchers map[*Mailbox]chan struct{}
	// While somebody watches, the kernel tells of changes since watchedSince;
	// those of other programs set dirty, own are names to be told of.
	watchedSince time.Time
	dirty        bool
	own          map[string]int
	waiter       *notice.Waiter // instead of that; nil with inotify
	news         bool           // others are to be told of a change
	refs         int
	gone         bool // deleted or renamed: no more changes
	// adrift is when the state was last found without room for it on disk.
	adrift time.Time
}

// acquire returns the folder at dir with one more user.
func (sh *Shared) acquire(root, dir string) *folder {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f := sh.folders[dir]
	if f == nil {
		f = &folder{sh: sh, dir: dir, root: root, odd: make(map[uint32]string), watchers: make(map[*Mailbox]chan struct{})}
		sh.folders[dir] = f
	}
	f.refs++
	return f
}

// idleFolders is how many folders without a user stay open in a process.
const idleFolders = 16

// release is the end of acquire. Folders that nobody uses stay for a while, as
// the next one is often soon.
func (sh *Shared) release(f *folder) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f.refs--
	idle := 0
	for _, o := range sh.folders {
		if o.refs == 0 {
			idle++
		}
	}
	for dir, o := range sh.folders {
		if idle <= idleFolders && !f.gone {
			break
		}
		if o.refs == 0 && (o.gone || idle > idleFolders) {
			delete(sh.folders, dir)
			o.close()
			idle--
		}
	}
}

// forget makes the process open the folder anew next time.
func (sh *Shared) forget(dir string) {
	sh.mu.Lock()
	f := sh.folders[dir]
	delete(sh.folders, dir)
	sh.mu.Unlock()
	if f != nil {
		f.mu.Lock()
		f.gone = true
		f.wake()
		f.mu.Unlock()
	}
}

func (f *folder) close() {
	for _, file := range []*os.File{f.lock, f.log, f.list} {
		if file != nil {
			file.Close()
		}
	}
	// Views of sessions may still read from f.index: the collector closes it.
	f.lock, f.log, f.list, f.st = nil, nil, nil, nil
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// temporary wraps an error of the file system.
func temporary(err error) error {
	if err == nil || isOurs(err) {
		return err
	}
	if errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrOverQuota, err)
	}
	return fmt.Errorf("%w: %w", ErrTemporary, err)
}

// locked calls fn with the folder's lock, the state followed to its end.
// f.mu is held by the caller.
func (f *folder) locked(fn func() error) error {
	if f.gone {
		return ErrReplaced
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	if err := f.takeLock(ctx); err != nil {
		if errors.Is(err, ErrNoMailbox) && f.st != nil {
			return ErrReplaced // another process has deleted it
		}
		return f.unopened(err)
	}
	defer func() {
		_ = safefile.UnlockOFD(f.lock)
		f.tellOthers()
	}()
	if err := f.followLocked(); err != nil {
		return f.unopened(err)
	}
	return fn()
}

// unopened tells of a full disk that keeps a folder from being opened: without
// a UIDVALIDITY and UIDs that are on disk nothing can be shown.
func (f *folder) unopened(err error) error {
	if f.st == nil && errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return err
}

// takeLock takes the lock of the folder that is at f.dir now: another process
// may have deleted the one that was, and made one of the same name.
func (f *folder) takeLock(ctx context.Context) error {
	for range 10 {
		if f.lock == nil {
			file, err := f.openLock()
			if err != nil {
				return err
			}
			f.lock = file
		}
		if err := lockSoon(ctx, f.lock); err != nil {
			return err
		}
		_, ino, err := safefile.Inode(f.lock)
		if err == nil && sameInode(f.path(fileLock), ino) {
			return nil
		}
		f.lock.Close() // which gives the lock up
		f.lock = nil
	}
	return fmt.Errorf("%w: %s is replaced all the time", ErrTemporary, f.path(fileLock))
}

func (f *folder) openLock() (*os.File, error) {
	if _, err := os.Lstat(f.path("cur")); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, ErrNoMailbox
		}
		return nil, err
	}
	file, _, err := f.sh.fs.Open(f.path(fileLock), os.O_RDWR, safefile.Check{Owner: safefile.AnyOwner})
	if !errors.Is(err, os.ErrNotExist) {
		return file, err
	}
	file, err = f.sh.fs.Create(f.path(fileLock), 0o600)
	if errors.Is(err, os.ErrExist) {
		file, _, err = f.sh.fs.Open(f.path(fileLock), os.O_RDWR, safefile.Check{Owner: safefile.AnyOwner})
	}
	return file, err
}

// lockSoon takes the lock of a folder. It is held for milliseconds, so the
// first tries come quickly.
func lockSoon(ctx context.Context, file *os.File) error {
	for pause := 50 * time.Microsecond; pause < 5*time.Millisecond; pause *= 2 {
		if ok, err := safefile.TryLockOFD(file); ok || err != nil {
			return err
		}
		time.Sleep(pause)
	}
	return safefile.LockOFD(ctx, file)
}

// refresh brings the state up to what is on disk. f.mu is not held.
func (f *folder) refresh() (*state, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refreshLocked()
}

func (f *folder) refreshLocked() (*state, error) {
	if f.gone {
		return nil, ErrReplaced
	}
	if f.adriftStill() {
		return f.st, nil
	}
	if f.st != nil {
		ok, err := f.follow()
		if err == nil && ok && !f.needsScan() {
			return f.settled()
		}
	}
	err := f.locked(func() error {
		if f.needsScan() {
			return f.scan()
		}
		return nil
	})
	if err != nil {
		return nil, temporary(fmt.Errorf("%s: %w", f.dir, err))
	}
	return f.settled()
}

// settled returns the state when the UIDs that were given to messages found in
// the directories are on disk: those messages are, so a power cut must not give
// them others once a client knows these.
func (f *folder) settled() (*state, error) {
	if f.unsynced {
		if err := f.syncList(); err != nil {
			return nil, temporary(err)
		}
		f.unsynced = false
	}
	return f.st, nil
}

// follow reads what was added to the log, without the lock. ok is false if
// that needs the lock.
func (f *folder) follow() (ok bool, err error) {
	if f.log == nil {
		return false, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(f.path(fileLog), &st); err != nil {
		return false, err
	}
	if st.Ino != f.logIno {
		return false, nil
	}
	if st.Size == f.logOff {
		return true, nil
	}
	return f.readLog()
}

// readLog applies the frames behind logOff. ok is false if there is something
// that is not a whole frame, or the log's end.
func (f *folder) readLog() (ok bool, err error) {
	for {
		ops, n, err := f.nextFrame()
		if err == io.EOF {
			return true, nil
		}
		if err != nil || n == 0 {
			return false, nil
		}
		if len(ops) == 1 && ops[0].Kind == changelog.End {
			return false, nil
		}
		st, err := f.st.apply(ops)
		if err != nil {
			return false, err
		}
		f.logOff += int64(n)
		f.publish(st)
	}
}

// nextFrame reads the frame at logOff.
func (f *folder) nextFrame() ([]changelog.Op, int, error) {
	b := make([]byte, 16<<10)
	for {
		n, err := f.log.ReadAt(b, f.logOff)
		if n == 0 && err == io.EOF {
			return nil, 0, io.EOF
		}
		if err != nil && err != io.EOF {
			return nil, 0, err
		}
		ops, size, err2 := changelog.NextFrame(b[:n])
		if err2 != nil || size > 0 || n < len(b) {
			return ops, size, err2
		}
		b = make([]byte, 8*len(b))
	}
}

// publish makes st the state and tells who waits.
func (f *folder) publish(st *state) {
	f.st = st
	f.wake()
}

func (f *folder) wake() {
	for _, ch := range f.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
