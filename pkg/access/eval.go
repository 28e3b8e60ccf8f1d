package access

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/dns"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/table/keys"
)

// Codes are the reply codes that parameters set; the zero value of a field is
// its default.
type Codes struct {
	Reject, Defer                               int // access_map_reject_code 554, access_map_defer_code 450
	InvalidHelo, NonFQDN                        int // 501, 504
	UnknownClient, UnknownAddress, RelayDomains int // 450, 450, 554
	MultiBounce, Plaintext                      int // 550, 450
	RBL                                         int // maps_rbl_reject_code 554
}

func code(n, fallback int) int {
	if n == 0 {
		return fallback
	}
	return n
}

// Facts are what the restrictions look at, and the questions that they ask of
// the rest of the server.
type Facts struct {
	Command              string // "RCPT", for the log
	Name, Reverse, Addr  string // of the client
	NameStatus, RevState dns.PeerStatus
	Helo                 string
	// HaveSender tells the null sender from none yet.
	HaveSender, HaveRcpt bool
	Sender, Recipient    string // internal form
	Rcpts                int    // accepted so far
	EarlyTalk, TLS       bool
	BDAT                 bool
	Login                string // who has logged in, "" if nobody
	CertOK               bool   // the client's certificate was verified
	// Fingerprints are those of the client's certificate and of its key; none
	// without one.
	Fingerprints []string
	// ClientCert reports whether relay_clientcerts has a fingerprint; nil
	// where that is empty.
	ClientCert func(ctx context.Context, fingerprint string) (bool, error)

	MyNetworks func(ctx context.Context) (bool, error)
	OwnAddress func() bool
	// AuthDestination reports whether we are responsible for a recipient's
	// domain, and whether its local part names a further destination.
	AuthDestination func(ctx context.Context, rcpt string) (bool, error)
	// Unlisted return a rejection for an address that does not exist in a
	// domain of ours, or the zero status.
	UnlistedRcpt, UnlistedSender func(ctx context.Context, addr string) (status.Status, error)
	// Owners returns the logins to which a sender address belongs
	// (smtpd_sender_login_maps); nil where AUTH or the table is not there.
	Owners func(ctx context.Context, sender string) (owners []string, found bool, err error)
	// MailDomain reports whether mail can be sent to a domain.
	MailDomain func(ctx context.Context, domain string) error
	// Resolve asks the DNS, for lists in it; nil where there is none.
	Resolve func(ctx context.Context, name string, t dns.Type) (*dns.Answer, error)
	// ListReply makes the reply about a list's entry from the site's text;
	// nil gives the usual one.
	ListReply func(ctx context.Context, list string, values map[string]string) (string, error)
}

// Verdict is what a list says.
type Verdict int

// The verdicts.
const (
	Dunno Verdict = iota
	OK
	Reject
)

// Step is one line of a trace.
type Step struct {
	List, Restriction string
	Verdict           Verdict
	Note              string
}

// Action is something that an access table asks for besides its verdict.
type Action struct {
	Kind string // HOLD DISCARD FILTER REDIRECT PREPEND BCC WARN INFO
	Text string
	// Log is the text for the log: "<x>: Sender address triggers HOLD action".
	Log string
}

// Eval evaluates lists for one command. It lives for one RCPT, or one of the
// other stages. The fields below Facts are results.
type Eval struct {
	*Facts
	Codes   Codes
	Keys    keys.Options // how access tables are searched
	NullKey string       // smtpd_null_access_lookup_key
	Classes func(name string, stage Stage) (*List, bool)
	// Note is told about actions and reject_warnings as they happen.
	Note func(action, text string)
	// ConfigError is told about mistakes that are found only now.
	ConfigError func(format string, args ...any)

	Actions []Action
	Trace   []Step

	deferIfPermit, deferIfReject status.Status
	armed, armedReject           bool
	warn                         bool
	depth                        int
	stage                        Stage
}

