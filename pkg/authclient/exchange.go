package authclient

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// Exchange is an authentication that needs more of its client.
type Exchange struct {
	client *Client
	conn   *ipc.Conn // nil when it is over
}

// errOver reports the use of an exchange after its end.
var errOver = errors.New("the exchange is over")

// Begin starts an exchange with a mechanism. initial is the initial response,
// nil if the client sent none; an empty one is not nil (RFC 4954 4, "="). The
// exchange is nil unless the outcome is Continue. An error means that nothing
// is known, and comes with the outcome Temporary.
func (c *Client) Begin(ctx context.Context, p Peer, mechanism string, initial []byte) (*Exchange, Step, error) {
	if !usable(mechanism) || len(mechanism) > 64 || len(initial) > MaxResponse {
		return nil, Step{Outcome: Failed, Text: TextFailed}, nil
	}
	req := ipc.List{}.Str("request", "begin").Str("mechanism", mechanism)
	if initial != nil {
		req = req.Str("initial", encode(initial))
	}
	conn, step, err := c.begin(ctx, p.attributes(req))
	if err != nil {
		return nil, step, err
	}
	if step.Outcome != Continue {
		c.pool.Put(conn)
		return nil, step, nil
	}
	return &Exchange{client: c, conn: conn}, step, nil
}

// TextFailed is the text of a failure that tells nothing.
const TextFailed = "authentication failed"

func (c *Client) begin(ctx context.Context, req ipc.List) (*ipc.Conn, Step, error) {
	conn, reply, err := c.exchange(ctx, req)
	if err != nil {
		return nil, Step{Outcome: Temporary, Text: ErrTemporary.Error()}, err
	}
	step, err := readStep(reply)
	if err != nil {
		conn.Close()
		return nil, step, err
	}
	return conn, step, nil
}

// Next gives the client's response to the last challenge.
func (x *Exchange) Next(ctx context.Context, response []byte) (Step, error) {
	if x.conn == nil {
		return Step{Outcome: Failed, Text: TextFailed}, errOver
	}
	if len(response) > MaxResponse {
		x.Abort()
		return Step{Outcome: Failed, Text: TextFailed}, nil
	}
	reply, err := roundTrip(ctx, x.conn, ipc.List{}.Str("request", "next").Str("response", encode(response)))
	var step Step
	if err != nil {
		step, err = Step{Outcome: Temporary, Text: ErrTemporary.Error()}, temporary(err)
	} else {
		step, err = readStep(reply)
	}
	switch {
	case err != nil:
		x.Abort()
	case step.Outcome != Continue:
		x.client.pool.Put(x.conn)
		x.conn = nil
	}
	return step, err
}

// Abort ends an exchange that the client gave up. It may be called at any time.
func (x *Exchange) Abort() {
	if x == nil || x.conn == nil {
		return
	}
	x.conn.Close()
	x.conn = nil
}

// Plain checks a login and its password: LOGIN of IMAP, USER and PASS of POP3.
func (c *Client) Plain(ctx context.Context, p Peer, login, password string) (Step, error) {
	if !usable(login) || len(login) > MaxLogin || len(password) > MaxPassword {
		return Step{Outcome: Failed, Text: TextFailed}, nil
	}
	return c.once(ctx, p, ipc.List{}.Str("request", "plain").Str("login", login).Str("password", encode([]byte(password))))
}

// PlainWith is Plain for a client whose connection may go to the user's process
// at once, if the login is right: authd sends it on. session is what that process
// has to know of it.
func (c *Client) PlainWith(ctx context.Context, p Peer, login, password string, session ipc.List, conn syscall.Conn) (Step, error) {
	if !usable(login) || len(login) > MaxLogin || len(password) > MaxPassword {
		return Step{Outcome: Failed, Text: TextFailed}, nil
	}
	req := p.attributes(ipc.List{}.Str("request", "plain").Str("login", login).Str("password", encode([]byte(password))).Bool("hand", true))
	to, reply, err := c.exchangeWith(ctx, append(req, session...), func(ctx context.Context, to *ipc.Conn, req ipc.List) (ipc.List, error) {
		return roundTripWith(ctx, to, req, conn)
	})
	switch {
	case errors.Is(err, errLost):
		return Step{Outcome: OK, Login: login, Handed: Lost}, err
	case err != nil:
		return Step{Outcome: Temporary, Text: ErrTemporary.Error()}, err
	}
	step, err := readStep(reply)
	if err != nil || step.Outcome == Continue {
		// A reply that makes no sense says nothing of the connection either.
		to.Close()
		return Step{Outcome: OK, Login: login, Handed: Lost}, temporary(errors.Join(errLost, err))
	}
	c.pool.Put(to)
	return step, nil
}

