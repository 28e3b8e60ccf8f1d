// Package authclient asks authd(8) who a user is and whether a secret is
// right.
//
// Secrets are checked nowhere else: a server passes on what its client said,
// step by step, and learns an [Outcome] and, after a success, a [User], which
// has no hashes. Delays after failures are applied by authd, so an answer may
// take some seconds.
//
// Requests on the socket are attribute lists:
//
//	request=mechanisms + peer                         -> status, mechanism ...
//	request=begin mechanism initial + peer            -> step
//	request=next response                             -> step
//	request=plain login password + peer               -> step
//	request=apop login challenge digest + peer        -> step
//	request=lookup login service                      -> status, user
//	request=recipient address                         -> status, user, target ..., over_quota
//	request=redeem ticket service                     -> status, user
//	request=sessions                                  -> see pkg/session
//
// A request of plain may bring the client's connection along, with hand=1 and
// what pkg/session says of a session: then handed says what became of it.
//
// A step is outcome, and as they apply challenge, login, text, ticket and user.
// What may hold any byte (initial, response, challenge, password, the channel
// bindings) is base64. An exchange belongs to its connection: begin starts
// it, and whoever closes the connection aborts it.
package authclient

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// Endpoint is the socket of authd, relative to the queue directory.
const Endpoint = "private/authd"

// Timeout bounds one request. It is longer than the longest delay that authd
// puts before the answer to a guess.
const Timeout = 60 * time.Second

// Limits of what a client sends on behalf of a stranger; RFC 4616 has no
// limit, Postfix's smtpd_sasl_response_limit is 12288.
const (
	MaxResponse = 12288
	MaxLogin    = 255
	MaxPassword = 1024
)

// Foreign in front of a service means that a program which is not ours serves
// it, and has no use for a ticket.
const Foreign = "auth-"

// The errors that callers branch on. ErrTemporary means that nothing is known:
// authd does not answer, or a database of its does not.
var (
	ErrUnknown   = errors.New("unknown user")
	ErrTemporary = errors.New("authentication service is temporarily unavailable")
)

// Outcome is how a step ended.
type Outcome int

// The outcomes. The zero value is no success.
const (
	Failed    Outcome = iota // wrong user or secret; or refused for another reason that the client must not learn
	OK                       // the client is User
	Continue                 // send Challenge, and give the answer to Exchange.Next
	Temporary                // nothing is known: 454, NO [UNAVAILABLE]
	Disabled                 // the secret is right, and the service is off for this user
)

// outcomes are the words on the socket.
var outcomes = [...]string{Failed: "failed", OK: "ok", Continue: "continue", Temporary: "temporary", Disabled: "disabled"}

// String returns the word of the outcome.
func (o Outcome) String() string {
	if o < 0 || int(o) >= len(outcomes) {
		return "failed"
	}
	return outcomes[o]
}

// ParseOutcome returns the outcome of a word; an unknown one is a failure.
func ParseOutcome(word string) Outcome {
	for i, w := range outcomes {
		if w == word {
			return Outcome(i)
		}
	}
	return Failed
}

// Peer is the client of a server, and the connection with it.
type Peer struct {
	Service     string // smtp, submission, imap, pop3, sieve
	RemoteIP    string
	LocalIP     string
	RemotePort  int
	LocalPort   int
	SessionID   string
	TLS         bool
	TLSExporter []byte // RFC 9266 2, for SCRAM-PLUS; nil without TLS 1.3
	TLSEndpoint []byte // RFC 5929 4: the hash of our own certificate
	CertName    string // of a client certificate that was verified; for EXTERNAL
	Realm       string // of logins without one (smtpd_sasl_local_domain)
}

// Step is an answer of authd.
type Step struct {
	Outcome   Outcome
	Challenge []byte // with Continue; with OK the last words of the server, if not nil
	Login     string // as far as it is known; for the log, also after a failure
	User      *User  // with OK
	Ticket    string // with OK, for services whose sessions run in another process
	Text      string // fixed words for the client's human and the log: "authentication failed"
	Handed    Handed // with OK, after [Client.PlainWith]: what became of the connection
	Code      string // with Refused, the reason in a word; Text is what the client may read
}

