// Package smtpclient is the client side of SMTP and LMTP: one [Conn] is one
// connection to one server, over which any number of messages go.
//
// It has the protocol and its texts, and no policy: which server to talk to,
// what to do about a failure and what to write to a log is its caller's. A
// failure is a [*Failure], which has the text and code that Postfix has for
// it, and says how much it concerns: one recipient, the message, or the
// server as a whole.
//
// Commands are sent in one flight where the server offers PIPELINING (RFC
// 2920): MAIL, RCPT and DATA together. Every wait has a deadline, every reply
// a size limit, and nothing that came before a TLS handshake counts after it.
package smtpclient

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/mime"
	"github.com/posthouse-mail/posthouse/pkg/nowait"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// Timeouts are the times that a server has for each stage of a conversation.
// They are the smtp_*_timeout parameters.
type Timeouts struct {
	Greeting, Helo, StartTLS, XForward, Mail, Rcpt, DataInit, DataXfer, DataDone, Rset, Quit time.Duration
}

// Options are the settings of a connection.
type Options struct {
	LMTP      bool
	HeloName  string // smtp_helo_name, lmtp_lhlo_name
	MyNames   []string
	NeverEHLO bool // smtp_never_send_ehlo
	// AlwaysEHLO sends EHLO whatever the greeting says; without it a server
	// gets EHLO if it greets with the word ESMTP (smtp_always_send_ehlo).
	AlwaysEHLO bool
	Timeouts   Timeouts
	// Discard is the set of EHLO keywords to ignore, in upper case
	// (smtp_discard_ehlo_keywords).
	Discard map[string]bool
	// LineLimit is smtp_line_length_limit; 0 means no limit.
	LineLimit int
	// NoConversion keeps 8-bit content as it is although the server does not
	// take it (disable_mime_output_conversion).
	NoConversion bool
	// MIME limits what is looked at in that conversion.
	MIME mime.Limits
	// MinRate is how many bytes per second a server must take of a message;
	// 0 means that only standstill counts (smtp_per_request_deadline,
	// smtp_min_data_rate).
	MinRate int
	// RawEnvelope sends addresses without quotes that RFC 5321 would have
	// (smtp_quote_rfc821_envelope = no).
	RawEnvelope   bool
	SendXForward  bool // smtp_send_xforward_command
	SkipQuitReply bool // smtp_skip_quit_response
	Buffers       *smtpwire.Buffers
	// Warn is called with what a log should say besides failures; nil is
	// allowed.
	Warn func(text string)
	// Note is like Warn for what is only worth a remark.
	Note func(text string)
	// Notices tells the postmaster of what goes wrong in sessions; nil does
	// not.
	Notices *transcript.Notifier
}

// Peer names a server as logs do.
type Peer struct {
	Host string // name; for a Unix socket our own
	Addr string // address, or the path of a Unix socket
	Port int    // 0 for a Unix socket
}

// String returns "name[address]".
func (p Peer) String() string { return p.Host + "[" + p.Addr + "]" }

// Relay returns "name[address]:port", as relay= in a log has it.
func (p Peer) Relay() string {
	if p.Port == 0 {
		return p.String()
	}
	return fmt.Sprintf("%s:%d", p, p.Port)
}

// Capabilities are what a server said in reply to EHLO.
type Capabilities struct {
	ESMTP               bool // it took EHLO or LHLO
	Pipelining          bool
	EightBit            bool // 8BITMIME
	Size                bool
	SizeLimit           int64 // 0 is none
	DSN                 bool
	Priority            bool // MT-PRIORITY, RFC 6710
	RequireTLS          bool // REQUIRETLS, RFC 8689
	SMTPUTF8            bool
	StartTLS            bool
	Chunking            bool
	EnhancedStatusCodes bool
	XForward            map[string]bool
	Auth                []string // mechanisms
}

// Conn is a connection to a server. It is for one goroutine at a time.
type Conn struct {
	Peer Peer
	Caps Capabilities
	// TLS is the state of the handshake; nil without TLS.
	TLS *tls.ConnectionState
	// Uses counts the messages for which the connection was used.
	Uses int
	// Loop reports that the server introduced itself with one of MyNames.
	Loop bool

	o     *Options
	conn  *timedConn
	r     *smtpwire.Reader
	w     *smtpwire.Writer
	dead  bool // nothing more can be said
	over  bool // nothing but QUIT: the server has refused all else
	dirty bool // a transaction may be open on the server's side
	noise int  // lines that were not replies
	log   *transcript.Log
}

