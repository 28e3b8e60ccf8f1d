package smtpclient

import (
	"context"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/mime"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// Message is what to send.
type Message struct {
	Sender     envelope.Sender
	Size       int64  // of the content, for the SIZE parameter; 0 is unknown
	Encoding   string // envelope.Encoding8bit, envelope.Encoding7bit or ""
	UTF8       int    // envelope.UTF8Requested and so on
	Priority   int    // of MT-PRIORITY, -9 to 9
	Recipients []envelope.Recipient
	Client     envelope.Client // for XFORWARD
	// Probe asks about the recipients and sends nothing.
	Probe bool
	// Content gives the message line by line; it is called at most once for
	// each Send. An error of it is a failure of ours, not of the server's.
	Content func(fn smtpwire.ContentFunc) error
}

// Outcome is what became of one recipient.
type Outcome struct {
	// Failure is nil if the server took the message for the recipient.
	Failure *Failure
	// Reply is the reply to the end of data, when it took it.
	Reply *smtpwire.Reply
}

// Send sends one message and returns one outcome for each recipient, in their
// order.
func (c *Conn) Send(ctx context.Context, m *Message) []Outcome {
	defer c.watch(ctx)()
	t := &transaction{Conn: c, m: m, out: make([]Outcome, len(m.Recipients)), open: make([]bool, len(m.Recipients))}
	if f := t.check(); f != nil {
		t.failAll(f)
		return t.out
	}
	if c.dirty {
		if err := c.Probe(ctx); err != nil {
			t.failAll(err.(*Failure))
			return t.out
		}
	}
	c.Uses++
	t.run()
	return t.out
}

// transaction is one message on its way.
type transaction struct {
	*Conn
	m    *Message
	out  []Outcome
	open []bool // recipients that the server accepted and that have no result
}

// failAll gives each recipient without a result that failure.
func (t *transaction) failAll(f *Failure) {
	for i := range t.out {
		if t.out[i].Failure == nil && t.out[i].Reply == nil {
			t.out[i].Failure = f
		}
		t.open[i] = false
	}
}

func (t *transaction) accepted() int {
	n := 0
	for _, open := range t.open {
		if open {
			n++
		}
	}
	return n
}

// check finds what makes sending pointless.
func (t *transaction) check() *Failure {
	caps := &t.Caps
	if caps.Size && caps.SizeLimit > 0 && t.m.Size > caps.SizeLimit {
		return local(ScopeMessage, "5.3.4", "message size %d exceeds size limit %d of server %s",
			t.m.Size, caps.SizeLimit, t.Peer)
	}
	if t.m.UTF8&^envelope.UTF8Requested != 0 && !caps.SMTPUTF8 {
		return local(ScopeMessage, "5.6.7", "SMTPUTF8 is required, but was not offered by host %s", t.Peer)
	}
	if f := t.checkTLS(); f != nil {
		return f
	}
	for _, a := range t.addresses() {
		if f := checkAddress(a); f != nil {
			return f
		}
	}
	return nil
}

// checkTLS looks whether a message that requires TLS may be sent. Whether the
// certificate is good was looked at before; a Unix socket is no network. A
// notice is sent in any case (RFC 8689 section 5). Another server may do
// better, so this is temporary.
func (t *transaction) checkTLS() *Failure {
	if !t.requiresTLS() || t.m.Sender.Address == "" || t.Caps.RequireTLS && t.TLS != nil {
		return nil
	}
	f := local(ScopeMessage, "4.7.10", "REQUIRETLS needs TLS, which was not set up with host %s", t.Peer)
	if t.TLS != nil {
		f = local(ScopeMessage, "4.7.30", "REQUIRETLS support is required, but was not offered by host %s", t.Peer)
	}
	f.NoTLS = true
	return f
}

func (t *transaction) requiresTLS() bool {
	return t.m.Sender.TLS == envelope.TLSRequired && t.Peer.Port != 0
}

// checkAddress refuses a line break in an address, which would be a command of
// its own, and what would end the address in a domain, which is not quoted: the
// rest would be parameters.
func checkAddress(a string) *Failure {
	_, domain := address.Split(a)
	if strings.ContainsAny(a, "\r\n\x00") || strings.ContainsAny(domain, " <>") {
		return local(ScopeMessage, "5.1.3", "bad address syntax")
	}
	return nil
}

func (t *transaction) addresses() []string {
	all := []string{t.m.Sender.Address}
	for i := range t.m.Recipients {
		all = append(all, t.m.Recipients[i].Address)
	}
	return all
}

// maxFlight is how many RCPT commands are sent before their replies are read:
// a server whose replies nobody reads stops reading, too.
const maxFlight = 100

// run sends the commands in flights and then the content.
func (t *transaction) run() {
	if f := t.xforward(); f != nil {
		t.failAll(f)
		return
	}
	t.dirty = true
	t.command("%s", t.mailCommand())
	mailDone := false
	if !t.Caps.Pipelining {
		if !t.mailReply() {
			return
		}
		mailDone = true
	}
	for first := 0; first < len(t.m.Recipients); {
		size := 1
		if t.Caps.Pipelining {
			size = min(maxFlight, len(t.m.Recipients)-first)
		}
		last := first+size == len(t.m.Recipients)
		for i := first; i < first+size; i++ {
			t.command("%s", t.rcptCommand(&t.m.Recipients[i]))
		}
		data := last && t.Caps.Pipelining && !t.m.Probe
		if data {
			t.command("DATA")
		}
		ok := mailDone || t.mailReply()
		mailDone = true
		// The replies to the rest of the flight come in any case.
		if t.ended() || !t.rcptReplies(first, size) {
			return
		}
		if data {
			t.dataReply()
			return
		}
		if !ok {
			return
		}
		first += size
	}
	if t.accepted() > 0 && !t.m.Probe {
		t.command("DATA")
		t.dataReply()
	}
}

// mailReply flushes and reads the reply to MAIL. It reports whether the
// sender was accepted.
func (t *transaction) mailReply() bool {
	f := t.mailAnswer()
	if f != nil {
		t.failAll(f)
	}
	return f == nil
}

func (t *transaction) mailAnswer() *Failure {
	const doing = "sending MAIL FROM"
	limit := t.o.Timeouts.Mail
	f := t.flush(limit, doing)
	var r *smtpwire.Reply
	if f == nil {
		r, f = t.reply(limit, doing)
	}
	if f == nil && !r.Positive() {
		f = t.said(ScopeMessage, r, "MAIL FROM command")
	}
	if f != nil {
		f.Early = r == nil || r.Code == 421
	}
	return f
}

// rcptReplies reads the replies to a flight of RCPT commands. It reports
// whether the connection still stands.
func (t *transaction) rcptReplies(first, n int) bool {
	const doing = "sending RCPT TO"
	limit := t.o.Timeouts.Rcpt
	if f := t.flush(limit, doing); f != nil {
		t.failAll(f)
		return false
	}
	for i := first; i < first+n; i++ {
		r, f := t.reply(limit, doing)
		if f != nil {
			t.failAll(f)
			return false
		}
		switch {
		case t.out[i].Failure != nil: // MAIL was refused
		case r.Positive() && t.m.Probe:
			t.out[i].Reply = r
		case r.Positive():
			t.open[i] = true
		default:
			t.out[i].Failure = t.said(ScopeRcpt, r, "RCPT TO command")
		}
		if t.ended() {
			// 421: the rest of the flight has no answer.
			t.failAll(t.said(ScopeSite, r, "RCPT TO command"))
			return false
		}
	}
	return true
}

// dataReply reads the reply to DATA and sends the content.
func (t *transaction) dataReply() {
	r, f := t.dataAnswer()
	if f != nil {
		t.failAll(f)
		return
	}
	if !r.Intermediate() {
		if t.accepted() > 0 {
			t.failAll(t.said(ScopeMessage, r, "DATA command"))
		}
		return
	}
	if t.accepted() == 0 {
		// RFC 2920 3.1: the server waits for content all the same; a lone
		// dot gets us out of it.
		t.emptyData()
		return
	}
	if f := t.content(); f != nil {
		t.failAll(f)
		return
	}
	t.endReplies()
}

// dataAnswer flushes and reads the reply to DATA.
func (t *transaction) dataAnswer() (*smtpwire.Reply, *Failure) {
	const doing = "sending DATA command"
	limit := t.o.Timeouts.DataInit
	if f := t.flush(limit, doing); f != nil {
		return nil, f
	}
	return t.reply(limit, doing)
}

func (t *transaction) emptyData() {
	t.log.Sent(".")
	t.w.EndData()
	if t.flush(t.o.Timeouts.DataDone, "sending end of data") == nil {
		t.reply(t.o.Timeouts.DataDone, "sending end of data")
	}
}

// content sends the message without its end mark.
func (t *transaction) content() *Failure {
	b := t.body()
	return t.endBody(b, t.m.Content(b.line))
}

// body is content on its way to the server.
type body struct {
	out  *output
	down *mime.Downgrader // nil where the server takes it as it is
}

func (t *transaction) body() *body {
	t.conn.begin(t.o.Timeouts.DataXfer)
	b := &body{out: &output{w: t.w, limit: t.o.LineLimit, start: true}}
	if t.downgrades() {
		b.down = mime.NewDowngrader(b.out.part, t.o.MIME)
	}
	return b
}

// downgrades reports whether 8-bit content is converted (RFC 6152 3).
func (t *transaction) downgrades() bool {
	return t.m.Encoding == envelope.Encoding8bit && !t.Caps.EightBit && !t.o.NoConversion
}

func (b *body) line(line []byte, eol bool) error {
	if b.down != nil {
		return b.down.Line(line, eol)
	}
	return b.out.part(line, eol)
}

// endBody ends the content; err is why the caller could not give all of it.
func (t *transaction) endBody(b *body, err error) *Failure {
	if err == nil && b.down != nil {
		err = b.down.End()
	}
	if b.out.folded {
		t.note("breaking line > %d bytes with <CR><LF>SPACE", t.o.LineLimit)
	}
	if t.w.Err() != nil {
		return t.lost(t.w.Err(), "sending message body")
	}
	if err != nil {
		// Ours: the server must not take the part that it has. Only
		// breaking the connection tells it so.
		t.dead = true
		t.log.Erred(transcript.Data)
		f := local(ScopeMessage, "4.3.0", "local data error while talking to %s", t.Peer)
		f.Cause = err
		return f
	}
	if !b.out.start {
		t.w.WriteString("\r\n")
	}
	return t.flush(t.o.Timeouts.DataXfer, "sending message body")
}

// endReplies sends the end mark and reads what became of the message: one
// reply, or with LMTP one for each recipient that was accepted (RFC 2033
// section 4.2).
func (t *transaction) endReplies() {
	const doing = "sending end of data -- message may be sent more than once"
	t.log.Sent(".")
	t.w.EndData()
	f := t.flush(t.o.Timeouts.DataDone, doing)
	var r *smtpwire.Reply
	for i := range t.open {
		if !t.open[i] {
			continue
		}
		if f == nil && (r == nil || t.o.LMTP) {
			r, f = t.reply(t.o.Timeouts.DataDone, doing)
		}
		if f != nil {
			f.Unknown = true
			t.failAll(f)
			return
		}
		t.open[i] = false
		switch {
		case r.Positive():
			t.out[i].Reply = r
		case t.o.LMTP:
			t.out[i].Failure = t.said(ScopeRcpt, r, "end of DATA command")
		default:
			t.out[i].Failure = t.said(ScopeMessage, r, "end of DATA command")
		}
	}
	t.dirty = false
}

// mailCommand returns the MAIL command with the parameters that the server
// knows.
func (t *transaction) mailCommand() string {
	if t.Uses > 1 {
		t.log.Pause(0) // what went well with earlier messages
	}
	t.log.Sender(t.m.Sender.Address)
	var b strings.Builder
	fmt.Fprintf(&b, "MAIL FROM:<%s>", t.quote(t.m.Sender.Address))
	if t.Caps.Size && t.m.Size > 0 {
		fmt.Fprintf(&b, " SIZE=%d", t.m.Size)
	}
	if t.Caps.EightBit {
		switch t.m.Encoding {
		case envelope.Encoding8bit:
			b.WriteString(" BODY=8BITMIME")
		case envelope.Encoding7bit:
			b.WriteString(" BODY=7BIT")
		}
	}
	if t.Caps.DSN {
		if id := t.m.Sender.EnvID; id != "" {
			b.WriteString(" ENVID=" + id)
		}
		switch t.m.Sender.Ret {
		case envelope.RetFull:
			b.WriteString(" RET=FULL")
		case envelope.RetHdrs:
			b.WriteString(" RET=HDRS")
		}
	}
	if t.Caps.SMTPUTF8 && t.m.UTF8 != 0 {
		b.WriteString(" SMTPUTF8")
	}
	if t.requiresTLS() && t.Caps.RequireTLS && t.TLS != nil {
		b.WriteString(" REQUIRETLS")
	}
	// 0 is what a message without the parameter has (RFC 6710).
	if t.Caps.Priority && t.m.Priority != 0 {
		fmt.Fprintf(&b, " MT-PRIORITY=%d", t.m.Priority)
	}
	return b.String()
}

// rcptCommand returns the RCPT command of a recipient.
func (t *transaction) rcptCommand(r *envelope.Recipient) string {
	var b strings.Builder
	fmt.Fprintf(&b, "RCPT TO:<%s>", t.quote(r.Address))
	if t.Caps.DSN {
		orig := r.Original
		if orig == "" {
			orig = r.Address
		}
		if r.DSNOrcpt != "" {
			b.WriteString(" ORCPT=" + orcpt(r.DSNOrcpt))
		} else if envelope.IsASCII(orig) {
			b.WriteString(" ORCPT=rfc822;" + xtext(address.Quote(orig)))
		}
		if r.Notify != envelope.NotifyNone {
			b.WriteString(" NOTIFY=" + r.Notify.String())
		}
	}
	return b.String()
}

func (t *transaction) quote(addr string) string {
	if t.o.RawEnvelope {
		return addr
	}
	return address.Quote(addr)
}

// orcpt keeps the address type and encodes the rest (RFC 3461 section 4, RFC 6533
// section 3).
func orcpt(s string) string {
	kind, addr, ok := strings.Cut(s, ";")
	switch {
	case !ok:
		return xtext(s)
	case envelope.IsUTF8Type(kind):
		return kind + ";" + envelope.EncodeUTF8Address(addr)
	}
	return kind + ";" + xtext(addr)
}

// xtext encodes a parameter value (RFC 3461 section 4).
func xtext(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c > ' ' && c < 0x7f && c != '+' && c != '=' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "+%02X", c)
		}
	}
	return b.String()
}
