package ipc

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// Trigger sends bytes to a trigger service, whose endpoint is a FIFO or a
// socket. A trigger is a hint: the service looks for work at intervals
// anyway, so a full FIFO is no error, and an absent reader is one that a
// caller may ignore.
func Trigger(path string, request []byte) error {
	fd, err := openFIFO(path)
	if err == nil {
		defer syscall.Close(fd)
		if err := triggerFIFO(fd, path, request); !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		return nil
	}
	if !errors.Is(err, errNoFIFO) {
		return fmt.Errorf("trigger %s: %w", path, err)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return fmt.Errorf("trigger %s: %w", path, err)
	}
	defer conn.Close()
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write(request); err != nil {
		return fmt.Errorf("trigger %s: %w", path, err)
	}
	return nil
}

// errNoFIFO reports an endpoint that is something else, such as a socket.
var errNoFIFO = errors.New("not a FIFO")

func openFIFO(path string) (int, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return -1, err
	}
	if info.Mode()&os.ModeNamedPipe == 0 {
		return -1, errNoFIFO
	}
	return syscall.Open(path, syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC|syscall.O_NOFOLLOW, 0)
}

func triggerFIFO(fd int, path string, request []byte) error {
	if _, err := nowait.Write(fd, request); err != nil {
		return fmt.Errorf("trigger %s: %w", path, err)
	}
	return nil
}

// reopenFIFO is how long a Triggerer uses a FIFO without a look whether the
// name has come to mean another.
const reopenFIFO = time.Second

// A FIFO is full when the service has no time to read it. What it finds there
// then may tell of some work and not of all, so it is told once more; patience
// is how long that is tried.
const (
	fullPause = 20 * time.Millisecond
	patience  = 5 * time.Second
)

// Triggerer tells a service again and again that there is work, without
// waiting for it: a trigger is a hint. It keeps the service's FIFO open.
type Triggerer struct {
	path    string
	request []byte

	mu      sync.Mutex
	buf     []byte
	fd      int // of the FIFO; -1 if it is not open
	opened  time.Time
	pending bool
	running bool
	work    sync.WaitGroup
}

// NewTriggerer returns a Triggerer that sends request to the service at path.
func NewTriggerer(path, request string) *Triggerer {
	return &Triggerer{path: path, request: []byte(request), fd: -1}
}

// Fire makes sure that a trigger is sent after this call began. What follows
// the request may be lost: the service has to look for all work when it gets
// the bare one.
func (t *Triggerer) Fire(following func(request []byte) []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fd >= 0 && time.Since(t.opened) < reopenFIFO {
		t.buf = following(append(t.buf[:0], t.request...))
		if triggerFIFO(t.fd, t.path, t.buf) == nil {
			return
		}
	}
	t.pending = true
	if !t.running {
		t.running = true
		t.work.Go(t.run)
	}
}

// Wait returns when the last trigger is on its way. A process that ends
// without it would leave its last message to the service's next regular look.
func (t *Triggerer) Wait() { t.work.Wait() }

// run sends what is pending over a new opening of the endpoint. Triggers that
// come while it does so share one.
func (t *Triggerer) run() {
	for t.begin() {
		fd, err := openFIFO(t.path)
		if err != nil {
			// A socket; or nobody is there, who will look when he starts.
			_ = Trigger(t.path, t.request)
			continue
		}
		for end := time.Now().Add(patience); ; time.Sleep(fullPause) {
			if err := triggerFIFO(fd, t.path, t.request); !errors.Is(err, syscall.EAGAIN) || time.Now().After(end) {
				break
			}
		}
		t.keep(fd)
	}
}

// begin takes up what is pending; false means that nothing is.
func (t *Triggerer) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running, t.pending = t.pending, false
	return t.running
}

// keep has further triggers sent over fd.
func (t *Triggerer) keep(fd int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fd >= 0 {
		syscall.Close(t.fd)
	}
	t.fd, t.opened = fd, time.Now()
}