// Handed is what became of a connection that came with a password.
type Handed int

// With Kept the caller goes on as without: there is a ticket, for services that
// have them.
const (
	Kept    Handed = iota // still the caller's
	Given                 // the user's process has it
	Refused               // there is no session; the connection is still the caller's
	Lost                  // not known, and so nobody must use it any more
)

// handings are the words on the socket.
var handings = [...]string{Kept: "", Given: "ok", Refused: "refused", Lost: "lost"}

// Client asks authd. It is safe for concurrent use.
type Client struct {
	path   string
	pool   *ipc.Pool
	master bool // the socket must be one that master made
}

// New returns a client of the socket at path, which for a daemon is
// [Endpoint]. It connects when it is first asked something.
func New(path string) *Client { return &Client{path: path, pool: ipc.NewPool(path, Timeout)} }

// RequireMaster has the client talk only to a socket that root made, as master
// does, or the own user. Callers that act on a user id need it: the directory
// of the socket belongs to mail_owner, whose processes could put another one
// in its place.
func (c *Client) RequireMaster() { c.master = true }

// trusted checks who made the socket, which the kernel tells as its peer.
func (c *Client) trusted(conn *ipc.Conn) error {
	if !c.master {
		return nil
	}
	cred, err := ipc.PeerCred(conn.Conn)
	if err == nil && cred.UID != 0 && cred.UID != os.Geteuid() {
		err = fmt.Errorf("the socket was made by uid %d", cred.UID)
	}
	return err
}

// Close closes the connections that are not in use.
func (c *Client) Close() { c.pool.Close() }

// temporary wraps what went wrong on the way to authd.
func temporary(err error) error { return fmt.Errorf("%w: %w", ErrTemporary, err) }

// call sends a request that is answered with a status.
func (c *Client) call(ctx context.Context, req ipc.List) (ipc.List, error) {
	conn, reply, err := c.exchange(ctx, req)
	if err != nil {
		return nil, err
	}
	c.pool.Put(conn)
	switch s := reply.Value("status"); s {
	case "ok":
		return reply, nil
	case "unknown":
		return nil, ErrUnknown
	case "temporary":
		return nil, ErrTemporary
	default:
		return nil, temporary(fmt.Errorf("reply of authd: %w: status %q", ipc.ErrMalformed, s))
	}
}

// exchange sends a request and returns the connection, on which an exchange
// may go on. A kept connection that turns out to be dead is replaced.
func (c *Client) exchange(ctx context.Context, req ipc.List) (*ipc.Conn, ipc.List, error) {
	return c.exchangeWith(ctx, req, roundTrip)
}

// exchangeWith is exchange with another way to ask.
func (c *Client) exchangeWith(ctx context.Context, req ipc.List, ask func(context.Context, *ipc.Conn, ipc.List) (ipc.List, error)) (*ipc.Conn, ipc.List, error) {
	for {
		conn, reused, err := c.pool.Get(ctx)
		if err == nil && !reused {
			if err = c.trusted(conn); err != nil {
				conn.Close()
			}
		}
		if err != nil {
			return nil, nil, temporary(err)
		}
		reply, err := ask(ctx, conn, req)
		if err == nil {
			return conn, reply, nil
		}
		conn.Close()
		if !reused || ctx.Err() != nil || errors.Is(err, ipc.ErrMalformed) || errors.Is(err, errLost) {
			return nil, nil, temporary(err)
		}
		c.pool.Close()
	}
}

// roundTrip is one request and its reply, cut short when ctx is done.
func roundTrip(ctx context.Context, conn *ipc.Conn, req ipc.List) (ipc.List, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	reply, err := conn.Call(req)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	return reply, err
}

// Mechanisms returns what may be offered to this peer, best first.
func (c *Client) Mechanisms(ctx context.Context, p Peer) ([]string, error) {
	reply, err := c.call(ctx, p.attributes(ipc.List{}.Str("request", "mechanisms")))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, a := range reply {
		if a.Name == "mechanism" {
			names = append(names, a.Value)
		}
	}
	return names, nil
}

