// Package dropclient hands a message to postdrop(1), which has the right to
// write into the maildrop queue that its callers lack. It is for sendmail and
// for the stand-alone SMTP server.
package dropclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// replyTime is how long postdrop may take to answer; the disk may be slow.
const replyTime = 10 * time.Minute

// maxLists bounds the attribute lists of one reply.
const maxLists = 4

// exNoPerm is postdrop's exit status for ErrDenied.
const exNoPerm = 77

// ErrDenied means that the caller is not in authorized_submit_users. Postdrop
// has told the user.
var ErrDenied = errors.New("the user may not submit mail")

// ErrGaveUp means that postdrop ended without a verdict on the message. It has told
// the user why.
var ErrGaveUp = errors.New("postdrop gave up")

// Program says which postdrop to run, and how.
type Program struct {
	Dir        string // command_directory
	Config     string // configuration directory
	OwnConfig  bool   // it is not the default one
	Stderr     io.Writer
	ReplyLimit time.Duration // 0 is ten minutes
}

// Path returns the file to run.
func (p Program) Path() string { return filepath.Join(p.Dir, "postdrop") }

// Drop is one message on its way. It must end with Finish or Abort. Records
// come in the order of queue.PostEnvelopeRecords and what follows it.
type Drop struct {
	*queue.RecordWriter
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	limit time.Duration
	id    string
}

// Start runs postdrop. It is killed when ctx ends, and leaves no file then.
func (p Program) Start(ctx context.Context) (*Drop, error) {
	args := []string{"-r"}
	if p.OwnConfig {
		// A setgid command takes none from the environment.
		args = []string{"-c", p.Config, "-r"}
	}
	cmd := exec.CommandContext(ctx, p.Path(), args...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "MAIL_CONFIG="+p.Config), p.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &Drop{RecordWriter: queue.NewRecordWriter(in), cmd: cmd, in: in, out: bufio.NewReader(out), limit: p.ReplyLimit}
	if d.limit == 0 {
		d.limit = replyTime
	}
	return d, nil
}

// QueueID waits for the name of the message's file.
func (d *Drop) QueueID() (string, error) {
	if d.id != "" {
		return d.id, nil
	}
	defer time.AfterFunc(d.limit, d.kill).Stop()
	l, err := ipc.ReadList(d.out)
	if err != nil {
		var exit *exec.ExitError
		if errors.As(d.cmd.Wait(), &exit) && exit.ExitCode() == exNoPerm {
			return "", ErrDenied
		}
		return "", fmt.Errorf("no reply: %w", err)
	}
	if d.id = l.Value("queue_id"); !queue.ValidID(d.id) {
		d.id = ""
		return "", errors.New("no queue id in the reply")
	}
	return d.id, nil
}

// Finish waits until the message is safe, or not: status 0 is success, other
// bits are those of cleanup. An error means that postdrop did not run, or that it
// gave up (ErrGaveUp); it has said why on standard error. What it has not read is no error of its own.
func (d *Drop) Finish() (status int, reason string, err error) {
	flushErr := d.Flush()
	d.in.Close()
	stop := time.AfterFunc(d.limit, d.kill)
	defer stop.Stop()
	defer d.cmd.Wait()
	for n := range maxLists {
		l, err := ipc.ReadList(d.out)
		if err != nil && (n > 0 || d.id != "") {
			return 0, "", errors.Join(ErrGaveUp, flushErr)
		}
		if err != nil {
			return 0, "", errors.Join(errors.New("no reply"), flushErr)
		}
		if _, ok := l.Get("status"); ok {
			n, err := l.GetInt("status")
			return int(n), l.Value("reason"), err
		}
	}
	return 0, "", ipc.ErrMalformed
}

// Abort ends postdrop, which removes its file when it is told to end. Where it
// ignores that, it sees that its input ends too early.
func (d *Drop) Abort() {
	d.cmd.Process.Signal(syscall.SIGTERM)
	defer time.AfterFunc(time.Second, func() { d.in.Close() }).Stop()
	defer time.AfterFunc(d.limit, d.kill).Stop()
	d.cmd.Wait()
}

func (d *Drop) kill() { d.cmd.Process.Kill() }