// Run evaluates one list. On Reject the status is the reply.
func (e *Eval) Run(ctx context.Context, l *List) (Verdict, status.Status) {
	if e.depth++; e.depth > 100 {
		e.depth--
		return Reject, e.configError("%s: recursion", l.Param)
	}
	defer func() { e.depth-- }()
	outer := e.stage
	e.stage = l.Stage
	defer func() { e.stage = outer }()
	for i := range l.Items {
		item := &l.Items[i]
		e.warn = item.Warn
		v, st := e.one(ctx, item)
		e.warn = false
		// A mistake in the configuration is no rejection to be tried out.
		if v == Reject && item.Warn && st.Code != "4.3.5" {
			e.note("reject_warning", st.String())
			v = Dunno
		}
		e.Trace = append(e.Trace, Step{l.Param, item.String(), v, st.String()})
		if v == Reject && e.armedReject && st.Permanent() {
			st = e.deferIfReject
		}
		if v != Dunno {
			return v, st
		}
	}
	return Dunno, status.Status{}
}

// Pending returns the deferral that a defer_if_permit asked for, to be given
// when nothing rejects.
func (e *Eval) Pending() (status.Status, bool) { return e.deferIfPermit, e.armed }

func (e *Eval) note(action, text string) {
	if e.Note != nil {
		e.Note(action, text)
	}
}

func (e *Eval) configError(format string, args ...any) status.Status {
	if e.ConfigError != nil {
		e.ConfigError(format, args...)
	}
	return status.New(451, "4.3.5", "Server configuration error")
}

// subject returns the name and the kind of thing that the current stage is
// about: "<host[addr]>: Client host rejected: ...".
func (e *Eval) subject() (name, class string) {
	switch e.stage {
	case Helo:
		return e.Helo, "Helo command"
	case Sender:
		return e.Sender, "Sender address"
	case Recipient, Relay:
		return e.Recipient, "Recipient address"
	case Etrn:
		return e.Recipient, "Etrn command"
	case Data:
		return "DATA", "Data command"
	case EndOfData:
		return "END-OF-MESSAGE", "End-of-data"
	}
	return e.Name + "[" + e.Addr + "]", "Client host"
}

// reject makes a rejection with the text "<name>: CLASS rejected: why".
func reject(reply int, enhanced, name, class, why string) status.Status {
	enhanced = fixCode(reply, enhanced, class)
	return status.New(reply, enhanced, "<"+name+">: "+class+" rejected: "+why)
}

// fixCode gives an enhanced code the class of the reply, and the meaning that
// it has for a sender where the table spoke of a recipient.
func fixCode(reply int, enhanced, class string) string {
	if len(enhanced) > 1 {
		enhanced = string(byte('0'+reply/100)) + enhanced[1:]
	}
	if class == "Sender address" {
		for _, p := range [...][2]string{{".1.1", ".1.0"}, {".1.2", ".1.8"}, {".1.3", ".1.7"}, {".1.4", ".1.0"}, {".1.6", ".1.7"}} {
			if strings.HasSuffix(enhanced, p[0]) && len(enhanced) == 5 {
				return enhanced[:1] + p[1]
			}
		}
	}
	return enhanced
}

func lookupFailed(name string) status.Status {
	return status.New(451, "4.3.0", "<"+name+">: Temporary lookup failure")
}

// one evaluates one restriction.
func (e *Eval) one(ctx context.Context, item *Item) (Verdict, status.Status) {
	switch item.kind {
	case kindPlain:
		return e.plain(ctx, item.Name)
	case kindTable:
		return e.table(ctx, item)
	case kindClass:
		return e.Run(ctx, item.class)
	case kindList:
		return e.dnsList(ctx, item)
	case kindNumber:
		select {
		case <-time.After(item.sleep):
		case <-ctx.Done():
		}
		return Dunno, status.Status{}
	case kindUnknown:
		return Reject, e.configError("unknown smtpd restriction: %q", item.Name)
	}
	return Reject, e.configError("restriction %q is not available", item.Name)
}

