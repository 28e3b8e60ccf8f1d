package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/crew"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// fdJobs is the descriptor on which the parent left the socket.
const fdJobs = 3

// Child is the worker's side of a [Pool].
type Child struct {
	conn *ipc.FileConn

	mu sync.Mutex // lists leave whole
}

// Inherit takes over the socket that the parent left. A worker never runs as
// root.
func Inherit() (*Child, error) {
	if os.Geteuid() == 0 || os.Getegid() == 0 && os.Getuid() == 0 {
		return nil, errors.New("must not run as root")
	}
	unix.CloseOnExec(fdJobs)
	f := os.NewFile(fdJobs, "parent")
	jobs, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d: %w: this program is started by another", fdJobs, err)
	}
	f.Close()
	if jobs.LocalAddr().Network() != "unix" {
		return nil, fmt.Errorf("descriptor %d is no Unix socket", fdJobs)
	}
	conn, err := ipc.NewFileConn(nowait.Quiet(jobs), ipc.ManyFiles)
	if err != nil {
		return nil, err
	}
	return &Child{conn: conn}, nil
}

// Task is a job as the worker sees it.
type Task struct {
	Request ipc.List
	File    *os.File // nil if none came; closed after the job
	child   *Child
	last    ipc.List // event that goes with the reply
}

// Tell sends an event of this job to the parent. It may be called from any
// goroutine until the job is done.
func (t *Task) Tell(event string, l ipc.List) {
	t.child.send(t.event(event, l), nil, nil)
}

// TellLast is Tell for an event after which the job is done: it leaves with the
// reply, so that the parent wakes once. Only the goroutine of the job calls it.
func (t *Task) TellLast(event string, l ipc.List) {
	t.last = t.event(event, l)
}

func (t *Task) event(event string, l ipc.List) ipc.List {
	return append(ipc.List{}.Str("job", t.Request.Value("job")).Str("event", event), l...)
}

// Serve does jobs, up to max at once, until the parent closes the socket; it
// waits for those that are under way. gone, if not nil, is called before
// that.
func (c *Child) Serve(max int, do func(*Task) ipc.List, gone func()) error {
	slots := make(chan struct{}, max)
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	hands := crew.New()
	defer hands.Wait()
	if gone != nil {
		defer gone()
	}
	for {
		req, err := ipc.ReadList(c.conn.Reader())
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a job: %w", err)
		}
		task := &Task{Request: req, child: c}
		if has, err := req.GetBool("file"); err != nil {
			return err
		} else if has {
			task.File, err = c.conn.File("message")
			if errors.Is(err, ipc.ErrNoRoom) {
				// The others, who may be in the middle of something, stay.
				c.send(failed(task, err.Error()), nil, nil)
				continue
			}
			if err != nil {
				return err
			}
		}
		slots <- struct{}{}
		hands.Run(ctx, func() {
			defer func() { <-slots }()
			c.answer(task, do)
		})
	}
}

// answer does one job and sends its reply.
func (c *Child) answer(task *Task, do func(*Task) ipc.List) {
	if task.File != nil {
		defer task.File.Close()
	}
	// If the reply itself is at fault, its job must not go unanswered.
	reply := append(make(ipc.List, 0, 8), ipc.Attr{Name: "job", Value: task.Request.Value("job")})
	reply = append(reply, do(task)...)
	c.send(reply, failed(task, "reply of a delivery process is too long"), task.last)
}

// failed is the reply for a job that was not done.
func failed(t *Task, text string) ipc.List {
	return ipc.List{}.Str("job", t.Request.Value("job")).Str("code", "4.3.0").Str("text", text)
}

// send writes a list, or instead of one that cannot be written, and in front
// of it first if that is not nil.
func (c *Child) send(l, instead, first ipc.List) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	if first != nil {
		c.conn.WriteList(first)
	}
	if err := c.conn.WriteList(l); err != nil && instead != nil {
		c.conn.WriteList(instead)
	}
	c.conn.Writer().Flush()
}
