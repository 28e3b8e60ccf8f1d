// Package envelope has the types that say where a message comes from, where
// it goes and what its sender asked for. They are Posthouse's own, so that
// the queue, the scheduler and the bounce daemon link no protocol library.
package envelope

import (
	"strings"
	"time"
)

// Notify is the set of conditions under which a sender wants a delivery
// status notification (RFC 3461 section 4.1). Its numbers are those of the
// queue file's dsn_notify attribute.
type Notify int

// The conditions. NotifyNone means that the sender said nothing.
const (
	NotifyNone    Notify = 0
	NotifyNever   Notify = 1
	NotifySuccess Notify = 2
	NotifyFailure Notify = 4
	NotifyDelay   Notify = 8
)

// ParseNotify reads the value of RCPT TO's NOTIFY parameter. ok is false for
// an unknown keyword, or NEVER together with another.
func ParseNotify(s string) (n Notify, ok bool) {
	for _, word := range strings.Split(s, ",") {
		switch strings.ToUpper(word) {
		case "NEVER":
			n |= NotifyNever
		case "SUCCESS":
			n |= NotifySuccess
		case "FAILURE":
			n |= NotifyFailure
		case "DELAY":
			n |= NotifyDelay
		default:
			return 0, false
		}
	}
	return n, n&NotifyNever == 0 || n == NotifyNever
}

// WithoutSuccess is what members of an alias get of the wishes for it (RFC 3461
// 5.2.7.3).
func (n Notify) WithoutSuccess() Notify {
	if n == NotifySuccess {
		return NotifyNever
	}
	return n &^ NotifySuccess
}

// String returns n as the value of a NOTIFY parameter, "" for NotifyNone.
func (n Notify) String() string {
	var words []string
	for _, w := range []struct {
		bit  Notify
		word string
	}{{NotifyNever, "NEVER"}, {NotifySuccess, "SUCCESS"}, {NotifyFailure, "FAILURE"}, {NotifyDelay, "DELAY"}} {
		if n&w.bit != 0 {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ",")
}

// Ret says how much of the message a notification returns (RFC 3461 section
// 4.3). Its numbers are those of the queue file's dsn_ret attribute.
type Ret int

// How much to return. RetNone means that the sender said nothing.
const (
	RetNone Ret = 0
	RetFull Ret = 1
	RetHdrs Ret = 2
)

// Body encodings of a message, as the queue file's encoding attribute and the
// delivery request name them.
const (
	Encoding7bit = "7bit"
	Encoding8bit = "8bit"
)

// SMTPUTF8 flags of a message: which parts need the extension of RFC 6531.
// The numbers are those of the queue file's size record.
const (
	UTF8Requested = 1 << 0 // the client gave the SMTPUTF8 parameter
	UTF8Header    = 1 << 1 // a header field has UTF-8
	UTF8Sender    = 1 << 2 // the sender's address has UTF-8
	UTF8Recipient = 1 << 3 // a recipient's address has UTF-8
)

// Client is where a message came in: the SMTP client or, after XFORWARD, the
// one that an upstream server saw. Strings are "" where not known.
type Client struct {
	Name, Addr, Port string
	Helo, Proto      string // Proto is "SMTP" or "ESMTP"
	ReverseName      string
	Ident            string // the queue id that an upstream filter logged

	SASLMethod, SASLUser, SASLSender string
	RewriteContext                   string // "local" or "remote"
}

// Recipient is one recipient of a message.
type Recipient struct {
	Address  string // where the message goes
	Original string // as it was before virtual aliases; "" where the same
	DSNOrcpt string // ORCPT of RFC 3461, "rfc822;user@example.com", or ""
	Notify   Notify
	Offset   int64 // of the record in the queue file; 0 where there is none
}

// Sender is the sender of a message and what it asked for.
type Sender struct {
	Address string // "" is the null sender
	EnvID   string // ENVID of RFC 3461, in xtext form, or ""
	Ret     Ret
	TLS     TLSWish
}

// TLSWish is what the sender wants of TLS on the further way (RFC 8689).
type TLSWish int

// The wishes. TLSDefault means that the sender said nothing.
const (
	TLSDefault  TLSWish = 0
	TLSRequired TLSWish = 1 // MAIL with REQUIRETLS
	TLSOptional TLSWish = 2 // the header has TLS-Required: No
)

// String returns the wish as the queue file's requiretls attribute has it, ""
// for TLSDefault.
func (w TLSWish) String() string {
	switch w {
	case TLSRequired:
		return "yes"
	case TLSOptional:
		return "no"
	}
	return ""
}

// ParseTLSWish reads what String returns; anything else is no wish.
func ParseTLSWish(s string) TLSWish {
	for _, w := range []TLSWish{TLSRequired, TLSOptional} {
		if s == w.String() {
			return w
		}
	}
	return TLSDefault
}

// Times are the moments in a message's life that the log's delays= tells.
type Times struct {
	Arrival    time.Time // queue file created
	Active     time.Time // entered the active queue
	AgentStart time.Time // request handed to the delivery agent
	ConnDone   time.Time // connection set up; zero where there is none
	Delivered  time.Time // delivery attempt over
}
