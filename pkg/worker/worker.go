// Package worker runs jobs with the rights of a user.
//
// A Go process has one user id for all of its goroutines, so a delivery agent
// does not become a recipient for the length of a delivery, as Postfix's
// does. It starts a worker process, asuser, under the recipient's uid and
// sends it jobs over a socket pair: what to do as an attribute list, and with it
// the message as an open file. A worker serves one uid, several jobs at once, and
// is kept for a while after its last one, since a start costs milliseconds.
//
// The agent, which is root, neither opens a user's file nor reads a message;
// the worker, which does, can reach only what its user can.
package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// Identity is with which rights a worker runs.
type Identity struct {
	UID, GID int
	// Dirs are the directories that the worker may use, enforced by
	// landlock. A worker without any is not confined: commands from
	// .forward need the rights that their user has.
	Dirs []string
}

// key tells identities apart.
type key struct {
	uid, gid int
	dirs     string
}

func (id Identity) key() key { return key{id.UID, id.GID, strings.Join(id.Dirs, "\x00")} }

// Job is what a worker is asked to do, and for how long at most; 0 is no limit.
type Job struct {
	Request ipc.List
	File    *os.File    // passed along if not nil
	Conn    *ipc.Passed // the same of a socket; a job has one of them at most
	Timeout time.Duration
	// Event, if not nil, gets what the worker tells before its reply. Calls
	// come from one goroutine per worker and must not take long.
	Event func(event string, l ipc.List)
}

// ErrGone reports a worker that ended, or did not answer in time. Whether the
// job was done is not known.
var ErrGone = errors.New("worker process is gone")

// Pool starts workers and keeps them.
type Pool struct {
	// Grace is how long an ended worker may take to leave; a second if zero.
	Grace time.Duration

	program string
	idle    time.Duration

	mu      sync.Mutex
	workers map[key]*process
	closed  bool
}

// NewPool returns a pool of workers that run program, the path of asuser. One
// that had no job for idle is ended.
func NewPool(program string, idle time.Duration) *Pool {
	return &Pool{program: program, idle: idle, workers: make(map[key]*process)}
}

// Do has a job done with the rights of id and returns the reply. The error is
// about the worker; what became of the job is in the reply.
func (p *Pool) Do(ctx context.Context, id Identity, job Job) (ipc.List, error) {
	for try := 0; ; try++ {
		w, err := p.get(id)
		if err != nil {
			return nil, err
		}
		reply, err := w.do(ctx, job)
		p.release(w)
		// A kept worker may have been on its way out: it never saw the job.
		if errors.Is(err, errBadJob) {
			return nil, err
		}
		if errors.Is(err, errNotSent) && try == 0 {
			p.discard(w)
			continue
		}
		if err != nil {
			p.discard(w)
			return nil, fmt.Errorf("%w: %w", ErrGone, err)
		}
		return reply, nil
	}
}

// get returns a running worker for id, with one more user.
func (p *Pool) get(id Identity) (*process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	w := p.workers[id.key()]
	if w == nil {
		var err error
		if w, err = start(p.program, id, cmp.Or(p.Grace, time.Second)); err != nil {
			return nil, fmt.Errorf("start %s as uid %d: %w", p.program, id.UID, err)
		}
		p.workers[id.key()] = w
	}
	w.users++
	if w.timer != nil {
		w.timer.Stop()
	}
	return w, nil
}

func (p *Pool) release(w *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.users--
	if w.users > 0 {
		return
	}
	if w.timer != nil {
		w.timer.Reset(p.idle)
		return
	}
	w.timer = time.AfterFunc(p.idle, func() {
		p.mu.Lock()
		unused := w.users == 0
		if unused && p.workers[w.key] == w {
			delete(p.workers, w.key)
		}
		p.mu.Unlock()
		if unused {
			w.end()
		}
	})
}

// discard forgets a worker and ends it; jobs that it still has fail.
func (p *Pool) discard(w *process) {
	p.mu.Lock()
	if p.workers[w.key] == w {
		delete(p.workers, w.key)
	}
	p.mu.Unlock()
	w.end()
}

// Close ends all workers.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	workers := p.workers
	p.workers = nil
	p.mu.Unlock()
	for _, w := range workers {
		w.end()
	}
}

// pending is a job that has no reply yet.
type pending struct {
	answer chan ipc.List
	event  func(event string, l ipc.List)
}

