package smtpclient

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/sasl"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
)

// maxAuthSteps bounds the dialogue of a mechanism; SCRAM has three steps.
const maxAuthSteps = 10

// Auth logs in (RFC 4954). A failure concerns the server as a whole.
func (c *Conn) Auth(ctx context.Context, login sasl.Client) error {
	defer c.watch(ctx)()
	mechanism, initial, err := login.Start()
	if err != nil {
		return local(ScopeSite, "4.7.0", "SASL authentication failed; cannot authenticate to server %s: %v", c.Peer, err)
	}
	line := "AUTH " + mechanism
	if initial != nil {
		text := base64.StdEncoding.EncodeToString(initial)
		if text == "" {
			text = "="
		}
		line += " " + text
	}
	r, f := c.ask(c.o.Timeouts.Helo, "performing the AUTH handshake", "%s", line)
	for range maxAuthSteps {
		if f != nil {
			return f
		}
		if r.Code != 334 {
			return asError(c.authReply(r))
		}
		r, f = c.authStep(login, r)
	}
	c.dead = true
	return local(ScopeSite, "4.7.0", "SASL authentication failed; server %s does not come to an end", c.Peer)
}

// authStep answers one challenge. One that makes no sense is answered with "*",
// which ends the exchange.
func (c *Conn) authStep(login sasl.Client, r *smtpwire.Reply) (*smtpwire.Reply, *Failure) {
	answer := "*"
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(r.Lines[0]))
	if err == nil {
		var response []byte
		if response, err = login.Next(challenge); err == nil {
			answer = base64.StdEncoding.EncodeToString(response)
		}
	}
	next, f := c.askSecret(c.o.Timeouts.Helo, "performing the AUTH handshake", answer)
	if err != nil && f == nil {
		return nil, local(ScopeSite, "4.7.0", "SASL authentication failed; cannot authenticate to server %s: %v", c.Peer, err)
	}
	return next, f
}

func (c *Conn) authReply(r *smtpwire.Reply) *Failure {
	if r.Positive() {
		return nil
	}
	f := c.said(ScopeSite, r, "AUTH command")
	f.Text = "SASL authentication failed; server " + c.Peer.String() + " said: " + r.String()
	return f
}
