package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/session"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// params are the parameters that sessiond obeys itself. Those of sessions are
// in settings.
type params struct {
	DaemonDir   string        `param:"daemon_directory"`
	LoginOwner  string        `param:"login_owner"`
	VirtualBase string        `param:"virtual_mailbox_base"`
	MinimumUID  int           `param:"session_minimum_uid"`
	Scope       string        `param:"session_scope"`
	WorkerIdle  time.Duration `param:"session_worker_idle"`
	MaxUserIP   int           `param:"mail_max_userip_connections"`
}

// leaveGrace is how long a worker may take to say goodbye to its clients.
const leaveGrace = 5 * time.Second

// parent is sessiond in a process.
type parent struct {
	params
	log      *maillog.Logger
	settings map[string]string
	auth     *authclient.Client
	workers  *worker.Pool
	counts   *counts
	peers    map[int]bool // uids of login servers
}

func prepare(env *service.Env) (*service.Hooks, error) {
	p := &parent{log: env.Log, counts: newCounts()}
	if err := env.Config.Fill(&p.params); err != nil {
		return nil, err
	}
	var err error
	if p.settings, err = sessionSettings(env.Config); err != nil {
		return nil, err
	}
	if p.peers, err = loginServers(p.LoginOwner); err != nil {
		return nil, err
	}
	p.auth = authclient.New(authclient.Endpoint)
	p.auth.RequireMaster() // it says whose mail a session may see
	p.workers = worker.NewPool(filepath.Join(p.DaemonDir, "mailuser"), p.WorkerIdle)
	p.workers.Grace = leaveGrace
	return &service.Hooks{
		Ready:   p.listen,
		Session: p.session,
		Drain:   p.workers.Close,
	}, nil
}

