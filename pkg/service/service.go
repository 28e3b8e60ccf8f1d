// Package service is what every daemon has in common: it is started by
// master(8), gives up rights, serves clients and goes away again.
//
// A daemon is one declaration:
//
//	func main() {
//		service.Main(service.Daemon{Name: "discard", Jail: jail.QueueOnly, Prepare: prepare})
//	}
//
// [Main] does, in this order and nowhere else: parse the generic options; read
// main.cf and check every parameter; connect the log; adopt the listeners that
// master passed; preload the time zone and the users; run Prepare, in which the
// daemon reads its parameters and opens its tables; enter the jail; log what
// was applied; run Ready; tell master; serve until max_use, max_idle, a reload
// or a signal; drain; exit.
//
// One process serves many clients, each on a goroutine, up to the parameter
// client_limit; with client_limit=1 it is Postfix's one process per client. A
// panic in one session is caught at its boundary and logged, and the process
// retires after its other sessions, since state after a panic is not trusted.
package service

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/pace"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Kind is how clients reach a daemon.
type Kind int

// The kinds.
const (
	Stream   Kind = iota // a connection per client
	Trigger              // a few bytes through a FIFO or a socket: look for work
	Datagram             // messages without a reply
)

// Daemon is the declaration of a daemon.
type Daemon struct {
	Name  string       // of the program, as it is logged
	About string       // what it does, as its manual page says it, behind the name
	Args  string       // its own arguments, as the usage shows them
	Kind  Kind         // how clients reach it
	Jail  jail.Profile // what it may do after Prepare
	// Solitary: there must never be two processes of the service; master.cf
	// must say maxproc 1, and a successor waits until this one has exited.
	Solitary bool
	// Permanent: never retires because of max_use or max_idle.
	Permanent bool
	// Brief: what it does for a request is too short to be worth a second
	// processor, which would be woken for it again and again.
	Brief bool
	// Calm: it has one processor while it has little to do, and all of them while
	// it has more (pkg/pace).
	Calm bool
	// Syncs: most of its time goes into making files durable.
	Syncs bool
	// Inner: processes that talk to strangers are refused as clients, since
	// this one would read mail from the queue for them.
	Inner bool
	// Login: the servers that talk to users before login (login_owner) are
	// clients of this one. All others refuse them.
	Login bool
	// Submission: submission, which has a user of its own (submission_owner),
	// is a client of this one. All others refuse it on private endpoints.
	Submission bool
	// Auth: authd (auth_owner) is a client of this one. All others refuse it on
	// private endpoints.
	Auth bool
	// LoginLog: log lines have the name of login_syslog_name, not that of the
	// program. Those who look for failed logins know Dovecot's.
	LoginLog bool
	// Keeps: what a process knows at its end goes to its successor, by
	// Env.Keep. Only a Solitary daemon can have that.
	Keeps bool
	// Prepare runs before the jail: it reads parameters, opens tables and
	// files, looks up users. What it returns runs inside the jail.
	Prepare func(env *Env) (*Hooks, error)
}

// Hooks are what a daemon does inside the jail. Only the one for the kind of
// the daemon is required.
type Hooks struct {
	// Ready runs after the jail and before the first client. Background work
	// that it starts must end when ctx is done.
	Ready func(ctx context.Context) error
	// Session serves one connection of a Stream daemon, on a goroutine of
	// its own. The connection is closed afterwards. When ctx is done, the
	// process must end within seconds; see also [Stopping].
	Session func(ctx context.Context, conn net.Conn) error
	// Trigger gets the bytes that arrived, one call at a time.
	Trigger func(ctx context.Context, request []byte)
	// Packet gets one datagram, one call at a time. It may not keep data.
	Packet func(ctx context.Context, data []byte)
	// Changed is polled now and then; true means that a table changed, and
	// the process retires so that its successor reads it.
	Changed func() bool
	// Drain runs last, when no session is left and ctx is done. It waits for
	// what Ready started.
	Drain func()
}

