package worker

import (
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Mail is the message of a job.
type Mail struct {
	Prefix  string // header lines that go in front of it, each with its newline
	Loop    string // an address that must not be in a Delivered-To field, if not empty
	Content int64  // where it begins in its queue file; 0 is what the file says
}

func (m Mail) request(op string) ipc.List {
	// With room for what follows, and for what the pool puts in front.
	l := append(make(ipc.List, 0, 12), ipc.Attr{Name: "op", Value: op})
	l = l.Str("prefix", m.Prefix).Str("loop", m.Loop)
	if m.Content > 0 {
		l = l.Int("content", m.Content)
	}
	return l
}

// Prefix returns the header lines of a final delivery: the envelope sender
// (RFC 5321 4.4), the recipient as it came in if it is another one, and the
// recipient, by which a loop is recognised. Empty values leave a line out,
// but for the sender, whose empty form is the null address.
func Prefix(sender string, returnPath bool, original, delivered string) string {
	var b strings.Builder
	if returnPath {
		b.WriteString("Return-Path: <" + oneLine(address.Quote(sender)) + ">\n")
	}
	if original != "" {
		b.WriteString("X-Original-To: " + oneLine(address.Quote(original)) + "\n")
	}
	if delivered != "" {
		b.WriteString("Delivered-To: " + oneLine(address.Quote(delivered)) + "\n")
	}
	return b.String()
}

// oneLine keeps an address from adding a header line of its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// Maildir asks for delivery into a Maildir; host ends the file's name.
func Maildir(m Mail, path, host string) ipc.List {
	return m.request("maildir").Str("path", path).Str("host", host)
}

// MboxOptions are mailbox_delivery_lock and its relatives.
type MboxOptions struct {
	Locks     []string // fcntl, flock, dotlock
	Attempts  int
	Delay     time.Duration
	Stale     time.Duration
	SizeLimit int64 // bytes; 0: none
	Strict    bool  // the file must belong to the worker's uid
}

// Mbox asks for delivery into a mailbox file.
func Mbox(m Mail, path, sender string, o MboxOptions) ipc.List {
	l := m.request("mbox").Str("path", path).Str("sender", sender).
		Int("attempts", int64(o.Attempts)).Int("delay", o.Delay.Milliseconds()).
		Int("stale", o.Stale.Milliseconds()).Int("limit", o.SizeLimit).Bool("strict", o.Strict)
	for _, style := range []string{"fcntl", "flock", "dotlock"} {
		on := false
		for _, s := range o.Locks {
			on = on || s == style
		}
		l = l.Bool(style, on)
	}
	return l
}

// Outcome is the status in a worker's reply. The worker is not trusted with
// more than to choose between the classes: its text is made printable and its
// code checked.
func Outcome(reply ipc.List) status.Status {
	code, text := reply.Value("code"), printable.Text(reply.Value("text"))
	if !status.ValidCode(code) {
		return status.New(0, "4.3.0", "malformed reply of a delivery process")
	}
	return status.New(0, code, text)
}

// Full returns what a worker says of the room in a mailbox, if it does: whether
// there is none for a message of usual size.
func Full(reply ipc.List) (full, said bool) {
	full, err := reply.GetBool("full")
	return full, err == nil
}

// StoreOptions are where and how a message goes into a user's store.
type StoreOptions struct {
	Path      string   // the Maildir of the inbox
	Folder    string   // "" is the inbox
	Create    bool     // make the folder where it is missing; else the inbox is used
	Subscribe bool     // subscribe to a folder that was made
	Quota     string   // in the form of Maildir++; "" is none
	Host      string   // for file names
	Plain     bool     // the file is the bare message with LF line ends, no queue file
	User      string   // the login
	Rules     []string // quota_rules
	Warn      []string // quota_warning_levels
}

// Store asks for delivery into a user's store.
func Store(m Mail, o StoreOptions) ipc.List {
	return m.request("store").Str("path", o.Path).Str("folder", o.Folder).Bool("create", o.Create).
		Bool("subscribe", o.Subscribe).Str("quota", o.Quota).Str("host", o.Host).Bool("plain", o.Plain).
		Str("user", o.User).Str("quota_rules", strings.Join(o.Rules, " ")).Str("quota_warning_levels", strings.Join(o.Warn, " "))
}
