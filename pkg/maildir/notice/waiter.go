package notice

import (
	"crypto/rand"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// rest is the least time between two notices: a hundred looks in a second are
// what a process can make another one do.
const rest = 10 * time.Millisecond

// Waiter is told of changes of a folder. It costs a descriptor and no
// goroutine.
type Waiter struct {
	fs   *safefile.FS
	dir  string
	deaf bool
	end  chan struct{} // closed by Close

	// Of Wait alone.
	told  time.Time // the last notice
	tried time.Time // when a FIFO could not be made

	mu   sync.Mutex
	name string   // of the FIFO
	file *os.File // nil if there is none
	raw  syscall.RawConn
}

// New returns a waiter for changes of the folder at dir. It is told of those
// that come after New has returned. Where no FIFO can be made it is told of
// none, and tries again later. The caller closes it.
func New(fs *safefile.FS, dir string) *Waiter {
	w := &Waiter{fs: fs, dir: dir, end: make(chan struct{})}
	w.open()
	return w
}

// Deaf returns a waiter that is told of nothing, and costs no descriptor.
func Deaf() *Waiter { return &Waiter{deaf: true, end: make(chan struct{})} }

// Name is what [Post] must not tell to have the waiter spared.
func (w *Waiter) Name() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.name
}

// open makes a FIFO, and reports whether there is one.
func (w *Waiter) open() bool {
	name := rand.Text()
	file, err := create(w.fs, w.dir, name)
	if err != nil {
		w.tried = time.Now()
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	raw, err := file.SyscallConn()
	if err != nil || w.ended() {
		file.Close()
		remove(w.fs, w.dir, name)
		return false
	}
	w.name, w.file, w.raw = name, file, raw
	return true
}

func (w *Waiter) ended() bool {
	select {
	case <-w.end:
		return true
	default:
		return false
	}
}

// Close ends waiting, and the FIFO.
func (w *Waiter) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended() {
		return
	}
	close(w.end)
	if w.file != nil {
		// What waits for the descriptor ends with it.
		w.file.Close()
		remove(w.fs, w.dir, w.name)
	}
}

// Wait returns true when there was a notice or d has passed, and false after
// Close. One goroutine at a time calls it.
func (w *Waiter) Wait(d time.Duration) bool {
	if left := rest - time.Since(w.told); left > 0 && !w.sleep(left) {
		return false
	}
	if w.restore() {
		return true // of what came meanwhile
	}
	w.mu.Lock()
	raw := w.raw
	if w.file != nil {
		_ = w.file.SetReadDeadline(time.Now().Add(d))
	}
	w.mu.Unlock()
	if raw == nil {
		return w.sleep(d)
	}
	told := false
	err := raw.Read(func(fd uintptr) bool {
		told = drain(int(fd))
		return told
	})
	if told {
		w.told = time.Now()
	} else if err == nil {
		return w.sleep(d) // cannot be
	}
	return !w.ended()
}

func (w *Waiter) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.end:
		return false
	}
}

// drain takes what is in the FIFO, which has room for a page.
func drain(fd int) (some bool) {
	var b [256]byte
	for range 64 {
		n, err := unix.Read(fd, b[:])
		if n > 0 {
			some = true
		}
		if err != unix.EINTR && n < len(b) {
			return some
		}
	}
	return some
}

// restore makes a FIFO where there is none, and reports whether it did:
// somebody may have removed the one that was.
func (w *Waiter) restore() bool {
	w.mu.Lock()
	raw := w.raw
	w.mu.Unlock()
	if raw != nil {
		var st unix.Stat_t
		err := raw.Control(func(fd uintptr) {
			if unix.Fstat(int(fd), &st) != nil {
				st.Nlink = 1
			}
		})
		if err != nil || st.Nlink > 0 {
			return false
		}
		w.mu.Lock()
		if !w.ended() {
			w.file.Close()
		}
		w.file, w.raw, w.name = nil, nil, ""
		w.mu.Unlock()
	} else if w.deaf || time.Since(w.tried) < stale {
		return false
	}
	return w.open()
}
