package smtpclient

import (
	"context"
	"crypto/tls"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
)

// Greet reads the server's greeting and introduces us: EHLO, and HELO where
// that is refused, or LHLO.
func (c *Conn) Greet(ctx context.Context) error {
	defer c.watch(ctx)()
	r, f := c.reply(c.o.Timeouts.Greeting, "receiving the initial server greeting")
	if f != nil {
		return f
	}
	if !r.Positive() {
		f := c.refused(r)
		f.Greeting = true
		return f
	}
	name, rest, _ := strings.Cut(r.Lines[0], " ")
	if c.isMe(name) {
		c.Loop = true
		c.warn("host %s greeted me with my own hostname %s", c.Peer.Relay(), name)
	}
	ehlo := c.o.LMTP || !c.o.NeverEHLO && (c.o.AlwaysEHLO || offersESMTP(rest))
	return asError(c.hello(ehlo))
}

// Hello introduces us once more, as RFC 3207 section 4.2 asks for after a
// handshake.
func (c *Conn) Hello(ctx context.Context) error {
	defer c.watch(ctx)()
	return asError(c.hello(true))
}

// asError avoids an error that holds a nil *Failure.
func asError(f *Failure) error {
	if f == nil {
		return nil
	}
	return f
}

func offersESMTP(banner string) bool {
	for _, w := range strings.Fields(banner) {
		if strings.EqualFold(w, "ESMTP") {
			return true
		}
	}
	return false
}

func (c *Conn) isMe(name string) bool {
	for _, n := range c.o.MyNames {
		if n != "" && strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// hello sends the command and reads the server's capabilities.
func (c *Conn) hello(ehlo bool) *Failure {
	c.Caps = Capabilities{}
	verb := "EHLO"
	if c.o.LMTP {
		verb = "LHLO"
	}
	if ehlo {
		r, f := c.ask(c.o.Timeouts.Helo, "performing the "+verb+" handshake", "%s %s", verb, c.o.HeloName)
		if f != nil {
			return f
		}
		if r.Positive() {
			c.capabilities(r)
			return nil
		}
		if c.o.LMTP || r.Code == 421 {
			return c.refused(r)
		}
	}
	r, f := c.ask(c.o.Timeouts.Helo, "performing the HELO handshake", "HELO %s", c.o.HeloName)
	if f != nil {
		return f
	}
	if !r.Positive() {
		return c.refused(r)
	}
	c.checkName(r.Lines[0])
	return nil
}

func (c *Conn) checkName(line string) {
	name, _, _ := strings.Cut(line, " ")
	if c.isMe(name) {
		c.Loop = true
		c.warn("host %s replied to HELO/EHLO with my own hostname %s", c.Peer.Relay(), name)
	}
}

// capabilities reads the keywords of an EHLO reply, in any case: a server
// that spells starttls in small letters does offer TLS.
func (c *Conn) capabilities(r *smtpwire.Reply) {
	c.Caps.ESMTP = true
	c.checkName(r.Lines[0])
	for _, line := range r.Lines[1:] {
		words := strings.Fields(strings.ReplaceAll(line, "=", " "))
		if len(words) == 0 {
			continue
		}
		word := strings.ToUpper(words[0])
		if c.o.Discard[word] {
			continue
		}
		c.capability(word, words[1:])
	}
	if c.Caps.SMTPUTF8 && !c.Caps.EightBit {
		// RFC 6531 3.1: one needs the other.
		c.note("host %s offers SMTPUTF8 support, but not 8BITMIME", c.Peer.Relay())
		c.Caps.EightBit = true
	}
}

func (c *Conn) capability(word string, args []string) {
	switch word {
	case "PIPELINING":
		c.Caps.Pipelining = true
	case "8BITMIME":
		c.Caps.EightBit = true
	case "SIZE":
		c.Caps.Size = true
		if len(args) > 0 {
			if n, err := strconv.ParseInt(args[0], 10, 64); err == nil && n >= 0 {
				c.Caps.SizeLimit = n
			} else {
				c.warn("bad EHLO SIZE limit %q from %s", args[0], c.Peer.Relay())
			}
		}
	case "DSN":
		c.Caps.DSN = true
	case "MT-PRIORITY":
		c.Caps.Priority = true
	case "REQUIRETLS":
		c.Caps.RequireTLS = true
	case "SMTPUTF8":
		c.Caps.SMTPUTF8 = true
	case "STARTTLS":
		c.Caps.StartTLS = true
	case "CHUNKING":
		c.Caps.Chunking = true
	case "ENHANCEDSTATUSCODES":
		c.Caps.EnhancedStatusCodes = true
	case "AUTH":
		c.Caps.Auth = append(c.Caps.Auth, args...)
	case "XFORWARD":
		c.Caps.XForward = map[string]bool{}
		for _, a := range args {
			c.Caps.XForward[strings.ToUpper(a)] = true
		}
	}
}

// StartTLS asks for TLS and performs the handshake. After an error whose
// Handshake is set, or of the connection, the connection is over; after a
// refusal (a [*Failure] with a Reply) it goes on in clear. The caller calls
// [Conn.Hello] after success.
func (c *Conn) StartTLS(ctx context.Context, cfg *tls.Config) error {
	defer c.watch(ctx)()
	r, f := c.ask(c.o.Timeouts.StartTLS, "receiving the STARTTLS response", "STARTTLS")
	if f != nil {
		return f
	}
	if !r.Positive() {
		return c.said(ScopeSite, r, "STARTTLS command")
	}
	return c.Handshake(ctx, cfg)
}

// Handshake performs a TLS handshake: after STARTTLS, or before the greeting
// with smtp_tls_wrappermode.
func (c *Conn) Handshake(ctx context.Context, cfg *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeouts.StartTLS)
	defer cancel()
	c.conn.raw.SetDeadline(time.Now().Add(c.o.Timeouts.StartTLS))
	tc := tls.Client(c.conn.Conn, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		c.dead = true
		return &Failure{Scope: ScopeSite, Handshake: true, NoTLS: true, Cause: err,
			Status: local(ScopeSite, "4.7.5", "Cannot start TLS: handshake failure").Status,
			Text:   "Cannot start TLS: handshake failure"}
	}
	c.conn.raw.SetDeadline(time.Time{})
	c.conn.Conn = tc
	// What came in clear behind the 220 is gone with the old buffer, and so
	// is what the server claimed about itself (RFC 3207 section 4.2).
	c.r.Reset(c.conn)
	c.w.Reset(c.conn)
	c.Caps = Capabilities{}
	state := tc.ConnectionState()
	c.TLS = &state
	return nil
}

// Quit says goodbye and closes the connection.
func (c *Conn) Quit(ctx context.Context) {
	if !c.dead {
		defer c.watch(ctx)()
		c.command("QUIT")
		if c.flush(c.o.Timeouts.Quit, "sending QUIT") == nil && !c.o.SkipQuitReply {
			c.reply(c.o.Timeouts.Quit, "sending QUIT")
		}
	}
	c.Close()
}

// Probe asks an idle server whether it is still there, and ends a transaction
// that was left open. It returns nil if another message can be sent.
func (c *Conn) Probe(ctx context.Context) error {
	defer c.watch(ctx)()
	r, f := c.ask(c.o.Timeouts.Rset, "sending RSET probe", "RSET")
	if f != nil {
		return f
	}
	if !r.Positive() {
		c.over = true
		return c.said(ScopeSite, r, "RSET command")
	}
	c.dirty = false
	return nil
}
