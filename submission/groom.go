package main

import (
	"bytes"
	"fmt"
	stdmime "mime"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/intake"
	"github.com/posthouse-mail/posthouse/pkg/mime"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// complete checks the header and completes it. Fields that are right stay as
// they are, byte by byte: whoever signed them already must not be made a liar.
func (o *outgoing) complete() {
	h := &o.header
	// RFC 5322 3.6: these stand once. A reader might believe another of
	// two than we have checked.
	for _, name := range [...]string{"from", "sender", "date", "message-id", "subject", "mime-version"} {
		if h.count(name) > 1 {
			o.refuse(554, "5.6.0", "the message has more than one header field "+name+", which must stand once")
			return
		}
	}
	h.remove("bcc", "resent-bcc", "return-path")
	if o.h.srv.Groom {
		o.qualify()
	}
	if !o.h.Refused() {
		o.authorship()
	}
	if o.h.Refused() {
		return
	}
	if o.h.srv.Groom {
		o.addMissing()
	}
	if f := h.get(o.authorFields()[0]); f != nil {
		h.from = o.h.sure.authorOf(o.h.user, f)
		if h.from != "" {
			return
		}
		if all := address.ListAddresses(f.value(), 1); len(all) > 0 {
			h.from = all[0]
		}
	}
}

// qualify completes addresses without a domain, or with one that has no dot.
func (o *outgoing) qualify() {
	for i := range o.header.fields {
		f := &o.header.fields[i]
		if mime.AddressesOf(f.name) == mime.NoAddresses || address.ListComplete(f.behindColon()) {
			continue
		}
		err := o.rewriteAddresses(f, func(external string) (string, error) {
			domain := address.Domain(address.Canonical(external))
			if address.IsIPLiteral(domain) || strings.Contains(domain, ".") {
				return external, nil
			}
			return o.h.srv.Qualify(o.ctx, external)
		})
		if err != nil {
			o.failed(fmt.Errorf("address rewriting: %w", err))
			return
		}
	}
}

// rewriteAddresses replaces the addresses of a field and nothing else.
func (o *outgoing) rewriteAddresses(f *field, fn func(string) (string, error)) error {
	value := f.value()
	out, err := address.RewriteList(value, fn)
	if err != nil || out == value {
		return err
	}
	colon := bytes.IndexByte(f.text, ':') + 1
	f.text = append(f.text[:colon:colon], out...)
	return nil
}

// authorFields are the fields that say who answers for the message, and are
// checked. The first names the domain that signs: by that of a From that nobody
// has checked, a user could have mail signed for each domain here.
func (o *outgoing) authorFields() [2]string {
	if o.h.srv.Resent && o.checked() && o.header.has("resent-from") {
		return [...]string{"resent-from", "resent-sender"}
	}
	return [...]string{"from", "sender"}
}

// checked reports whether the author must be the user.
func (o *outgoing) checked() bool { return o.h.srv.Authorship != "off" && o.s.Authenticated() }

// authorship checks that the fields which say who wrote the message have
// addresses of the user.
func (o *outgoing) authorship() {
	if !o.checked() {
		return
	}
	for _, name := range o.authorFields() {
		for i := range o.header.fields {
			if f := &o.header.fields[i]; f.name == name {
				o.author(f)
			}
			if o.h.Refused() {
				return
			}
		}
	}
	if o.h.srv.Authorship == "rewrite" {
		o.dropSender()
	}
}

// author checks one field.
func (o *outgoing) author(f *field) {
	if o.h.sure.authorOf(o.h.user, f) != "" {
		return
	}
	display := strings.ToUpper(f.name[:1]) + f.name[1:]
	all := address.ListAddresses(f.value(), 0)
	if len(all) == 0 {
		o.refuse(554, "5.6.0", "the header field "+display+" has no address")
		return
	}
	if len(all) > 100 {
		o.refuse(554, "5.6.0", "the header field "+display+" has more than 100 addresses")
		return
	}
	var foreign map[string]bool
	for _, a := range all {
		ok, err := o.h.owns(o.ctx, o.s, a)
		if err != nil {
			o.failed(fmt.Errorf("lookup of <%s>: %w", a, err))
			return
		}
		if !ok {
			if foreign == nil {
				foreign = map[string]bool{}
			}
			foreign[a] = true
		}
	}
	switch {
	case len(foreign) == 0:
		o.h.sure.wrote(o.h.user, f, all[0])
	case o.h.srv.Authorship == "rewrite":
		o.replaceAuthor(f, foreign)
	default:
		for _, a := range all {
			if foreign[a] {
				o.h.Refuse(status.New(553, "5.7.1", "<"+a+">: "+display+" address rejected: not owned by user "+o.s.Client.SASLUser))
				return
			}
		}
	}
}

// replaceAuthor puts the user's own address in the place of foreign ones.
func (o *outgoing) replaceAuthor(f *field, foreign map[string]bool) {
	own := o.h.ownAddress(o.s)
	_ = o.rewriteAddresses(f, func(external string) (string, error) {
		if a := address.Canonical(external); foreign[a] {
			o.h.srv.Log().Info(o.s.QueueID, "rewrite: header %s from %s: <%s> becomes <%s>, which belongs to user %s",
				f.name, o.s.Peer(), a, own, o.s.Client.SASLUser)
			return address.Quote(own), nil
		}
		return external, nil
	})
}

// dropSender removes a Sender that says no more than From does (RFC 5322
// 3.6.2).
func (o *outgoing) dropSender() {
	from, sender := o.header.get("from"), o.header.get("sender")
	if from == nil || sender == nil { // neither stands twice
		return
	}
	a, b := address.ListAddresses(from.value(), 2), address.ListAddresses(sender.value(), 2)
	if len(a) == 1 && len(b) == 1 && strings.EqualFold(a[0], b[0]) {
		o.header.remove("sender")
	}
}

// addMissing adds the fields that a message must have (RFC 6409 section 8, RFC
// 5322 3.6).
func (o *outgoing) addMissing() {
	h := &o.header
	now := time.Now()
	prefix := ""
	for _, f := range h.fields {
		if strings.HasPrefix(f.name, "resent-") {
			prefix = "Resent-"
		}
	}
	if prefix != "" && !h.has("resent-date") {
		h.add("Resent-Date", now.Format(intake.ReceivedDate))
	}
	if !h.has("date") {
		h.add("Date", now.Format(intake.ReceivedDate))
	}
	if !h.has("message-id") {
		h.add("Message-ID", fmt.Sprintf("<%s.%s@%s>", now.UTC().Format("20060102150405"), o.s.QueueID, o.h.srv.Hostname))
	}
	if !h.has("from") {
		h.add("From", o.fromValue())
	}
	if !h.has("mime-version") {
		h.add("MIME-Version", "1.0")
	}
}

// fromValue makes a From of the envelope sender, or of the user where there is
// none.
func (o *outgoing) fromValue() string {
	addr := o.s.Mail().Address
	if addr == "" && o.s.Authenticated() {
		addr = o.h.ownAddress(o.s)
	}
	if addr == "" {
		return "MAILER-DAEMON@" + o.h.srv.Hostname
	}
	external := address.Quote(addr)
	u := o.h.user
	if u == nil || u.Name == "" || strings.ContainsFunc(u.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return external
	}
	name := address.Phrase(u.Name)
	if coded := stdmime.QEncoding.Encode("utf-8", u.Name); coded != u.Name {
		name = coded
	}
	return name + " <" + external + ">"
}