// plain evaluates a restriction without an argument.
func (e *Eval) plain(ctx context.Context, name string) (Verdict, status.Status) {
	who, class := e.subject()
	none := status.Status{}
	switch name {
	case "permit":
		return OK, none
	case "reject":
		return Reject, reject(code(e.Codes.Reject, 554), "5.7.1", who, class, "Access denied")
	case "defer":
		return Reject, reject(code(e.Codes.Defer, 450), "4.7.1", who, class, "Try again later")
	case "defer_if_permit":
		return e.arm(reject(450, "4.7.1", who, class, "defer_if_permit requested")), none
	case "defer_if_reject":
		e.armReject(reject(450, "4.7.1", who, class, "defer_if_reject requested"))
		return Dunno, none
	case "reject_unauth_pipelining":
		return when(e.EarlyTalk && !e.BDAT, reject(503, "5.5.0", who, class, "Improper use of SMTP command pipelining"))
	case "reject_plaintext_session":
		return when(!e.TLS, reject(code(e.Codes.Plaintext, 450), "4.7.1", who, class, "Session encryption is required"))
	case "reject_multi_recipient_bounce":
		return when(e.HaveSender && e.Sender == "" && e.Rcpts > 1,
			reject(code(e.Codes.MultiBounce, 550), "5.5.3", who, class, "Multi-recipient bounce"))
	case "permit_mynetworks":
		return e.permit(ctx, e.Addr, e.MyNetworks)
	case "permit_inet_interfaces":
		return e.permit(ctx, e.Addr, func(context.Context) (bool, error) { return e.OwnAddress(), nil })
	case "permit_sasl_authenticated":
		if e.Login != "" {
			return OK, none
		}
		return Dunno, none
	case "permit_tls_clientcerts":
		return e.clientCert(ctx)
	case "permit_tls_all_clientcerts":
		if e.CertOK {
			return OK, none
		}
		return Dunno, none
	case "reject_unknown_client_hostname":
		return e.unknownClient(e.NameStatus, "Client host rejected: cannot find your hostname, ")
	case "reject_unknown_reverse_client_hostname":
		return e.unknownClient(e.RevState, "Client host rejected: cannot find your reverse hostname, ")
	case "reject_invalid_helo_hostname", "reject_non_fqdn_helo_hostname":
		return e.heloName(name == "reject_non_fqdn_helo_hostname")
	}
	if strings.Contains(name, "sender") {
		return e.sender(ctx, name)
	}
	return e.recipient(ctx, name)
}

func when(cond bool, st status.Status) (Verdict, status.Status) {
	if cond {
		return Reject, st
	}
	return Dunno, status.Status{}
}

func (e *Eval) permit(ctx context.Context, who string, ask func(context.Context) (bool, error)) (Verdict, status.Status) {
	yes, err := ask(ctx)
	if err != nil {
		e.note("warning", err.Error())
		return Reject, lookupFailed(who)
	}
	if yes {
		return OK, status.Status{}
	}
	return Dunno, status.Status{}
}

// arm remembers a deferral for the case that nothing rejects. Under
// warn_if_reject it is only logged.
func (e *Eval) arm(st status.Status) Verdict {
	if e.warn {
		e.note("reject_warning", st.String())
	} else if !e.armed {
		e.deferIfPermit, e.armed = st, true
	}
	return Dunno
}

func (e *Eval) armReject(st status.Status) {
	if e.warn {
		e.note("reject_warning", st.String())
	} else if !e.armedReject {
		e.deferIfReject, e.armedReject = st, true
	}
}

func (e *Eval) unknownClient(state dns.PeerStatus, text string) (Verdict, status.Status) {
	if state == dns.PeerOK {
		return Dunno, status.Status{}
	}
	reply := code(e.Codes.UnknownClient, 450)
	if state == dns.PeerTemp {
		reply = 450
	}
	return Reject, status.New(reply, fixCode(reply, "4.7.25", ""), text+"["+e.Addr+"]")
}

// heloName checks the form of the HELO name; with fqdn, that it has a domain.
func (e *Eval) heloName(fqdn bool) (Verdict, status.Status) {
	if e.Helo == "" {
		return Dunno, status.Status{}
	}
	if strings.HasPrefix(e.Helo, "[") {
		_, ok := address.ParseLiteral(e.Helo)
		return when(!ok, reject(code(e.Codes.InvalidHelo, 501), "5.5.2", e.Helo, "Helo command", "invalid ip address"))
	}
	name := strings.TrimSuffix(e.Helo, ".")
	if fqdn {
		bad := !dns.ValidName(name) || !strings.Contains(name, ".")
		return when(bad, reject(code(e.Codes.NonFQDN, 504), "5.5.2", e.Helo, "Helo command", "need fully-qualified hostname"))
	}
	return when(!dns.ValidName(name), reject(code(e.Codes.InvalidHelo, 501), "5.5.2", e.Helo, "Helo command", "Invalid name"))
}

