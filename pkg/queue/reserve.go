package queue

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

const (
	// rushGap is how soon one message follows another in a rush, and rushStart
	// after how many of them files are worth making ahead.
	rushGap   = 20 * time.Millisecond
	rushStart = 8

	// When no more are left than reserveMin and one for each message that is being
	// written, since as many may come while files are made, as many are made again;
	// reserveMax at most.
	reserveMin = 16
	reserveMax = 256

	// reserveIdle is how long files are kept when no more mail comes, or twice as long.
	reserveIdle = 20 * time.Millisecond
)

// reserve holds new files in the incoming queue that were made ahead of their
// messages, while mail comes all the time. One sync makes the names of a whole
// batch durable, so that the messages in it need one of their own file only; and
// who makes a file waits while the file system's journal is written, which then
// nobody does in whose turn a message comes.
//
// A file of the reserve is empty, has the mode [ModeReserved], and is locked by
// the process that holds it. Without that lock its process is gone, and
// [Queue.RemoveReserved] takes it away.
type reserve struct {
	mu      sync.Mutex
	files   []*Writer // the oldest first
	last    time.Time // when a message came
	rush    int       // messages in a row that came soon after one another
	filling int       // files that are being made
	closed  bool
	idle    *time.Timer
	fills   sync.WaitGroup
}

// take returns a file for a message, or nil if there is none.
func (r *reserve) take(q *Queue) *Writer {
	for {
		w := r.next(q)
		if w == nil || w.inPlace() {
			return w
		}
		_ = w.close() // somebody removed or moved it
	}
}

func (r *reserve) next(q *Queue) *Writer {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.last) < rushGap {
		r.rush++
	} else {
		r.rush = 0
	}
	r.last = now
	low := min(reserveMin+int(q.writing.Load()), reserveMax)
	if r.rush >= rushStart && len(r.files) <= low && r.filling == 0 && !r.closed {
		r.filling = low
		r.fills.Add(1)
		go r.fill(q, low)
	}
	if len(r.files) == 0 {
		return nil
	}
	w := r.files[0]
	r.files = slices.Delete(r.files, 0, 1)
	w.made = now
	w.begin()
	return w
}

// fill makes n files. After an error there is none; who needs a file then makes
// one, and says what is wrong.
func (r *reserve) fill(q *Queue, n int) {
	defer r.fills.Done()
	files, err := q.makeReserve(n)
	r.mu.Lock()
	r.filling = 0
	if err == nil && !r.closed {
		r.files, files = append(r.files, files...), nil
		r.keep()
	} else {
		r.rush = 0
	}
	r.mu.Unlock()
	abandon(files)
}

// keep starts the time after which unused files go.
func (r *reserve) keep() {
	if r.idle == nil {
		r.idle = time.AfterFunc(reserveIdle, r.expire)
	}
}

// expire removes the files if no mail came lately.
func (r *reserve) expire() {
	r.mu.Lock()
	r.idle = nil
	var old []*Writer
	if time.Since(r.last) >= reserveIdle {
		old, r.files = r.files, nil
	} else if len(r.files) > 0 {
		r.keep()
	}
	r.mu.Unlock()
	abandon(old)
}

// makeReserve makes n files with durable names.
func (q *Queue) makeReserve(n int) ([]*Writer, error) {
	files := make([]*Writer, 0, n)
	for range n {
		w, err := q.reserveOne()
		if err != nil {
			abandon(files)
			return nil, err
		}
		files = append(files, w)
	}
	if err := q.fs.SyncDir(q.dir + Incoming); err != nil {
		abandon(files)
		return nil, err
	}
	return files, nil
}

// reserveOne makes one file and locks it. Who removes such files holds the lock
// too, so one that is still there then stays.
func (q *Queue) reserveOne() (*Writer, error) {
	w, err := q.newFile(context.Background(), Incoming, ModeReserved)
	if err != nil {
		return nil, err
	}
	w.reserved, w.named = true, true
	ok, err := safefile.TryFlock(w.f)
	if err == nil && (!ok || !w.inPlace()) {
		err = &os.PathError{Op: "reserve", Path: w.path, Err: os.ErrNotExist}
	}
	if err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

// inPlace reports whether the file is where its name says. postsuper may have
// moved or removed it, as it may any file.
func (w *Writer) inPlace() bool {
	var here, there unix.Stat_t
	return unix.Fstat(int(w.f.Fd()), &here) == nil && unix.Lstat(w.path, &there) == nil &&
		here.Ino == there.Ino && here.Dev == there.Dev
}

// abandon removes files that nobody needs.
func abandon(files []*Writer) {
	for _, w := range files {
		if w.inPlace() {
			w.Abort()
		} else {
			_ = w.close()
		}
	}
}

// Reserved returns how many files were made ahead.
func (q *Queue) Reserved() int {
	q.reserve.mu.Lock()
	defer q.reserve.mu.Unlock()
	return len(q.reserve.files) + q.reserve.filling
}

// Release removes the files that were made ahead; no more are made.
func (q *Queue) Release() {
	r := &q.reserve
	r.mu.Lock()
	r.closed = true
	files := r.files
	r.files = nil
	r.mu.Unlock()
	r.fills.Wait()
	abandon(files)
}

// RemoveReserved removes a file in the incoming queue that a process made ahead
// and left behind when it was killed, and reports whether it was one. Nothing was ever in it.
func (q *Queue) RemoveReserved(id ID) (bool, error) {
	if err := checkNames(id); err != nil {
		return false, err
	}
	path := q.Path(Incoming, id)
	f, st, err := q.fs.Open(path, os.O_WRONLY, safefile.Check{Owner: q.owner})
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if !isReserved(st) {
		return false, nil
	}
	if ok, err := safefile.TryFlock(f); !ok {
		return false, err
	}
	// Whoever held the lock may have used it meanwhile, or removed it.
	if err := unix.Fstat(int(f.Fd()), st); err != nil {
		return false, &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	if !isReserved(st) || st.Nlink != 1 {
		return false, nil
	}
	return true, q.fs.Remove(path)
}

func isReserved(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IRWXU == ModeReserved && st.Size == 0
}