// loginServers returns the uids that may bring sessions: that of the login
// servers or, where nobody changes ids, the own one.
func loginServers(name string) (map[int]bool, error) {
	if os.Getuid() != 0 {
		return map[int]bool{os.Getuid(): true}, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("login_owner = %s: %w", name, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, fmt.Errorf("login_owner = %s: uid %q", name, u.Uid)
	}
	return map[int]bool{uid: true}, nil
}

// session takes the sessions that a login server brings, one after another. They
// go on without it.
func (p *parent) session(ctx context.Context, conn net.Conn) error {
	cred, err := ipc.PeerCred(conn)
	if err != nil {
		return err
	}
	if !p.peers[cred.UID] {
		return fmt.Errorf("refused a session from process %d of uid %d, which is no login server", cred.PID, cred.UID)
	}
	in, err := ipc.NewFileConn(conn, 1)
	if err != nil {
		return err
	}
	defer in.Close()
	for {
		err := p.take(ctx, in)
		if err == io.EOF || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take takes one session, and answers when it is in a worker's hands or refused.
func (p *parent) take(ctx context.Context, in *ipc.FileConn) error {
	ticket, start, client, err := session.Receive(in)
	if errors.Is(err, ipc.ErrNoRoom) {
		p.log.Warn("", "%v", err)
		return in.Send(session.Refused(session.Unavailable()))
	}
	if err != nil {
		return err
	}
	if refusal := p.redeem(ctx, ticket, start); refusal != nil {
		client.Close()
		return in.Send(session.Refused(refusal))
	}
	return p.begin(ctx, in.Conn, start, client)
}

// begin starts a session whose user is known, and says over to what became of it.
func (p *parent) begin(ctx context.Context, to *ipc.Conn, start *session.Start, client *ipc.Passed) error {
	a := &answer{reply: make(chan ipc.List, 1)}
	if !service.Go(ctx, func(ctx context.Context) { p.serve(ctx, start, client, a) }) {
		client.Close()
		p.log.Warn("", "%s: too many sessions in this process (client_limit)", prefix(start))
		return to.Send(session.Refused(session.Unavailable()))
	}
	return to.Send(<-a.reply)
}

// answer is what the login server hears of a session: the first word counts.
type answer struct {
	once  sync.Once
	reply chan ipc.List
}

func (a *answer) give(l ipc.List) { a.once.Do(func() { a.reply <- l }) }

// serve is a session from its login to its end.
func (p *parent) serve(ctx context.Context, start *session.Start, client *ipc.Passed, a *answer) {
	defer a.give(session.Refused(session.Unavailable())) // unless it was taken
	defer client.Close()
	key := start.Service + "\x00" + start.User.Login + "\x00" + start.RemoteIP
	if !p.counts.add(key, p.MaxUserIP) {
		p.log.Info("", "%s: Maximum number of connections from user+IP exceeded (mail_max_userip_connections=%d)", prefix(start), p.MaxUserIP)
		a.give(session.Refused(&session.Refusal{Code: "LIMIT",
			Text: fmt.Sprintf("Maximum number of connections from user+IP exceeded (mail_max_userip_connections=%d)", p.MaxUserIP)}))
		return
	}
	defer p.counts.remove(key)
	p.run(ctx, start, client, a)
}

// redeem learns from the ticket who the user is.
func (p *parent) redeem(ctx context.Context, ticket string, start *session.Start) *session.Refusal {
	u, err := p.auth.Redeem(ctx, ticket, start.Service)
	switch {
	case errors.Is(err, authclient.ErrUnknown):
		p.log.Warn("", "%s: rip=%s, session=<%s>: a login server sent a ticket that does not count",
			printable.Text(start.Service), printable.Text(start.RemoteIP), printable.Text(start.SessionID))
		return session.Unavailable()
	case err != nil:
		p.log.Warn("", "%v", err)
		return session.Unavailable()
	}
	start.User = u
	return p.admit(start)
}

// admit looks at the user of a session, whom authd has told.
func (p *parent) admit(start *session.Start) *session.Refusal {
	start.Settings = p.settings
	if err := p.check(start.User); err != nil {
		p.log.Error("", "%s: %v", prefix(start), err)
		return session.Unavailable()
	}
	return nil
}

// check refuses users that no worker can serve.
func (p *parent) check(u *authclient.User) error {
	switch {
	case u.UID <= 0 || u.GID <= 0 || u.UID < p.MinimumUID:
		return fmt.Errorf("uid %d or gid %d is too low for a mail user (session_minimum_uid = %d)", u.UID, u.GID, p.MinimumUID)
	case !cleanDir(u.Home) && !cleanDir(u.MailDir):
		return errors.New("the user has neither a home nor a mail directory")
	case u.Home != "" && !cleanDir(u.Home), u.MailDir != "" && !cleanDir(u.MailDir):
		return fmt.Errorf("home %q or mail directory %q is no proper path", u.Home, u.MailDir)
	}
	if u.MailDir == "" {
		u.MailDir = filepath.Join(u.Home, "Maildir")
	}
	return nil
}

// cleanDir reports whether path names a directory that a worker may be
// confined to: absolute, without "..", and not the root.
func cleanDir(path string) bool {
	return filepath.IsAbs(path) && filepath.Clean(path) != "/" && !strings.Contains(path+"/", "/../") && !strings.ContainsAny(path, "\x00\n")
}

// identity is with which rights a user's sessions run.
func (p *parent) identity(u *authclient.User) worker.Identity {
	base := p.VirtualBase
	if p.Scope != "uid" {
		base = ""
	}
	dirs := worker.UserDirs(u.Home, u.MailDir, base)
	return worker.Identity{UID: u.UID, GID: u.GID, Dirs: append(dirs, p.shared()...)}
}

// shared returns the directories of shared folders. What a user may do there
// is up to their modes, and to the access rights of the folders.
func (p *parent) shared() []string {
	var dirs []string
	for _, word := range strings.Fields(p.settings["mail_shared_folders"]) {
		if _, root, ok := strings.Cut(word, "="); ok && cleanDir(root) {
			dirs = append(dirs, filepath.Clean(root))
		}
	}
	return dirs
}

// run gives the session to a worker and waits for its end.
func (p *parent) run(ctx context.Context, start *session.Start, client *ipc.Passed, a *answer) {
	var accepted atomic.Bool
	name := prefix(start)
	room := p.newTeller(ctx, start.User.Login)
	defer room.wait()
	job := worker.Job{
		Request: start.Attributes(ipc.List{}.Str("op", "session")), Conn: client,
		Event: func(event string, l ipc.List) {
			switch event {
			case "accepted":
				accepted.Store(true)
				a.give(session.Accepted())
				client.Close()
			case "quota":
				if over, err := l.GetBool("over_quota"); err == nil {
					room.tell(over)
				}
			case "log":
				p.logLine(name, l)
			}
		},
	}
	stopped, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-service.Stopping(ctx):
			cancel()
		case <-stopped.Done():
		}
	}()
	end, err := p.workers.Do(stopped, p.identity(start.User), job)
	switch {
	case errors.Is(err, context.Canceled), err == nil && accepted.Load():
	case err == nil:
		p.log.Warn("", "%s: no session: %s", name, printable.Text(end.Value("text")))
	default:
		p.log.Warn("", "%s: %v", name, err)
	}
}

// prefix is how lines about a session begin in the log.
func prefix(s *session.Start) string {
	return fmt.Sprintf("%s(%s)<%s>", printable.Text(s.Service), printable.Text(s.User.Login), printable.Text(s.SessionID))
}

// logLine logs for a worker, which has no way to the log of its own.
func (p *parent) logLine(name string, l ipc.List) {
	text := printable.Text(l.Value("text"))
	if len(text) > 1000 {
		text = text[:1000]
	}
	switch l.Value("level") {
	case "error":
		p.log.Error("", "%s: %s", name, text)
	case "warn":
		p.log.Warn("", "%s: %s", name, text)
	case "debug":
		p.log.Debug("%s: %s", name, text)
	default:
		p.log.Info("", "%s: %s", name, text)
	}
}
