package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/depositclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// params are the parameters that deposit obeys.
type params struct {
	DaemonDir     string   `param:"daemon_directory"`
	DataDir       string   `param:"data_directory"`
	Autocreate    bool     `param:"lda_mailbox_autocreate"`
	Autosubscribe bool     `param:"lda_mailbox_autosubscribe"`
	Detail        bool     `param:"lmtp_save_to_detail_mailbox"`
	SizeLimit     int64    `param:"message_size_limit"`
	Myhostname    string   `param:"myhostname"`
	FullTempfail  bool     `param:"quota_full_tempfail"`
	QuotaRules    []string `param:"quota_rules"`
	QuotaLevels   []string `param:"quota_warning_levels"`
	Delimiter     string   `param:"recipient_delimiter"`
	VirtualBase   string   `param:"virtual_mailbox_base"`
	MinimumUID    int      `param:"virtual_minimum_uid"`
}

const (
	workerIdle   = 10 * time.Second
	deliveryTime = 8 * time.Minute // for a worker to store one message
	requestTime  = time.Hour       // for a client to fill its file
	parallel     = 10              // deliveries of one request at the same time
	// traceSize is what lmtpd may add to a message of the greatest size.
	traceSize = 16 << 10
)

// directory is what deposit asks authd.
type directory interface {
	Recipient(ctx context.Context, address string) (*authclient.Recipient, error)
	SetQuota(ctx context.Context, login string, over bool) error
}

// runner is a worker.Pool.
type runner interface {
	Do(ctx context.Context, id worker.Identity, job worker.Job) (ipc.List, error)
}

// server is deposit in a process.
type server struct {
	params
	log     *maillog.Logger
	users   directory
	workers runner
}

func prepare(env *service.Env) (*service.Hooks, error) {
	users := authclient.New(authclient.Endpoint)
	users.RequireMaster() // it says with which rights workers run
	srv := &server{log: env.Log, users: users}
	if err := env.Config.Fill(&srv.params); err != nil {
		return nil, err
	}
	pool := worker.NewPool(filepath.Join(srv.DaemonDir, "asuser"), workerIdle)
	srv.workers = pool
	return &service.Hooks{Session: srv.session, Drain: pool.Close}, nil
}

// session serves one client, whose requests come one after another.
func (srv *server) session(ctx context.Context, raw net.Conn) error {
	conn := ipc.NewConn(raw)
	conn.Timeout = requestTime
	c := &client{srv: srv, conn: conn}
	defer c.drop()
	for req, err := range conn.Requests(ctx) {
		if err == nil {
			err = c.do(ctx, req)
		}
		if err != nil {
			return fmt.Errorf("lmtpd: %w", err)
		}
	}
	return nil
}

// client is one connection, with the file of its present message.
type client struct {
	srv  *server
	conn *ipc.Conn
	file *os.File
}

func (c *client) drop() {
	if c.file != nil {
		c.file.Close()
		c.file = nil
	}
}

// do is the table of what a client may ask for.
func (c *client) do(ctx context.Context, req ipc.List) error {
	switch word := req.Value("request"); word {
	case "check":
		t, st := c.srv.lookup(ctx, req.Value("recipient"))
		reply := ipc.List{}.Str("result", depositclient.Result(st))
		for _, a := range t.aliases {
			reply = reply.Str("target", a)
		}
		return c.conn.Send(reply)
	case "file":
		return c.newFile()
	case "deliver":
		return c.deliver(ctx, req)
	default:
		return fmt.Errorf("%w: request %q", ipc.ErrMalformed, word)
	}
}

// newFile opens a file without a name, so that nothing is left of a message
// that is not delivered, and passes it to the client.
func (c *client) newFile() error {
	socket, ok := c.conn.Conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("%T is not a socket", c.conn.Conn)
	}
	c.drop()
	var err error
	if c.file, err = safefile.Scratch(c.srv.DataDir); err != nil {
		return err
	}
	return ipc.SendFile(socket, c.file)
}

// deliver has the client's message stored for each recipient of the request.
func (c *client) deliver(ctx context.Context, req ipc.List) error {
	if c.file == nil {
		return fmt.Errorf("%w: no message", ipc.ErrMalformed)
	}
	info, err := c.file.Stat()
	if err != nil {
		return err
	}
	var rcpts []string
	for _, a := range req {
		if a.Name == "recipient" {
			rcpts = append(rcpts, a.Value)
		}
	}
	if len(rcpts) == 0 || len(rcpts) > depositclient.MaxRecipients {
		return fmt.Errorf("%w: %d recipients", ipc.ErrMalformed, len(rcpts))
	}
	d := &delivery{srv: c.srv, file: c.file, size: info.Size(), id: req.Value("id"), sender: req.Value("sender")}
	var reply ipc.List
	for _, st := range d.all(ctx, rcpts) {
		reply = reply.Str("result", depositclient.Result(st))
	}
	return c.conn.Send(reply)
}

// tooBig is the answer for a message that lmtpd should not have taken.
func (d *delivery) tooBig() bool {
	return d.srv.SizeLimit > 0 && d.size > d.srv.SizeLimit+traceSize
}

func temporary() status.Status {
	return status.New(451, "4.3.0", "temporary failure of the mail store")
}
