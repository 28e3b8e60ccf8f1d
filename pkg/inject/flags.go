package inject

import (
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Flags say what cleanup is to do with a message. The numbers are Postfix's.
type Flags int

// The flags. Most callers want [FlagsExternal] or [FlagsInternal].
const (
	FlagBounce    Flags = 1 << 0 // send a bounce where the message is refused
	FlagFilter    Flags = 1 << 1 // apply header_checks and body_checks
	FlagHold      Flags = 1 << 2 // put on hold
	FlagDiscard   Flags = 1 << 3 // report success, keep nothing
	FlagBccOK     Flags = 1 << 4 // add always_bcc and *_bcc_maps recipients
	FlagMapOK     Flags = 1 << 5 // apply canonical, masquerade and virtual maps
	FlagMilter    Flags = 1 << 6 // apply milters
	FlagSMTPReply Flags = 1 << 7 // reason is for an SMTP client
	FlagUTF8      Flags = 1 << 8 // SMTPUTF8 was requested
	FlagAutoUTF8  Flags = 1 << 9 // find out whether SMTPUTF8 is needed

	// FlagsExternal is for mail from outside: SMTP and maildrop.
	FlagsExternal = FlagFilter | FlagBccOK | FlagMapOK | FlagMilter
	// FlagsInternal is for mail that the system itself makes, such as
	// bounces, and for forwarded mail that was checked when it came in.
	FlagsInternal = FlagMapOK

	flagsKnown = FlagBounce | FlagFilter | FlagHold | FlagDiscard | FlagBccOK |
		FlagMapOK | FlagMilter | FlagSMTPReply | FlagUTF8 | FlagAutoUTF8
)

// Internal returns the flags of mail that the system makes, of a class, bounce or
// notify, with the filters that internal_mail_filter_classes wants for it.
func Internal(filtered []string, class string) Flags {
	for _, f := range filtered {
		if strings.EqualFold(f, class) {
			return FlagsInternal | FlagFilter | FlagMilter
		}
	}
	return FlagsInternal
}

// Valid reports whether f has only known bits.
func (f Flags) Valid() bool { return f&^flagsKnown == 0 }

// Status is the outcome of a submission, a set of bits; 0 is success. The
// numbers are Postfix's.
type Status int

// The status bits.
const (
	StatBad    Status = 1 << 0  // malformed request
	StatWrite  Status = 1 << 1  // queue file could not be written
	StatSize   Status = 1 << 2  // over message_size_limit
	StatCont   Status = 1 << 3  // content refused
	StatHops   Status = 1 << 4  // too many Received headers
	StatRcpt   Status = 1 << 6  // no recipients
	StatProxy  Status = 1 << 7  // before-queue filter refused
	StatDefer  Status = 1 << 8  // try again later
	StatNoPerm Status = 1 << 9  // not allowed
	StatBareLF Status = 1 << 16 // bare newline
)

// Result is cleanup's reply at the end of a message.
type Result struct {
	Status  Status
	Reason  string // text for the sender, may have a status code in front
	QueueID string
	Held    bool // the message went to the hold queue
}

// OK reports whether the message is safely queued (or was discarded as asked).
func (r Result) OK() bool { return r.Status == 0 }

// detail is the SMTP reply for one status bit, in order of precedence.
type detail struct {
	bit         Status
	reply       int
	code, text  string
	reasonFirst bool
}

func details() [10]detail {
	return [...]detail{
		{StatDefer, 451, "4.7.1", "service unavailable", true},
		{StatProxy, 451, "4.3.0", "queue file write error", true},
		{StatBad, 451, "4.3.0", "internal protocol error", false},
		{StatRcpt, 550, "5.1.0", "no recipients specified", false},
		{StatHops, 554, "5.4.0", "too many hops", false},
		{StatSize, 552, "5.3.4", "message file too big", false},
		{StatCont, 550, "5.7.1", "message content rejected", true},
		{StatWrite, 451, "4.3.0", "queue file write error", false},
		{StatNoPerm, 550, "5.7.1", "service denied", true},
		{StatBareLF, 521, "5.5.2", "bare <LF> received", false},
	}
}

// Reply returns the SMTP reply for a result: that of its most important bit.
// Where the reason names its own status code or reply ("5.7.1 no", "554 5.7.1
// no") that is used. Texts that are the server's own begin with "Error: ".
func (r Result) Reply() status.Status {
	if r.Status == 0 {
		return status.New(250, "2.0.0", "Ok: queued as "+r.QueueID)
	}
	for _, d := range details() {
		if r.Status&d.bit == 0 {
			continue
		}
		if r.Reason != "" && d.reasonFirst {
			return reasonStatus(r.Reason, d)
		}
		return status.New(d.reply, d.code, "Error: "+d.text)
	}
	return status.New(451, "4.3.0", "Error: unknown error")
}

// reasonStatus reads "[NNN ][X.Y.Z ]text".
func reasonStatus(reason string, d detail) status.Status {
	reply := d.reply
	first, rest, _ := strings.Cut(reason, " ")
	if len(first) == 3 && (first[0] == '4' || first[0] == '5') && strings.Trim(first, "0123456789") == "" {
		reply = int(first[0]-'0')*100 + int(first[1]-'0')*10 + int(first[2]-'0')
		reason = rest
	}
	code := d.code
	if c := byte('0' + reply/100); code[0] != c {
		code = string(c) + code[1:]
	}
	s := status.Parse(reason, code)
	s.Reply = reply
	// A code of the other class decides, as in "4.7.1 later".
	if s.Code[0] != byte('0'+reply/100) && (s.Code[0] == '4' || s.Code[0] == '5') {
		s.Reply = int(s.Code[0]-'0')*100 + reply%100
	}
	return s
}