// errLost reports a request that was read and not answered.
var errLost = errors.New("it is not known who has the connection")

// roundTripWith is roundTrip with a descriptor.
func roundTripWith(ctx context.Context, to *ipc.Conn, req ipc.List, conn syscall.Conn) (ipc.List, error) {
	stop := context.AfterFunc(ctx, func() { to.Close() })
	defer stop()
	if err := to.Extend(); err != nil {
		return nil, err
	}
	if err := to.WriteFileList(conn, req); err != nil {
		return nil, err // it did not arrive whole
	}
	reply, err := to.Receive()
	if err == nil || errors.Is(err, syscall.ECONNRESET) {
		return reply, err // reset: closed before it was read
	}
	return nil, errors.Join(errLost, err)
}

// APOP checks the digest of POP3's APOP (RFC 1939 7).
func (c *Client) APOP(ctx context.Context, p Peer, login, challenge, digest string) (Step, error) {
	if !usable(login) || len(login) > MaxLogin || !usable(challenge) || !usable(digest) {
		return Step{Outcome: Failed, Text: TextFailed}, nil
	}
	return c.once(ctx, p, ipc.List{}.Str("request", "apop").Str("login", login).
		Str("challenge", challenge).Str("digest", digest))
}

// once is an exchange of one step.
func (c *Client) once(ctx context.Context, p Peer, req ipc.List) (Step, error) {
	conn, step, err := c.begin(ctx, p.attributes(req))
	if err != nil {
		return step, err
	}
	if step.Outcome == Continue {
		conn.Close()
		return Step{Outcome: Temporary, Text: ErrTemporary.Error()},
			temporary(fmt.Errorf("reply of authd: %w: unexpected challenge", ipc.ErrMalformed))
	}
	c.pool.Put(conn)
	return step, nil
}

// Attributes returns the step in the form of the socket.
func (s Step) Attributes() ipc.List {
	l := ipc.List{}.Str("outcome", s.Outcome.String())
	if s.Challenge != nil {
		l = l.Str("challenge", encode(s.Challenge))
	}
	if s.Login != "" {
		l = l.Str("login", s.Login)
	}
	if s.Text != "" {
		l = l.Str("text", s.Text)
	}
	if s.Ticket != "" {
		l = l.Str("ticket", s.Ticket)
	}
	if s.Handed != Kept {
		l = l.Str("handed", handings[s.Handed])
	}
	if s.Code != "" {
		l = l.Str("code", s.Code)
	}
	if s.User != nil {
		l = s.User.Attributes(l)
	}
	return l
}

// readStep reads a step. On an error the outcome is Temporary.
func readStep(l ipc.List) (Step, error) {
	s := Step{Outcome: ParseOutcome(l.Value("outcome")), Login: l.Value("login"), Text: l.Value("text"), Ticket: l.Value("ticket")}
	broken := func(what string) (Step, error) {
		return Step{Outcome: Temporary, Text: ErrTemporary.Error()},
			temporary(fmt.Errorf("reply of authd: %w: %s", ipc.ErrMalformed, what))
	}
	if _, ok := l.Get("outcome"); !ok {
		return broken("no outcome")
	}
	var err error
	if v, ok := l.Get("challenge"); ok {
		if s.Challenge, err = base64.StdEncoding.DecodeString(v); err != nil {
			return broken("challenge")
		}
	}
	if s.User, err = ReadUser(l); err != nil {
		return broken("user")
	}
	if s.Outcome == OK && s.User == nil {
		return broken("success without a user")
	}
	handed := slices.Index(handings[:], l.Value("handed"))
	if handed < 0 {
		return broken("handed")
	}
	s.Handed, s.Code = Handed(handed), l.Value("code")
	if s.Outcome != OK {
		s.User, s.Ticket, s.Handed, s.Code = nil, "", Kept, ""
	}
	return s, nil
}
