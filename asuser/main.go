// Asuser does one user's share of local delivery, with that user's rights.
//
// # Synopsis
//
//	asuser [directory ...]
//
// # Description
//
// The local(8), virtual(8) and deposit(8) delivery agents start asuser under
// the uid and gid of a recipient and send it jobs over a socket pair: to
// deliver a message into a mailbox file, a Maildir or a user's store, to read a
// .forward or :include: file, to run a command with the message as its input,
// or to hand a forwarded message to cleanup(8). The message comes as an open
// file; a command gets it as a complete file on its standard input. One process
// serves one uid, several jobs at once, and ends when its agent closes the socket.
// It is not started by hand and not listed in master.cf.
//
// # Security
//
// Asuser never runs as root: it refuses. With directories as arguments it is
// confined to them by landlock, and cannot gain privileges; without any it
// may run commands, which get no descriptors but their input and output, a
// new session, and an environment that the agent made. It reads files that
// its user wrote and messages from the network, and can do no more than the
// user. What it reports is checked by its agent.
//
// # Exit status
//
// Zero when the agent closed the socket; 1 on wrong usage.
//
// # See also
//
// local(8), virtual(8), aliases(5).
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/mbox"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// The descriptors on which the agent left the two sockets.
const (
	fdJobs  = 3
	fdFiles = 4
)

// maxJobs is how many jobs run at once; the agent's window is smaller.
const maxJobs = 200

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "asuser: %v\n", err)
		os.Exit(1)
	}
}

func run(dirs []string) error {
	if os.Geteuid() == 0 || os.Getegid() == 0 && os.Getuid() == 0 {
		return errors.New("must not run as root")
	}
	jobs, err := inherited(fdJobs)
	if err != nil {
		return err
	}
	files, err := inherited(fdFiles)
	if err != nil {
		return err
	}
	syscall.Umask(0o077)
	// The zone file is out of reach once confined; this loads it.
	_ = time.Now().Local().String()
	host, _ := os.Hostname()
	identity := mbox.Identity()
	if len(dirs) > 0 {
		if err := jail.ConfineTo(dirs...); err != nil {
			return err
		}
	}
	w := &worker{conn: ipc.NewConn(jobs), files: files, fs: new(safefile.FS), host: host, identity: identity}
	return w.serve()
}

func inherited(fd uintptr) (*net.UnixConn, error) {
	unix.CloseOnExec(int(fd))
	f := os.NewFile(fd, "agent")
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d: %w: local(8) and virtual(8) start this program", fd, err)
	}
	f.Close()
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("descriptor %d is no Unix socket", fd)
	}
	return uc, nil
}

// worker serves one agent.
type worker struct {
	conn  *ipc.Conn
	files *net.UnixConn
	fs    *safefile.FS
	host  string

	identity string // for dot locks

	mu sync.Mutex // replies leave whole
}

// serve does jobs until the agent closes the socket.
func (w *worker) serve() error {
	slots := make(chan struct{}, maxJobs)
	var running sync.WaitGroup
	defer running.Wait()
	for {
		req, err := ipc.ReadList(w.conn.Reader())
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a job: %w", err)
		}
		var file *os.File
		if has, err := req.GetBool("file"); err != nil {
			return err
		} else if has {
			if file, err = ipc.ReceiveFile(w.files, "message"); err != nil {
				return err
			}
		}
		slots <- struct{}{}
		running.Add(1)
		go func() {
			defer running.Done()
			defer func() { <-slots }()
			w.answer(req, file)
		}()
	}
}

// answer does one job and sends its reply.
func (w *worker) answer(req ipc.List, file *os.File) {
	if file != nil {
		defer file.Close()
	}
	reply := ipc.List{}.Str("job", req.Value("job"))
	reply = append(reply, w.do(req, file)...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	if err := w.conn.WriteList(reply); err != nil {
		// The reply itself is at fault; its job must not go unanswered.
		w.conn.WriteList(ipc.List{}.Str("job", req.Value("job")).Str("code", "4.3.0").Str("text", err.Error()))
	}
	w.conn.Writer().Flush()
}

// do is the table of what an agent may ask for.
func (w *worker) do(req ipc.List, file *os.File) ipc.List {
	switch op := req.Value("op"); op {
	case "maildir":
		return w.maildir(req, file)
	case "store":
		return w.store(req, file)
	case "mbox":
		return w.mbox(req, file)
	case "command":
		return w.command(req, file)
	case "targets":
		return w.targets(req)
	case "scan":
		return w.scan(file)
	case "resend":
		return w.resend(req, file)
	default:
		return failure("4.3.5", fmt.Errorf("unknown job %q", op))
	}
}

// failure is the reply of a job that was not done.
func failure(code string, err error) ipc.List {
	return ipc.List{}.Str("code", code).Str("text", err.Error())
}

// success is the reply of a job that was done.
func success() ipc.List { return ipc.List{}.Str("code", "2.0.0") }
