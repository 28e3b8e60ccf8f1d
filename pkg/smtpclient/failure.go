package smtpclient

import (
	"errors"
	"fmt"
	"os"

	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// Scope says how much a failure concerns.
type Scope int

// The scopes.
const (
	ScopeRcpt    Scope = iota // one recipient
	ScopeMessage              // all recipients of this message
	ScopeSite                 // the server: there is no use in trying it again now
)

// Failure is why something was not done.
type Failure struct {
	Scope Scope
	// Status has the code of the server's reply, or one of ours. Its Text is
	// the server's own, or ours again.
	Status status.Status
	// Text is the whole explanation as a log shows it: "host mx[192.0.2.1]
	// said: 550 no (in reply to RCPT TO command)".
	Text string
	// Reply is the server's reply; nil where there was none.
	Reply *smtpwire.Reply
	// Handshake: TLS was agreed on but could not be established. The
	// connection is over; a caller whose policy allows it may try in clear.
	Handshake bool
	// NoTLS: the connection does not have the protection that the site or the
	// sender asks for.
	NoTLS bool
	// Greeting: the server said it in place of a greeting.
	Greeting bool
	// Early: the connection was lost before the server said anything about
	// the message, as happens to one that was idle.
	Early bool
	// Unknown: the end of the message was sent and no reply came, so the
	// server may have taken it.
	Unknown bool
	// Cause is the error below it, if any.
	Cause error
}

// Error returns the text.
func (f *Failure) Error() string { return f.Text }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// said makes a failure of a reply to a command. A reply that is neither a
// temporary nor a permanent failure is out of place here, and nobody's cure
// but the server's; Postfix gives it 5.5.0.
func (c *Conn) said(scope Scope, r *smtpwire.Reply, command string) *Failure {
	c.misplaced(r)
	f := &Failure{Scope: scope, Status: r.Status(), Reply: r,
		Text: fmt.Sprintf("host %s said: %s (in reply to %s)", c.Peer, r, command)}
	if r.Positive() {
		f.Text = "Protocol error: " + f.Text
	}
	return protocolError(f)
}

// misplaced notes a reply that says that one side breaks the protocol: one that
// is no failure where there must be one, or a failure of syntax.
func (c *Conn) misplaced(r *smtpwire.Reply) {
	if r.Code < 400 || r.Code > 599 || r.Code >= 500 && r.Code < 510 || r.Code == 555 {
		c.log.Erred(transcript.Protocol)
	}
}

func protocolError(f *Failure) *Failure {
	if !f.Status.Temporary() && !f.Status.Permanent() {
		f.Status = status.New(501, "5.5.0", f.Status.Text)
	}
	return f
}

// refused makes a failure of a greeting, or of the reply to HELO.
func (c *Conn) refused(r *smtpwire.Reply) *Failure {
	c.misplaced(r)
	c.over = true
	f := &Failure{Scope: ScopeSite, Status: r.Status(), Reply: r,
		Text: fmt.Sprintf("host %s refused to talk to me: %s", c.Peer, r)}
	return protocolError(f)
}

// lost makes a failure of an error of the connection.
func (c *Conn) lost(err error, doing string) *Failure {
	c.dead = true
	text := "lost connection with %s while %s"
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		text = "conversation with %s timed out while %s"
	case isNoise(err) || errors.Is(err, smtpwire.ErrLineFlood):
		text = "malformed reply from %s while %s"
	}
	text = fmt.Sprintf(text, c.Peer, doing)
	return &Failure{Scope: ScopeSite, Status: status.New(0, "4.4.2", text), Text: text, Cause: err}
}

// local makes a failure of our own.
func local(scope Scope, code, format string, args ...any) *Failure {
	text := fmt.Sprintf(format, args...)
	return &Failure{Scope: scope, Status: status.New(0, code, text), Text: text}
}
