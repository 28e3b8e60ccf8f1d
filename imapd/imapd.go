package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/login"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

// Limits before login. Dovecot's is 8 kB too; attackers try with more.
const (
	maxLine    = 8 << 10
	maxLiteral = 2 << 10
	maxSkipped = 64 << 10
)

// server is what sessions share.
type server struct {
	*login.Server
	Capability []string
}

func prepare(env *service.Env) (*service.Hooks, error) {
	common, err := login.New(env, "imap")
	if err != nil {
		return nil, err
	}
	srv := &server{Server: common}
	var p struct {
		Capability []string `param:"imap_capability"`
	}
	if err := env.Config.Fill(&p); err != nil {
		return nil, err
	}
	srv.Capability = p.Capability
	return common.Hooks(srv.serve), nil
}

// session is one client before login.
type session struct {
	srv    *server
	conn   *login.Conn
	dec    *imapwire.Decoder
	enc    *imapwire.Encoder
	tag    string
	errors int
	over   bool
}

// serve talks to a client until it has logged in or is gone.
func (srv *server) serve(ctx context.Context, c *login.Conn) error {
	s := &session{srv: srv, conn: c}
	s.reset(nil)
	s.enc.Raw("* OK [CAPABILITY ").Raw(s.capabilities(ctx)).Raw("] ").Raw(printable.Text(srv.Greeting)).CRLF()
	if err := s.enc.Flush(); err != nil {
		return nil
	}
	for !s.over {
		if err := s.command(ctx); err != nil {
			s.leave(err)
			return nil
		}
	}
	return nil
}

// reset begins to read anew, from first and then the connection.
func (s *session) reset(first []byte) {
	s.dec = imapwire.NewDecoder(s.conn, first)
	s.dec.MaxLine, s.dec.MaxLiteral, s.dec.MaxTotal, s.dec.MaxSkip = maxLine, maxLiteral, maxLine, maxSkipped
	s.dec.Continue = func() error {
		s.enc.Line("+ OK")
		return s.enc.Flush()
	}
	s.enc = imapwire.NewEncoder(s.conn)
}

// leave says why the connection ends, where the client may be interested.
func (s *session) leave(err error) {
	var timeout net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		s.enc.Line("* BYE Disconnected for inactivity or shutdown.")
	case errors.Is(err, imapwire.ErrTooLong), errors.Is(err, imapwire.ErrTooBig):
		s.enc.Line("* BYE Input is too long.")
	case errors.Is(err, login.ErrTooMany):
		s.enc.Line("* BYE Too many connections.")
	case errors.Is(err, errTooManyErrors):
		s.enc.Line("* BYE Too many errors.")
	default:
		return
	}
	s.enc.Flush()
}

var errTooManyErrors = errors.New("too many errors")

// command reads and answers one command.
func (s *session) command(ctx context.Context) error {
	if err := s.dec.Next(); err != nil {
		return err
	}
	s.tag = ""
	tag := s.dec.Tag()
	if s.dec.Err() == nil {
		s.tag = tag
		s.dec.SP()
	}
	name := s.dec.Word()
	var err error
	if s.dec.Err() == nil {
		err = s.dispatch(ctx, name)
	}
	if err == nil {
		err = s.dec.Err()
	}
	var syntax *imapwire.SyntaxError
	switch {
	case errors.As(err, &syntax):
		s.bad(syntax.Text)
	case err != nil:
		return err
	}
	if s.over {
		return nil
	}
	if err := s.dec.Finish(); err != nil {
		return err
	}
	if err := s.enc.Flush(); err != nil {
		return err
	}
	if s.conn.TooMany(s.errors) {
		return errTooManyErrors
	}
	return nil
}

// bad answers a command that cannot be understood.
func (s *session) bad(text string) {
	s.errors++
	tag := s.tag
	if tag == "" {
		tag = "*"
	}
	s.enc.Line("%s BAD %s", tag, text)
}

// dispatch is the table of commands before login (RFC 9051 6.1, 6.2).
func (s *session) dispatch(ctx context.Context, name string) error {
	switch name {
	case "CAPABILITY":
		if s.dec.End() {
			s.enc.Line("* CAPABILITY %s", s.capabilities(ctx))
			s.ok("Pre-login capabilities listed, post-login capabilities have more.")
		}
	case "NOOP":
		if s.dec.End() {
			s.ok("NOOP completed.")
		}
	case "ID":
		s.id()
	case "LOGOUT":
		if s.dec.End() {
			s.enc.Line("* BYE Logging out")
			s.ok("Logout completed.")
			s.over = true
			return s.enc.Flush()
		}
	case "STARTTLS":
		return s.startTLS(ctx)
	case "LOGIN":
		return s.login(ctx)
	case "AUTHENTICATE":
		return s.authenticate(ctx)
	default:
		s.bad("Unknown command, or not before login.")
	}
	return nil
}

func (s *session) ok(text string) { s.enc.Line("%s OK %s", s.tag, text) }

// id answers ID (RFC 2971). What the client says about itself is checked for
// its form, and not kept.
func (s *session) id() {
	s.dec.SP()
	if s.dec.Peek() == '(' {
		n := 0
		s.dec.List(func() {
			s.dec.String()
			s.dec.SP()
			s.dec.NString()
			if n++; n > 30 {
				s.dec.Fail("Too many ID fields")
			}
		})
	} else if _, isNil := s.dec.NString(); !isNil {
		s.dec.Fail("Expected a list or NIL")
	}
	if s.dec.End() {
		s.enc.Line(`* ID ("name" "Posthouse")`)
		s.ok("ID completed.")
	}
}

// startTLS switches to TLS (RFC 9051 6.2.1).
func (s *session) startTLS(ctx context.Context) error {
	if !s.dec.End() {
		return nil
	}
	if !s.conn.HasTLS(ctx) {
		s.bad("TLS is not available, or on already.")
		return nil
	}
	if len(s.dec.Buffered()) > 0 {
		// Somebody on the way may have put it there, to have it taken for
		// the client's own once TLS is on.
		s.bad("Commands must not follow STARTTLS.")
		s.over = true
		return s.enc.Flush()
	}
	s.ok("Begin TLS negotiation now.")
	if err := s.enc.Flush(); err != nil {
		return err
	}
	if err := s.conn.StartTLS(ctx); err != nil {
		s.over = true
		return nil
	}
	s.reset(nil)
	return nil
}

// capabilities is what is offered before login.
func (s *session) capabilities(ctx context.Context) string {
	caps := []string{"IMAP4rev1", "IMAP4rev2", "SASL-IR", "ID", "ENABLE", "IDLE", "LITERAL+"}
	caps = imapwire.Capabilities(caps, s.srv.Capability)
	if s.conn.HasTLS(ctx) {
		caps = append(caps, "STARTTLS")
	}
	if !s.conn.Secure() {
		caps = append(caps, "LOGINDISABLED")
	}
	for _, m := range s.srv.Mechanisms(ctx, s.conn) {
		caps = append(caps, "AUTH="+m)
	}
	return strings.Join(caps, " ")
}
