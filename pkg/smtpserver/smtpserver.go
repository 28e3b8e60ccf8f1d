// Package smtpserver is the server side of an SMTP session: the state machine
// with its replies, limits, time limits and log lines. It decides nothing
// about who may send what to whom: that is a [Handler], which smtpd,
// submission and lmtpd each bring along.
//
// Reply texts and log lines are Postfix's, since tools match them.
//
// A session goes Open, Connect, then for each command the hook of its name.
// Every way out of a transaction - RSET, EHLO, STARTTLS, an error in content,
// the end of a message - goes through the one function that forgets sender,
// recipients and content together, so that no part of one message can be
// seen by the next.
package smtpserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// Options are what is the same for all sessions of a service. They do not
// change while it runs.
type Options struct {
	Hostname string // $myhostname
	Banner   string // $smtpd_banner
	LMTP     bool   // LHLO instead of HELO and EHLO
	Log      *maillog.Logger
	Buffers  *smtpwire.Buffers

	Timeout         time.Duration // smtpd_timeout
	StartTLSTimeout time.Duration // smtpd_starttls_timeout
	RequestDeadline bool          // smtpd_per_request_deadline
	MinDataRate     int64         // smtpd_min_data_rate, bytes a second

	LineLimit   int // line_length_limit
	SoftErrors  int // smtpd_soft_error_limit
	HardErrors  int // smtpd_hard_error_limit
	JunkLimit   int // smtpd_junk_command_limit
	ErrorSleep  time.Duration
	RcptLimit   int   // smtpd_recipient_limit
	RcptOver    int   // smtpd_recipient_overshoot_limit
	SizeLimit   int64 // message_size_limit, 0 is none
	HeloNeeded  bool  // smtpd_helo_required
	StrictPaths bool  // strict_rfc821_envelopes
	NoDashes    bool  // not allow_min_user
	NoVRFY      bool  // disable_vrfy_command
	NoETRN      bool  // no ETRN, and no offer of it
	UTF8        bool  // smtputf8_enable
	// Forbidden are the first words that end a session
	// (smtpd_forbidden_commands), upper case.
	Forbidden []string
	// NoEarlyTalk ends the session of a client that sends commands before
	// it may (smtpd_forbid_unauth_pipelining).
	NoEarlyTalk bool
	// Leave is done when sessions must take leave before their next
	// command; nil is never.
	Leave context.Context

	AuthTLSOnly bool // smtpd_tls_auth_only
	BrokenAuth  bool // broken_sasl_auth_clients
	AuthLimit   int  // smtpd_sasl_response_limit

	// FutureRelease is how far ahead mail may be held (RFC 4865); 0 does
	// not offer it.
	FutureRelease time.Duration
	// Priority offers MT-PRIORITY (RFC 6710).
	Priority bool

	// RequireTLS offers REQUIRETLS in sessions with TLS (RFC 8689).
	RequireTLS bool

	// VERPDelims are what XVERP without a value means, and VERPFilter the
	// characters that one may have.
	VERPDelims, VERPFilter string

	// TLS makes the configuration for a handshake; nil turns TLS off.
	TLS func(ctx context.Context, s *Session) (*tls.Config, error)
	// TLSRequired is smtpd_tls_security_level = encrypt.
	TLSRequired bool
	// TLSWrapper starts TLS before the greeting (smtpd_tls_wrappermode).
	TLSWrapper bool
	TLSLog     int // smtpd_tls_loglevel

	// Notices tells the postmaster of what goes wrong in sessions; nil does
	// not. PauseLines is smtpd_history_flush_threshold.
	Notices    *transcript.Notifier
	PauseLines int
}

// Handler is what a service does at each step. A method that returns the zero
// status agrees, and the session gives its usual reply; any other status is
// the reply, and one of class 4 or 5 means no. Replies 421 and 521 end the
// session. Methods of one Handler are called by one goroutine.
type Handler interface {
	// Open learns who the client is and fills the Session's fields for it.
	// It comes before "connect from" is logged.
	Open(ctx context.Context, s *Session)
	// Connect decides about the greeting.
	Connect(ctx context.Context, s *Session) status.Status
	// Helo follows HELO and EHLO; s.Helo and s.Proto are set.
	Helo(ctx context.Context, s *Session) status.Status
	// StartTLS decides about STARTTLS; TLSDone follows the handshake.
	StartTLS(ctx context.Context, s *Session) status.Status
	TLSDone(ctx context.Context, s *Session, err error)
	Mail(ctx context.Context, s *Session, m *Mail) status.Status
	Rcpt(ctx context.Context, s *Session, r *Rcpt) status.Status
	// Data comes before the reply 354, or before the first chunk.
	Data(ctx context.Context, s *Session) status.Status
	// Content takes the message, line by line (see smtpwire). It has no
	// way to stop it: errors are remembered until End.
	Content(s *Session, b []byte, eol bool)
	// End is the end of the message. Only the status that it returns may
	// say that the message is accepted.
	End(ctx context.Context, s *Session, info smtpwire.ContentInfo) status.Status
	// Reset drops what there is of a transaction, if there is one.
	Reset(s *Session)
	Vrfy(ctx context.Context, s *Session, addr string) status.Status
	Etrn(ctx context.Context, s *Session, domain string) status.Status
	// Close is the end of the session.
	Close(s *Session)
}

