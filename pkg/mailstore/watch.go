package mailstore

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/maildir/notice"
)

// hub has the process's inotify instance: the kernel tells it of changes of
// folders that sessions watch, whoever makes them. Changes by sessions of the
// same process are told without it.
type hub struct {
	sh *Shared

	mu      sync.Mutex
	fd      int // -1: none to be had, folders are looked at from time to time
	file    *os.File
	byWatch map[int32]*watched
	folders map[*folder]*watched
	waiters int         // how many more folders may have one
	retry   *time.Timer // runs while the kernel does not watch some folder
}

type watched struct {
	f   *folder
	wds map[int32]string // which directory it is: "", "cur" or "new"
}

// pollEvery is how often a folder is looked at that the kernel does not watch.
// Processes of ours tell each other of their changes at once: this is for
// other programs.
const pollEvery = time.Second

// WithoutInotify makes sh behave, before its first use, as where the kernel
// watches no more folders, and look at them so often: for tests.
func (sh *Shared) WithoutInotify(poll time.Duration) { sh.unwatched, sh.poll = true, poll }

// Watch returns a channel that tells when a Sync may find something. It is the
// same at each call, until the mailbox is closed.
func (m *Mailbox) Watch() <-chan struct{} {
	m.f.mu.Lock()
	ch := m.f.watchers[m]
	first := len(m.f.watchers) == 0
	if ch == nil {
		ch = make(chan struct{}, 1)
		m.f.watchers[m] = ch
	}
	m.f.mu.Unlock()
	if first {
		m.store.sh.startWatch(m.f)
	}
	return ch
}

func (m *Mailbox) unwatch() {
	m.f.mu.Lock()
	_, had := m.f.watchers[m]
	delete(m.f.watchers, m)
	last := had && len(m.f.watchers) == 0
	if last {
		m.f.watchedSince, m.f.own = time.Time{}, nil
	}
	m.f.mu.Unlock()
	if last {
		m.store.sh.stopWatch(m.f)
	}
}

func (sh *Shared) startWatch(f *folder) {
	sh.mu.Lock()
	if sh.hub == nil {
		sh.hub = newHub(sh)
	}
	h := sh.hub
	sh.mu.Unlock()
	h.add(f)
}

func (sh *Shared) stopWatch(f *folder) {
	sh.mu.Lock()
	h := sh.hub
	sh.mu.Unlock()
	h.remove(f)
}

func newHub(sh *Shared) *hub {
	h := &hub{sh: sh, byWatch: make(map[int32]*watched), folders: make(map[*folder]*watched)}
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		h.waiters = int(min(files.Cur/waiterShare, 1<<30))
	}
	h.fd = -1
	if err := h.open(); err != nil {
		sh.log.Warn("no inotify, folders are polled", "reason", err)
	}
	return h
}

// open gets an inotify instance.
func (h *hub) open() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if h.sh.unwatched && err == nil {
		_ = unix.Close(fd)
		err = unix.EMFILE
	}
	if err != nil {
		return err
	}
	h.fd, h.file = fd, os.NewFile(uintptr(fd), "inotify")
	go h.run(h.file)
	return nil
}

const (
	maskFiles  = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_ONLYDIR
	maskFolder = unix.IN_MODIFY | unix.IN_MOVED_TO | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF | unix.IN_ONLYDIR
)

func (h *hub) add(f *folder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.folders[f] != nil {
		return
	}
	w := &watched{f: f, wds: make(map[int32]string)}
	h.folders[f] = w
	if h.watch(w) != nil {
		h.standIn(f)
		h.later()
	}
}

// watch has the kernel watch a folder, or nothing of it.
func (h *hub) watch(w *watched) error {
	f := w.f
	for _, sub := range []string{"", "cur", "new"} {
		mask := uint32(maskFiles)
		if sub == "" {
			mask = maskFolder
		}
		wd, err := unix.InotifyAddWatch(h.fd, f.path(sub), mask)
		if err != nil {
			h.dropWatches(w)
			return err
		}
		w.wds[int32(wd)] = sub
		h.byWatch[int32(wd)] = w
	}
	f.mu.Lock()
	f.watchedSince = time.Now()
	f.dirty = true // what came before the watch
	f.wake()
	f.mu.Unlock()
	return nil
}

// retryEvery is how often the kernel is asked again to watch the folders that it
// refused to watch.
const retryEvery = time.Minute

// later sees that what the kernel refused is tried again.
func (h *hub) later() {
	if h.retry == nil {
		h.retry = time.AfterFunc(h.sh.retry, h.tryAgain)
	}
}

