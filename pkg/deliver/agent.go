package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Options say where an [Agent] runs.
type Options struct {
	Config  *config.Config
	Log     *maillog.Logger
	Service string // name of the service in master.cf
	// Queue is the queue directory; if nil, the working directory with the
	// hashing that Config says.
	Queue *queue.Queue
}

// params are the parameters that each delivery agent obeys.
type params struct {
	SoftBounce    bool          `param:"soft_bounce"`
	DelayDigits   int           `param:"delay_logging_resolution_limit"`
	BounceService string        `param:"bounce_service_name"`
	DeferService  string        `param:"defer_service_name"`
	TraceService  string        `param:"trace_service_name"`
	IPCTimeout    time.Duration `param:"ipc_timeout"`
	HashDepth     int           `param:"hash_queue_depth"`
	HashNames     []string      `param:"hash_queue_names"`
	LongIDs       bool          `param:"enable_long_queue_ids"`
	MailOwner     string        `param:"mail_owner"`
}

// Agent is the part of a delivery agent that all of them share. It is safe
// for use by several sessions at once.
type Agent struct {
	Log     *maillog.Logger
	Service string
	// Bounces is the client of the bounce daemon.
	Bounces *bounceclient.Client

	params params
	queue  *queue.Queue
}

// NewAgent reads the agent's parameters. It does nothing on the network.
func NewAgent(o Options) (*Agent, error) {
	a := &Agent{Log: o.Log, Service: o.Service, queue: o.Queue}
	if err := o.Config.Fill(&a.params); err != nil {
		return nil, err
	}
	if a.queue == nil {
		owner, err := queueOwner(a.params.MailOwner)
		if err != nil {
			return nil, err
		}
		a.queue = queue.Open(".", queue.Options{
			HashDepth: a.params.HashDepth, HashNames: a.params.HashNames, LongIDs: a.params.LongIDs, Owner: owner,
		})
	}
	a.Bounces = bounceclient.New(bounceclient.Services{
		Bounce: a.params.BounceService, Defer: a.params.DeferService, Trace: a.params.TraceService,
		Timeout: a.params.IPCTimeout,
	})
	return a, nil
}

// queueOwner returns the uid that queue files have. A process that is root now
// will be the mail owner later, or stays root and reads the mail owner's
// files; any other works on files of its own.
func queueOwner(mailOwner string) (int, error) {
	if os.Geteuid() != 0 {
		return os.Geteuid(), nil
	}
	u, err := user.Lookup(mailOwner)
	if err != nil {
		return 0, fmt.Errorf("mail_owner: %w", err)
	}
	return strconv.Atoi(u.Uid)
}

// Handler delivers one message. It reports on each of d.Recipients; those
// that it leaves out are deferred on its behalf. An error is logged, and is
// the reason of these deferrals for the postmaster, but not for the sender.
type Handler func(ctx context.Context, d *Delivery) error

// Serve answers the delivery requests that arrive on conn, one after the
// other, until the peer closes it or ctx is done. Garbage ends the session
// with an error.
func (a *Agent) Serve(ctx context.Context, conn net.Conn, handle Handler) error {
	c := ipc.NewConn(conn)
	// A wait for the next request ends when the process retires. A request
	// that has arrived is worked off first.
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })
	defer stop()
	for ctx.Err() == nil {
		req, err := ReadRequest(c)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF), ctx.Err() != nil:
			return nil
		default:
			return fmt.Errorf("delivery request: %w", err)
		}
		reply := a.deliver(context.WithoutCancel(ctx), req, handle)
		if err := WriteReply(c, reply); err != nil {
			return fmt.Errorf("%s: reply to queue manager: %w", req.QueueID, err)
		}
	}
	return nil
}

// deliver carries out one request.
func (a *Agent) deliver(ctx context.Context, req *Request, handle Handler) Reply {
	req.Times.AgentStart = time.Now()
	d, err := a.open(req)
	if err != nil {
		a.Log.Warn(string(req.QueueID), "%v", err)
		return Reply{Code: ReplyRefused}
	}
	defer d.Message.Close()
	if err := handle(ctx, d); err != nil {
		a.Log.Warn(string(req.QueueID), "delivery by %s: %v", a.Service, err)
	}
	d.deferRest(ctx)
	return d.reply()
}

// open opens and locks the queue file. Agents share the lock, since several
// of them may have recipients of one message; it keeps a restarted queue
// manager from starting a second delivery to the same recipients.
func (a *Agent) open(req *Request) (*Delivery, error) {
	msg, err := a.queue.OpenForDelivery(req.QueueName, req.QueueID, req.DataOffset)
	if err != nil {
		return nil, fmt.Errorf("open %s %s: %w", req.QueueName, req.QueueID, err)
	}
	locked, err := msg.TryLockShared()
	if err == nil && !locked {
		err = fmt.Errorf("lock %s %s: held by another process", req.QueueName, req.QueueID)
	}
	if err == nil {
		// It may have been removed between open and lock.
		err = msg.Exists()
	}
	if err != nil {
		msg.Close()
		return nil, err
	}
	return newDelivery(a, req, msg), nil
}

// statusInternal is what a sender learns about an error of ours.
var statusInternal = status.New(0, "4.3.0", "mail system error")
