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
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mbox"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
	workers "github.com/posthouse-mail/posthouse/pkg/worker"
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
	child, err := workers.Inherit()
	if err != nil {
		return err
	}
	safefile.MoreProcessors()
	syscall.Umask(0o077)
	// The zone file is out of reach once confined; this loads it.
	_ = time.Now().Local().String()
	host, _ := os.Hostname()
	identity := mbox.Identity()
	fs := new(safefile.FS)
	w := &worker{fs: fs, host: host, identity: identity, shared: mailstore.NewShared(fs, nil)}
	if len(dirs) > 0 {
		if err := jail.ConfineTo(dirs...); err != nil {
			return err
		}
	}
	return child.Serve(maxJobs, func(t *workers.Task) ipc.List { return w.do(t.Request, t.File) }, nil)
}

// worker serves one agent.
type worker struct {
	fs   *safefile.FS
	host string

	identity string // for dot locks
	buffers  queue.Buffers
	shared   *mailstore.Shared
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
	case "pipe":
		return w.pipe(req, file)
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
func success() ipc.List {
	return append(make(ipc.List, 0, 4), ipc.Attr{Name: "code", Value: "2.0.0"})
}