// Lookup returns who a login is. The service matters to users for whom it is
// off, which are then unknown; "" is none in particular.
func (c *Client) Lookup(ctx context.Context, login, service string) (*User, error) {
	if !usable(login) {
		return nil, ErrUnknown
	}
	reply, err := c.call(ctx, ipc.List{}.Str("request", "lookup").Str("login", login).Str("service", service))
	if err != nil {
		return nil, err
	}
	return needUser(reply)
}

// Redeem returns the user that a ticket was made out for. A ticket can be
// redeemed once, by root, within a minute.
func (c *Client) Redeem(ctx context.Context, ticket, service string) (*User, error) {
	if !usable(ticket) {
		return nil, ErrUnknown
	}
	reply, err := c.call(ctx, ipc.List{}.Str("request", "redeem").Str("ticket", ticket).Str("service", service))
	if err != nil {
		return nil, err
	}
	return needUser(reply)
}

func needUser(reply ipc.List) (*User, error) {
	u, err := ReadUser(reply)
	if err == nil && u == nil {
		err = fmt.Errorf("reply of authd: %w: no user", ipc.ErrMalformed)
	}
	if err != nil {
		return nil, temporary(err)
	}
	return u, nil
}

// Recipient is what an address stands for: a User, or other addresses.
type Recipient struct {
	User      *User
	Targets   []string // of an alias or a catch-all
	OverQuota bool     // the mailbox of User takes no more mail
}

// Recipient says whether mail may be delivered to an address. ErrUnknown means
// that it is no address of ours, or has no mailbox.
func (c *Client) Recipient(ctx context.Context, address string) (*Recipient, error) {
	if !usable(address) {
		return nil, ErrUnknown
	}
	reply, err := c.call(ctx, ipc.List{}.Str("request", "recipient").Str("address", address))
	if err != nil {
		return nil, err
	}
	var r Recipient
	if r.User, err = ReadUser(reply); err != nil {
		return nil, temporary(err)
	}
	for _, a := range reply {
		if a.Name == "target" {
			r.Targets = append(r.Targets, a.Value)
		}
	}
	r.OverQuota = reply.Value("over_quota") == "1"
	if r.User == nil && len(r.Targets) == 0 {
		return nil, temporary(fmt.Errorf("reply of authd: %w: neither user nor target", ipc.ErrMalformed))
	}
	return &r, nil
}

// usable reports a name that may be sent at all. What it may consist of is for
// authd to say.
func usable(name string) bool {
	if name == "" || len(name) > 1024 {
		return false
	}
	for i := 0; i < len(name); i++ {
		if name[i] == 0 {
			return false
		}
	}
	return true
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// Sessions connects to authd for sessions that it hands over after a login, which
// pkg/session reads from the connection. Only root is heard.
func (c *Client) Sessions(ctx context.Context) (*ipc.FileConn, error) {
	conn, err := ipc.Dial(ctx, c.path, Timeout)
	if err != nil {
		return nil, temporary(err)
	}
	in, err := ipc.NewFileConn(conn.Conn, 1)
	if err == nil {
		err = c.trusted(conn)
	}
	if err == nil {
		err = in.Send(ipc.List{}.Str("request", "sessions"))
	}
	if err != nil {
		conn.Close()
		return nil, temporary(err)
	}
	return in, nil
}

// SetQuota tells whether the mailbox of a user is full. Who delivers to it
// knows, and only root is heard.
func (c *Client) SetQuota(ctx context.Context, login string, over bool) error {
	if !usable(login) {
		return ErrUnknown
	}
	_, err := c.call(ctx, ipc.List{}.Str("request", "quota").Str("login", login).Bool("over_quota", over))
	return err
}

// CRAMMD5 checks an answer to a CRAM-MD5 challenge that somebody else made
// (RFC 2195), for the protocols in which servers do that themselves.
func (c *Client) CRAMMD5(ctx context.Context, p Peer, login, challenge, digest string) (Step, error) {
	if !usable(login) || len(login) > MaxLogin || !usable(challenge) || !usable(digest) {
		return Step{Outcome: Failed, Text: TextFailed}, nil
	}
	return c.once(ctx, p, ipc.List{}.Str("request", "cram").Str("login", login).
		Str("challenge", challenge).Str("digest", digest))
}