// sender evaluates the restrictions on the sender's address.
func (e *Eval) sender(ctx context.Context, name string) (Verdict, status.Status) {
	if !e.HaveSender || e.Sender == "" {
		return Dunno, status.Status{}
	}
	who := e.Sender
	switch name {
	case "reject_non_fqdn_sender":
		return when(!fqdn(e.Sender), reject(code(e.Codes.NonFQDN, 504), "5.5.2", who, "Sender address", "need fully-qualified address"))
	case "reject_unlisted_sender":
		return e.unlisted(ctx, who, e.Sender, e.UnlistedSender)
	case "reject_sender_login_mismatch", "reject_authenticated_sender_login_mismatch",
		"reject_unauthenticated_sender_login_mismatch", "reject_known_sender_login_mismatch":
		return e.loginMismatch(ctx, name)
	}
	return e.mailDomain(ctx, e.Sender, "Sender address", "4.1.8")
}

// recipient evaluates the restrictions on the recipient's address.
func (e *Eval) recipient(ctx context.Context, name string) (Verdict, status.Status) {
	if !e.HaveRcpt {
		return Dunno, status.Status{}
	}
	who := e.Recipient
	switch name {
	case "reject_non_fqdn_recipient":
		return when(!fqdn(e.Recipient), reject(code(e.Codes.NonFQDN, 504), "5.5.2", who, "Recipient address", "need fully-qualified address"))
	case "reject_unknown_recipient_domain":
		return e.mailDomain(ctx, e.Recipient, "Recipient address", "4.1.2")
	case "reject_unlisted_recipient":
		return e.unlisted(ctx, who, e.Recipient, e.UnlistedRcpt)
	}
	ours, err := e.AuthDestination(ctx, e.Recipient)
	if err != nil {
		e.note("warning", err.Error())
		return Reject, lookupFailed(who)
	}
	switch {
	case ours && (name == "permit_auth_destination" || name == "check_relay_domains"):
		return OK, status.Status{}
	case ours || name == "permit_auth_destination":
		return Dunno, status.Status{}
	case name == "defer_unauth_destination":
		return Reject, status.New(454, "4.7.1", "<"+who+">: Relay access denied")
	}
	reply := code(e.Codes.RelayDomains, 554)
	return Reject, status.New(reply, fixCode(reply, "5.7.1", ""), "<"+who+">: Relay access denied")
}

func (e *Eval) unlisted(ctx context.Context, who, addr string, ask func(context.Context, string) (status.Status, error)) (Verdict, status.Status) {
	st, err := ask(ctx, addr)
	if err != nil {
		e.note("warning", err.Error())
		return Reject, lookupFailed(who)
	}
	return when(!st.IsZero(), st)
}

// mailDomain checks that an address's domain exists for mail.
func (e *Eval) mailDomain(ctx context.Context, addr, class, enhanced string) (Verdict, status.Status) {
	domain := address.Domain(addr)
	if domain == "" || address.IsIPLiteral(domain) || e.MailDomain == nil {
		return Dunno, status.Status{}
	}
	err := e.MailDomain(ctx, domain)
	who := addr
	switch {
	case err == nil:
		return Dunno, status.Status{}
	case dns.Is(err, dns.NullMX):
		return Reject, reject(550, "5.7.27", who, class, "Domain "+domain+" does not accept mail (nullMX)")
	case dns.IsTemporary(err):
		return e.arm(reject(450, enhanced, who, class, "Domain not found")), status.Status{}
	}
	return Reject, reject(code(e.Codes.UnknownAddress, 450), enhanced, who, class, "Domain not found")
}

// fqdn reports whether an address has a domain with a dot, or a literal.
// postmaster needs none (RFC 5321 2.3.5).
func fqdn(addr string) bool {
	if strings.EqualFold(addr, "postmaster") {
		return true
	}
	d := address.Domain(addr)
	if address.IsIPLiteral(d) {
		return true
	}
	return dns.ValidName(d) && strings.Contains(d, ".")
}

// String names a verdict in a trace.
func (v Verdict) String() string {
	if v < Dunno || v > Reject {
		return fmt.Sprint(int(v))
	}
	return [...]string{"dunno", "ok", "reject"}[v]
}