// Env is what a daemon knows when Prepare runs. The working directory is the
// queue directory, before and after the jail, so paths to queue files and
// sockets are relative.
type Env struct {
	Config  *config.Config
	Log     *maillog.Logger
	Service string   // name in master.cf
	Type    string   // type in master.cf: inet, unix, fifo, pass, unix-dgram
	Program string   // name of the program
	Args    []string // words of master.cf that are not generic options
	Stress  bool     // master started this process under overload
	Verbose bool     // -v
	Private bool     // the endpoint is for our own processes only
	// Jailed reports whether the process will change its root directory or
	// its user. A process that is not root keeps both.
	Jailed bool
	// UID and GID are who this process will run as.
	UID, GID int
	// Groups may be set by Prepare: groups that the process keeps beside its
	// own. Root is none of them.
	Groups []int
	// QueueDir is the absolute name of the queue directory outside the jail.
	QueueDir string
	// MaxProc1 reports whether master.cf allows one process only.
	MaxProc1 bool
	// Keep has what the process before this one left, for a daemon that says
	// Keeps; nil without master.
	Keep *Keep
	// Pace is that of a daemon that says Calm; nil for others, and may be used.
	Pace *pace.Governor
	// StandAlone reports that no master started this process (--listen).
	StandAlone bool
}

// Main runs a daemon and does not return.
func Main(d Daemon) {
	os.Exit(run(d, os.Args))
}

// run is Main with an exit status.
func run(d Daemon, argv []string) int {
	opts, err := parseOptions(argv, d.Args != "")
	if err != nil {
		return refuseUsage(d, opts, err)
	}
	p := &process{daemon: d, opts: opts, env: &Env{Program: d.Name}}
	switch {
	case d.Brief:
		runtime.GOMAXPROCS(1)
	case d.Calm:
		p.env.Pace = pace.New(0)
	case d.Syncs:
		safefile.MoreProcessors()
	}
	if err := p.start(); err != nil {
		p.env.Log.Fatal("", "%v", err)
		if p.env.Log == nil || p.opts.listen != "" {
			fmt.Fprintf(os.Stderr, "%s: fatal: %v\n", d.Name, err)
		}
		p.env.Log.Close()
		return 1
	}
	p.env.Pace.Touch() // what the start has taken is given back
	status := p.serve()
	p.env.Log.Close()
	return status
}

type (
	stoppingKey struct{}
	retiringKey struct{}
	serverKey   struct{}
)

// Stopping returns a channel that is closed when the process was told to end
// now. A session that waits for its client should then take leave (SMTP: 421);
// one that is in the middle of something has a few seconds before ctx is done.
// It is not closed for a process that merely retires.
func Stopping(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(stoppingKey{}).(chan struct{})
	return c
}

// Retiring returns a channel that is closed when the process takes no more
// clients and ends after its sessions, for whatever reason. Where a successor
// has to wait for that end, sessions should not take their time.
func Retiring(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(retiringKey{}).(chan struct{})
	return c
}

// Go runs f beside the session that calls it, for what outlives its connection: a
// process that ends waits for f as for a session, and a panic of f does not end
// it. At most client_limit of them run at once; false means that f does not.
func Go(ctx context.Context, f func(ctx context.Context)) bool {
	s, ok := ctx.Value(serverKey{}).(*server)
	return ok && s.goRun(f)
}

// Hold says, of a connection that a session got, whether it is in the middle of
// something: then a process that retires waits a moment for its next request.
func Hold(conn net.Conn, on bool) {
	if c, ok := conn.(*unixConn); ok {
		s := c.session.server
		s.mu.Lock()
		c.session.held = on
		s.mu.Unlock()
	}
}

// UntilStopping returns a context that is done when the process must end now,
// one for all sessions: thousands of idle ones need no goroutine each.
func UntilStopping(ctx context.Context) context.Context {
	leave, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer cancel()
		select {
		case <-Stopping(ctx):
		case <-ctx.Done():
		}
	}()
	return leave
}