// NewConn returns a Conn on an open connection. The caller goes on with
// [Conn.Hello], and ends with [Conn.Quit] or [Conn.Close].
func NewConn(conn net.Conn, peer Peer, o *Options) *Conn {
	tc := &timedConn{Conn: nowait.Wrap(conn), raw: conn, rate: o.MinRate}
	return &Conn{Peer: peer, o: o, conn: tc, log: o.Notices.Start(),
		r: smtpwire.NewReader(tc, o.Buffers), w: smtpwire.NewWriter(tc, o.Buffers)}
}

// Usable reports whether another message can be sent.
func (c *Conn) Usable() bool { return !c.ended() && c.noise == 0 }

// ended reports whether the server does no more work.
func (c *Conn) ended() bool { return c.dead || c.over }

// Close ends the connection at once.
func (c *Conn) Close() error {
	c.dead = true
	c.r.Release()
	c.w.Reset(c.conn)
	err := c.conn.Close()
	c.o.Notices.FinishLater(c.log, transcript.Session{Peer: c.Peer.Relay()})
	c.log = nil
	return err
}

// watch makes a cancelled context end any wait on the connection. The caller
// defers what it returns.
func (c *Conn) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.conn.cancel() })
}

// command buffers a command line.
func (c *Conn) command(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	c.log.SentCommand(line)
	c.w.Line(line)
}

// flush sends what is buffered within the time for a stage.
func (c *Conn) flush(limit time.Duration, doing string) *Failure {
	c.conn.begin(limit)
	if err := c.w.Flush(); err != nil {
		return c.lost(err, doing)
	}
	return nil
}

// maxNoise is how many lines that are no replies are passed over. Postfix
// does so; servers print debug lines and stray texts.
const maxNoise = 50

// reply reads one reply, which has limit to arrive as a whole.
func (c *Conn) reply(limit time.Duration, doing string) (*smtpwire.Reply, *Failure) {
	c.conn.readBy(limit)
	for {
		r, err := c.r.ReadReply()
		if err == nil {
			for i, line := range r.Lines {
				c.log.GotReply(r.Code, i < len(r.Lines)-1, line)
			}
			if r.Code == 421 {
				// RFC 5321 3.8: the server closes after it.
				c.over = true
			}
			return r, nil
		}
		if isNoise(err) {
			c.log.Got(strings.TrimPrefix(err.Error(), smtpwire.ErrReply.Error()+": "))
			c.log.Erred(transcript.Protocol)
		}
		if c.noise++; !isNoise(err) || c.noise > maxNoise {
			return nil, c.lost(err, doing)
		}
		if c.noise == 1 {
			c.warn("non-%s response from %s: %s", c.protocol(), c.Peer.Relay(), strings.TrimPrefix(err.Error(), smtpwire.ErrReply.Error()+": "))
		}
	}
}

// ask sends one command and reads the reply to it.
func (c *Conn) ask(limit time.Duration, doing, format string, args ...any) (*smtpwire.Reply, *Failure) {
	c.command(format, args...)
	return c.answer(limit, doing)
}

// askSecret is ask for a line of a login.
func (c *Conn) askSecret(limit time.Duration, doing, line string) (*smtpwire.Reply, *Failure) {
	c.log.SentSecret()
	c.w.Line(line)
	return c.answer(limit, doing)
}

// answer sends what is buffered and reads a reply.
func (c *Conn) answer(limit time.Duration, doing string) (*smtpwire.Reply, *Failure) {
	if f := c.flush(limit, doing); f != nil {
		return nil, f
	}
	return c.reply(limit, doing)
}

func (c *Conn) protocol() string {
	switch {
	case c.o.LMTP:
		return "LMTP"
	case c.Caps.ESMTP:
		return "ESMTP"
	}
	return "SMTP"
}

func (c *Conn) warn(format string, args ...any) {
	if c.o.Warn != nil {
		c.o.Warn(fmt.Sprintf(format, args...))
	}
}

func (c *Conn) note(format string, args ...any) {
	if c.o.Note != nil {
		c.o.Note(fmt.Sprintf(format, args...))
	}
}
