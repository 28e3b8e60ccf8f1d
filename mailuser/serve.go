package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/imapserver"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/pace"
	"github.com/posthouse-mail/posthouse/pkg/pop3server"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
	"github.com/posthouse-mail/posthouse/pkg/session"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// client is one session.
type client struct {
	*session.Start
	conn net.Conn
	task *worker.Task
}

// log sends a line to the log, by way of sessiond, which puts in front whose
// session it is. Levels are info, warn, error and debug.
func (c *client) log(level, format string, args ...any) {
	c.task.Tell("log", logLine(level, format, args...))
}

// parting is log for the last line of a session, which leaves with the
// session's end.
func (c *client) parting(format string, args ...any) {
	c.task.TellLast("log", logLine("info", format, args...))
}

func logLine(level, format string, args ...any) ipc.List {
	text := fmt.Sprintf(format, args...)
	if len(text) > 2000 {
		text = text[:2000]
	}
	text = strings.ReplaceAll(text, "\x00", "?")
	return ipc.List{}.Str("level", level).Str("text", text)
}

// user is what the sessions of a process share.
type user struct {
	ctx         context.Context // done when sessiond is gone
	shared      *mailstore.Shared
	pop3Buffers pop3server.Buffers
	deflaters   imapserver.Deflaters
	indexer     imapserver.Indexer
	pace        *pace.Governor
}

func newUser(ctx context.Context) *user {
	return &user{ctx: ctx, shared: mailstore.NewShared(new(safefile.FS), nil)}
}

// services is the table of what a session can be.
func (u *user) services() map[string]func(ctx context.Context, c *client) error {
	return map[string]func(ctx context.Context, c *client) error{
		"imap": u.imap,
		"pop3": u.pop3,
	}
}

// session runs one session and returns when it is over.
func (u *user) session(t *worker.Task) (reply ipc.List) {
	reply = ipc.List{}.Str("status", "done")
	start, err := session.Read(t.Request)
	if err != nil || start.User == nil || t.File == nil || t.Request.Value("op") != "session" {
		return ipc.List{}.Str("status", "malformed")
	}
	c := &client{Start: start, task: t}
	serve := u.services()[start.Service]
	if serve == nil {
		c.log("error", "there are no sessions of this service")
		return reply
	}
	if c.conn, err = connection(t.File, start); err != nil {
		c.log("error", "connection: %v", err)
		return reply
	}
	defer c.conn.Close()
	t.Tell("accepted", nil)
	defer u.caught(c)
	if err := serve(u.ctx, c); err != nil && !errors.Is(err, net.ErrClosed) {
		c.log("warn", "%v", err)
	}
	return reply
}

// keepAlive finds out about clients that are gone without a word.
const keepAlive = 5 * time.Minute

// fileConn is a connection of the login server as it came: making a net.Conn of
// it costs fifteen system calls for what is known or set already.
type fileConn struct {
	*os.File
	local, remote net.Addr
}

func (c *fileConn) LocalAddr() net.Addr  { return c.local }
func (c *fileConn) RemoteAddr() net.Addr { return c.remote }

// connection makes a connection of the descriptor, whose owner it becomes.
func connection(file *os.File, start *session.Start) (net.Conn, error) {
	if !start.Proxied && file.SetDeadline(time.Time{}) == nil {
		if raw, err := file.SyscallConn(); err == nil {
			// Where it is no TCP this does nothing.
			_ = raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepAlive/time.Second))
			})
		}
		return &fileConn{file, address(start.LocalIP, start.LocalPort), address(start.RemoteIP, start.RemotePort)}, nil
	}
	// A socket pair, of which the session may have use, or a descriptor that
	// blocks.
	defer file.Close()
	return net.FileConn(file)
}

func address(ip string, port int) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: port} }

// caught is deferred where a session began: a panic ends it and no other.
func (u *user) caught(c *client) {
	r := recover()
	if r == nil {
		return
	}
	c.log("error", "panic: %v", r)
	for i, line := range strings.Split(string(debug.Stack()), "\n") {
		if i > 40 || line == "" {
			break
		}
		c.log("error", "stack: %s", strings.TrimSpace(line))
	}
}