// process is one running worker.
type process struct {
	key  key
	cmd  *exec.Cmd
	conn *ipc.Conn // jobs and replies

	users int // under the pool's lock
	timer *time.Timer

	mu      sync.Mutex // also orders jobs
	next    int64
	waiting map[int64]*pending
	grace   time.Duration
	err     error
	once    sync.Once
}

// start runs a worker. Its socket is descriptor 3, and it has no others, no
// environment and no supplementary groups.
func start(program string, id Identity, grace time.Duration) (*process, error) {
	jobs, jobsChild, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer jobsChild.Close()
	cmd := exec.Command(program, id.Dirs...)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	if tz, ok := os.LookupEnv("TZ"); ok {
		cmd.Env = append(cmd.Env, "TZ="+tz)
	}
	cmd.ExtraFiles = []*os.File{jobsChild}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{
			Uid: uint32(id.UID), Gid: uint32(id.GID), Groups: []uint32{uint32(id.GID)}}}
	} else if id.UID != os.Geteuid() {
		err = errors.New("only root can start a worker for another user")
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		jobs.Close()
		return nil, err
	}
	w := &process{key: id.key(), cmd: cmd, conn: ipc.NewConn(jobs), waiting: make(map[int64]*pending), grace: grace}
	go w.read()
	return w, nil
}

// socketPair returns one end as a connection and the other as a file.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	f := os.NewFile(uintptr(fds[0]), "worker")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		syscall.Close(fds[1])
		return nil, nil, err
	}
	return nowait.Quiet(conn), os.NewFile(uintptr(fds[1]), "worker"), nil
}

var (
	// errNotSent reports a job that the worker did not get.
	errNotSent = errors.New("job not sent")
	// errBadJob reports one that no worker can get. The other jobs of the
	// worker, which may be other people's sessions, go on.
	errBadJob = errors.New("job cannot be sent")
)

func (w *process) do(ctx context.Context, job Job) (ipc.List, error) {
	id, answer, err := w.send(job)
	if err != nil {
		return nil, err
	}
	defer func() {
		w.mu.Lock()
		delete(w.waiting, id)
		w.mu.Unlock()
	}()
	var late <-chan time.Time // never, without a limit
	if job.Timeout > 0 {
		timeout := time.NewTimer(job.Timeout)
		defer timeout.Stop()
		late = timeout.C
	}
	select {
	case reply, ok := <-answer:
		if !ok {
			return nil, errors.New("no answer")
		}
		return reply, nil
	case <-late:
		return nil, fmt.Errorf("no answer within %v", job.Timeout)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *process) send(job Job) (int64, chan ipc.List, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errNotSent, w.err)
	}
	w.next++
	id := w.next
	l := append(ipc.List{}.Str("job", strconv.FormatInt(id, 10)).Bool("file", job.File != nil || job.Conn != nil), job.Request...)
	if err := l.Check(); err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errBadJob, err)
	}
	w.conn.SetWriteDeadline(time.Now().Add(time.Minute)) // replies have none
	var err error
	switch {
	case job.Conn != nil:
		err = w.conn.WriteFileList(job.Conn, l)
	case job.File != nil:
		err = w.conn.WriteFileList(job.File, l)
	default:
		if err = w.conn.WriteList(l); err == nil {
			err = w.conn.Writer().Flush()
		}
	}
	if err != nil {
		w.err = err
		return 0, nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	answer := make(chan ipc.List, 1)
	w.waiting[id] = &pending{answer, job.Event}
	return id, answer, nil
}

// read hands out replies until the worker ends; then all that wait are told.
func (w *process) read() {
	for {
		l, err := ipc.ReadList(w.conn.Reader())
		var id int64
		if err == nil {
			id, err = l.GetInt("job")
		}
		w.mu.Lock()
		if err != nil {
			w.err = err
			for id, job := range w.waiting {
				close(job.answer)
				delete(w.waiting, id)
			}
			w.mu.Unlock()
			break
		}
		job := w.waiting[id]
		event := l.Value("event")
		if job != nil && event == "" {
			job.answer <- l
			delete(w.waiting, id)
		}
		w.mu.Unlock()
		if job != nil && event != "" && job.event != nil {
			job.event(event, l)
		}
	}
	w.end()
	w.cmd.Wait()
}

// end closes the socket, upon which the worker exits, and makes sure that it
// does.
func (w *process) end() {
	w.once.Do(func() {
		w.conn.Close()
		time.AfterFunc(w.grace, func() { w.cmd.Process.Kill() })
	})
}