// tryAgain asks the kernel to watch what it does not watch. Where it has nothing left,
// the rest need not be tried.
func (h *hub) tryAgain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retry = nil
	full := h.fd < 0 && h.open() != nil
	for f, w := range h.folders {
		if len(w.wds) > 0 {
			continue
		}
		if !full {
			err := h.watch(w)
			if err == nil {
				h.relieve(f)
				continue
			}
			full = errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.ENOMEM)
		}
		h.later()
	}
}

// waiterShare is what part of the files that a process may have open can be
// those through which it is told of changes: sessions need theirs.
const waiterShare = 4

// standIn has the sessions of a folder that the kernel does not watch told by
// processes that change it, and woken from time to time.
func (h *hub) standIn(f *folder) {
	w := notice.Deaf()
	if h.waiters > 0 {
		w = notice.New(h.sh.fs, f.dir)
	}
	h.waiters--
	f.mu.Lock()
	f.waiter = w
	f.wake() // of what came before
	f.mu.Unlock()
	go func() {
		for w.Wait(h.sh.poll) {
			f.mu.Lock()
			f.wake()
			f.mu.Unlock()
		}
	}()
}

// tellOthers tells processes for which the kernel does not watch the folder of
// a change. f.mu is held, and the folder's lock not any more.
func (f *folder) tellOthers() {
	if !f.news {
		return
	}
	f.news = false
	own := ""
	if f.waiter != nil {
		own = f.waiter.Name()
	}
	notice.Post(f.sh.fs, f.dir, own)
}

func (h *hub) dropWatches(w *watched) {
	for wd := range w.wds {
		_, _ = unix.InotifyRmWatch(h.fd, uint32(wd))
		delete(h.byWatch, wd)
	}
	clear(w.wds)
}

func (h *hub) remove(f *folder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.folders[f]
	if w == nil {
		return
	}
	delete(h.folders, f)
	h.dropWatches(w)
	f.mu.Lock()
	f.watchedSince, f.own = time.Time{}, nil // it may have been tried again just now
	f.mu.Unlock()
	h.relieve(f)
}

// relieve ends what stands in for the kernel.
func (h *hub) relieve(f *folder) {
	f.mu.Lock()
	waiter := f.waiter
	f.waiter = nil
	f.mu.Unlock()
	if waiter != nil {
		waiter.Close()
		h.waiters++
	}
}

// ended has all folders do without the kernel, for a while.
func (h *hub) ended(file *os.File) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fd = -1
	_ = file.Close()
	clear(h.byWatch)
	for f, w := range h.folders {
		if len(w.wds) == 0 {
			continue
		}
		clear(w.wds)
		f.mu.Lock()
		f.watchedSince, f.own = time.Time{}, nil
		f.mu.Unlock()
		h.standIn(f)
		h.later()
	}
}

// run reads events until the process ends.
func (h *hub) run(file *os.File) {
	buf := make([]byte, 64<<10)
	for {
		n, err := file.Read(buf)
		if err != nil {
			h.sh.log.Warn("inotify ended", "reason", err)
			h.ended(file)
			return
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			wd := int32(binary.NativeEndian.Uint32(b))
			mask := binary.NativeEndian.Uint32(b[4:])
			size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
			if size > len(b) {
				break
			}
			name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:size]), "\x00")
			h.event(wd, mask, name)
			b = b[size:]
		}
	}
}

func (h *hub) event(wd int32, mask uint32, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if mask&unix.IN_Q_OVERFLOW != 0 {
		for f := range h.folders {
			f.noteChange(true)
		}
		return
	}
	w := h.byWatch[wd]
	if w == nil {
		return
	}
	sub := w.wds[wd]
	switch {
	case mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0:
		w.f.noteChange(true)
	case sub != "":
		w.f.noteName(sub + "/" + name)
	case name == fileLog:
		w.f.noteChange(false)
	}
}

// maxOwn bounds how many names of own changes wait for their events.
const maxOwn = 1 << 16

// expect tells that the kernel will report name, relative to the folder, for
// a change that this process makes. f.mu is held.
func (f *folder) expect(names ...string) {
	if f.watchedSince.IsZero() {
		return
	}
	if f.own == nil || len(f.own) > maxOwn {
		f.own = make(map[string]int)
	}
	for _, name := range names {
		f.own[name]++
	}
}

// noteName takes note of a name that was made, renamed or removed.
func (f *folder) noteName(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.own[name]; n > 0 {
		if n == 1 {
			delete(f.own, name)
		} else {
			f.own[name] = n - 1
		}
		return
	}
	f.dirty = true
	f.wake()
}

func (f *folder) noteChange(dirty bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty = f.dirty || dirty
	f.wake()
}