// EachHandler is the Handler of an LMTP server, which answers the end of a
// message once for each recipient that it accepted (RFC 2033 4.2).
type EachHandler interface {
	Handler
	// EndEach takes the place of End where Options.LMTP is set. It returns
	// a status for each accepted RCPT command, in their order; each says
	// whether the message is accepted for that recipient.
	EndEach(ctx context.Context, s *Session, info smtpwire.ContentInfo) []status.Status
}

// Mail is an accepted or proposed MAIL command.
type Mail struct {
	envelope.Sender
	Size     int64  // of SIZE=, 0 if it was not given
	Encoding string // of BODY=, "" if it was not given
	UTF8     bool   // SMTPUTF8 was given
	Auth     string // of AUTH=, "" if it was not given
	VERP     string // delimiters of XVERP, "" if it was not given
	// HoldUntil is the time before which the message must not leave
	// (HOLDFOR=, HOLDUNTIL= of RFC 4865); zero if none was given.
	HoldUntil time.Time
	Priority  int // of MT-PRIORITY= (RFC 6710); 0 is what all mail has
}

// Rcpt is one RCPT command.
type Rcpt struct {
	envelope.Recipient
}

// Session is one connection. Handlers may read its exported fields, and set
// those that Open is to fill.
type Session struct {
	// Client is filled by Open: Name, ReverseName, Addr, Port. Helo and
	// Proto are kept up to date by the session.
	Client envelope.Client
	// NoKeywords are EHLO keywords not to offer this client, upper case,
	// filled by Open (smtpd_discard_ehlo_keywords).
	NoKeywords map[string]bool
	// BareLF is how this client's line ends are read, filled by Open.
	BareLF smtpwire.BareLF
	// MayErr lets a client that Open trusts make any number of errors.
	MayErr bool
	// MayVERP lets a client use XVERP (smtpd_authorized_verp_clients).
	MayVERP bool
	// MayPriority offers MT-PRIORITY where Options.Priority does not.
	MayPriority bool

	// QueueID is set by the handler once a message has one; the end of the
	// transaction clears it. It is for log lines.
	QueueID string
	// State of TLS; nil without.
	TLS *tls.ConnectionState
	// OwnCert is the certificate that the client was shown, set by who makes
	// the configuration, if that matters to the handler.
	OwnCert *x509.Certificate
	// Signed is what the server signed its side of the handshake with, if who
	// makes the configuration notes it.
	Signed tlspolicy.Signature
	// Refused is set by TLSDone: the answer to the client's next command, which
	// ends the session.
	Refused status.Status
	// CertOK is set by TLSDone: the client's certificate is verified.
	CertOK bool

	opts *Options
	h    Handler
	conn *timedConn // the one below TLS
	r    *smtpwire.Reader
	w    *smtpwire.Writer

	helo  bool // a HELO or EHLO was accepted
	esmtp bool
	mail  *Mail // non-nil inside a transaction
	nrcpt int
	over  int // recipients beyond the limit
	bdat  bdatState
	body  smtpwire.Content

	where   string // for the log
	errors  int
	junk    int
	quit    bool   // stop after this reply
	reason  string // why the session ended
	early   bool   // improper pipelining was seen
	counts  counters
	tlsConn *tls.Conn
	log     *transcript.Log
}

// Erred says what is wrong with the request that is being refused, for the
// postmaster.
func (s *Session) Erred(c transcript.Class) { s.log.Erred(c) }

// Mail returns the accepted MAIL command, nil outside of a transaction.
func (s *Session) Mail() *Mail { return s.mail }

// Recipients returns how many recipients were accepted.
func (s *Session) Recipients() int { return s.nrcpt }

// ESMTP reports whether the client said EHLO.
func (s *Session) ESMTP() bool { return s.esmtp }

// Where names the command that is being done, for log lines: "RCPT".
func (s *Session) Where() string { return s.where }

// Peer returns "name[address]", as log lines have it.
func (s *Session) Peer() string { return s.Client.Name + "[" + s.Client.Addr + "]" }

// Conn returns the connection below TLS.
func (s *Session) Conn() net.Conn { return s.conn.Conn }

// Options returns the options of the service.
func (s *Session) Options() *Options { return s.opts }

// BDAT reports whether the message comes in chunks.
func (s *Session) BDAT() bool { return s.bdat.active }

// StrayCR reports whether the content so far has a CR without LF. LF is never in
// what a handler gets.
func (s *Session) StrayCR() bool { return s.body.Info.StrayCR }

// Pending reports whether the client has sent more than it was asked for.
func (s *Session) Pending() bool { return s.r.Buffered() > 0 }

// EarlyTalk reports whether the client was seen to send commands too early
// (reject_unauth_pipelining).
func (s *Session) EarlyTalk() bool { return s.early }

// offers reports whether an EHLO keyword is offered to this client.
func (s *Session) offers(keyword string) bool { return !s.NoKeywords[keyword] }
