package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/login"
	"github.com/posthouse-mail/posthouse/pkg/pop3server"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
)

// lineLimit is that of a command before login: enough for the longest response
// of a mechanism that authd takes.
const lineLimit = 17 << 10

// server is what sessions share.
type server struct {
	*login.Server
	APOP    bool // the greeting has a timestamp
	capa    []string
	buffers smtpwire.Buffers
}

func prepare(env *service.Env) (*service.Hooks, error) {
	common, err := login.New(env, "pop3")
	if err != nil {
		return nil, err
	}
	srv := &server{Server: common}
	var p struct {
		APOP       bool          `param:"pop3_apop"`
		Expire     string        `param:"pop3_expire"`
		LoginDelay time.Duration `param:"pop3_login_delay"`
		UIDL       string        `param:"pop3_uidl_format"`
	}
	if err := env.Config.Fill(&p); err != nil {
		return nil, err
	}
	// It is the sessions' that use it; here is where a mistake can be told.
	if _, err := pop3server.ParseFormat(p.UIDL); err != nil {
		return nil, fmt.Errorf("%v: %w", env.Config.Position("pop3_uidl_format"), err)
	}
	srv.APOP = p.APOP
	srv.capa = pop3server.SiteCapabilities(p.Expire, p.LoginDelay)
	return common.Hooks(srv.serve), nil
}

// session is one client before login.
type session struct {
	srv  *server
	conn *login.Conn
	r    *smtpwire.Reader
	w    *smtpwire.Writer

	stamp string // of the greeting, for APOP
	utf8  bool
	user  string // of USER
	named bool   // USER was given
	bad   int
	over  bool
}

// serve talks to a client until it has logged in or is gone.
func (srv *server) serve(ctx context.Context, c *login.Conn) error {
	s := &session{srv: srv, conn: c}
	s.w = smtpwire.NewWriter(c, &srv.buffers)
	s.r = smtpwire.NewReader(flushing{s}, &srv.buffers)
	defer s.r.Release()
	s.greet()
	for !s.over {
		line, err := s.r.ReadLine(lineLimit)
		switch {
		case errors.Is(err, smtpwire.ErrLineTooLong):
			s.unknown("Command is too long.")
		case err != nil:
			s.leave(ctx, err)
			return nil
		default:
			s.command(ctx, string(line))
		}
		if !s.over && c.TooMany(s.bad) {
			s.fail("Too many invalid commands.")
			break
		}
	}
	s.w.Flush()
	return nil
}

// flushing sends replies before the server waits for the client.
type flushing struct{ s *session }

// Read implements io.Reader.
func (f flushing) Read(p []byte) (int, error) {
	if err := f.s.w.Flush(); err != nil {
		return 0, err
	}
	return f.s.conn.Read(p)
}

// leave says why the connection ends, where the client may be interested.
func (s *session) leave(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
		s.fail("[SYS/TEMP] Server is shutting down.")
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.fail("Disconnected for inactivity.")
	case errors.Is(err, smtpwire.ErrLineFlood):
		s.fail("Input line too long.")
	case errors.Is(err, io.EOF):
		return
	}
	s.conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	s.w.Flush()
}

// greet begins the session. The timestamp is random, so no greeting has that of
// another (RFC 1939 7).
func (s *session) greet() {
	text := printable.ASCII(s.srv.Greeting)
	if s.srv.APOP {
		s.stamp = fmt.Sprintf("<%s.%d@%s>", rand.Text(), time.Now().Unix(), s.srv.Hostname)
		text += " " + s.stamp
	}
	s.ok(text)
}

func (s *session) line(text string) { s.w.WriteString(text + "\r\n") }

func (s *session) ok(text string) { s.line(strings.TrimSpace("+OK " + text)) }

func (s *session) fail(text string) { s.line("-ERR " + text) }

func (s *session) unknown(text string) {
	s.bad++
	s.fail(text)
}

// command does one command line.
func (s *session) command(ctx context.Context, line string) {
	verb, args, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "PASS":
		s.pass(ctx, args)
	case "USER":
		s.userName(args)
	case "AUTH":
		s.auth(ctx, strings.TrimSpace(args))
	case "APOP":
		s.apop(ctx, strings.TrimSpace(args))
	case "CAPA":
		s.capa(ctx)
	case "STLS":
		s.stls(ctx)
	case "UTF8":
		s.utf8 = true
		s.ok("UTF8 enabled")
	case "LANG":
		pop3server.Lang(strings.TrimSpace(args), s.ok, s.fail, s.line)
	case "QUIT":
		s.ok("Logging out")
		s.over = true
	default:
		s.unknown("Unknown command.")
	}
}

// state is what the session after the login has to know.
func (s *session) state(ctx context.Context) pop3server.State {
	return pop3server.State{UTF8: s.utf8, User: s.conn.Secure(), SASL: s.srv.Mechanisms(ctx, s.conn)}
}

func (s *session) capa(ctx context.Context) {
	s.ok("")
	for _, l := range pop3server.Capabilities(s.state(ctx), s.conn.HasTLS(ctx), s.srv.capa) {
		s.line(l)
	}
	s.line(".")
}

// stls is RFC 2595 4. What the client sent in the clear behind the command must
// not count inside of TLS, and tells of an attack: the connection ends.
func (s *session) stls(ctx context.Context) {
	switch {
	case s.conn.Peer.TLS:
		s.unknown("TLS is already active.")
	case !s.conn.HasTLS(ctx):
		s.unknown("TLS support isn't enabled.")
	case s.r.Buffered() > 0:
		s.srv.Log.Warn("", "pop3-login: %d bytes of plaintext after STLS: rip=%s, session=<%s>",
			s.r.Buffered(), s.conn.Peer.RemoteIP, s.conn.Peer.SessionID)
		s.fail("Commands must not follow STLS before TLS is active.")
		s.over = true
	default:
		s.ok("Begin TLS negotiation now.")
		if s.w.Flush() != nil || s.conn.StartTLS(ctx) != nil {
			s.over = true
			return
		}
		s.r.Reset(flushing{s})
		s.named, s.user, s.utf8 = false, "", false
	}
}
