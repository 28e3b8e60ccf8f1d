package access

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/dns"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// dnsList is a DNS list of addresses or domains (RFC 5782), with the answers
// that count: "zen.example=127.0.0.[2..11]".
type dnsList struct {
	domain string
	filter [][]span // for each of the four octets; nil takes any answer
}

// span is a range of octets.
type span struct{ low, high uint8 }

// parseDNSList reads the argument of reject_rbl_client and its relatives.
func parseDNSList(arg string) (*dnsList, error) {
	domain, pattern, filtered := strings.Cut(arg, "=")
	l := &dnsList{domain: strings.TrimSuffix(domain, ".")}
	if !address.ValidHostname(l.domain) {
		return nil, fmt.Errorf("%q is no domain", domain)
	}
	if !filtered {
		return l, nil
	}
	for pattern != "" || len(l.filter) == 0 {
		part := pattern
		if strings.HasPrefix(pattern, "[") {
			end := strings.IndexByte(pattern, ']')
			if end < 0 {
				return nil, fmt.Errorf("%q: no ]", arg)
			}
			part, pattern = pattern[1:end], strings.TrimPrefix(pattern[end+1:], ".")
		} else {
			part, pattern, _ = strings.Cut(pattern, ".")
		}
		spans, err := parseSpans(part)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", arg, err)
		}
		l.filter = append(l.filter, spans)
	}
	if len(l.filter) != 4 {
		return nil, fmt.Errorf("%q: not four octets", arg)
	}
	return l, nil
}

// parseSpans reads "2..11;14".
func parseSpans(s string) (out []span, err error) {
	for _, item := range strings.Split(s, ";") {
		low, high, isRange := strings.Cut(item, "..")
		if !isRange {
			high = low
		}
		a, err1 := strconv.ParseUint(low, 10, 8)
		b, err2 := strconv.ParseUint(high, 10, 8)
		if err1 != nil || err2 != nil || a > b {
			return nil, fmt.Errorf("bad octet %q", item)
		}
		out = append(out, span{uint8(a), uint8(b)})
	}
	return out, nil
}

// counts reports whether an answer is one that the site asked for.
func (l *dnsList) counts(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	if l.filter == nil {
		return true
	}
	for i, octet := range a.As4() {
		if !slices.ContainsFunc(l.filter[i], func(s span) bool { return s.low <= octet && octet <= s.high }) {
			return false
		}
	}
	return true
}

// reversed is an address as DNS lists have it in names.
func reversed(text string) (string, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return "", false
	}
	var parts []string
	if a = a.Unmap(); a.Is4() {
		for _, b := range a.As4() {
			parts = append(parts, strconv.Itoa(int(b)))
		}
	} else {
		for _, b := range a.As16() {
			parts = append(parts, strconv.FormatUint(uint64(b>>4), 16), strconv.FormatUint(uint64(b&15), 16))
		}
	}
	slices.Reverse(parts)
	return strings.Join(parts, "."), true
}

// listed is what a restriction looks up in a list: the name, how it is called
// in a reply, and the kind of thing that it is.
func (e *Eval) listed(name string) (query, what, class string) {
	domain := func(addr string) string {
		if d := address.Domain(addr); d != "" && !address.IsIPLiteral(d) {
			return d
		}
		return ""
	}
	switch name {
	case "reject_rbl_client", "permit_dnswl_client":
		query, _ = reversed(e.Addr)
		return query, e.Addr, "Client host"
	case "reject_rhsbl_client", "permit_rhswl_client":
		query, class = e.Name, "Client host"
	case "reject_rhsbl_reverse_client":
		query, class = e.Reverse, "Unverified Client host"
	case "reject_rhsbl_helo":
		query, class = e.Helo, "Helo command"
	case "reject_rhsbl_sender":
		return domain(e.Sender), e.Sender, "Sender address"
	case "reject_rhsbl_recipient":
		return domain(e.Recipient), e.Recipient, "Recipient address"
	}
	if query == dns.UnknownPeer || !address.ValidHostname(query) {
		query = ""
	}
	return query, query, class
}

// dnsList evaluates a restriction that looks into a DNS list. A list that does
// not answer rejects nobody; one that would have permitted turns a rejection
// into a deferral.
func (e *Eval) dnsList(ctx context.Context, item *Item) (Verdict, status.Status) {
	none := status.Status{}
	query, what, class := e.listed(item.Name)
	if query == "" || e.Resolve == nil {
		return Dunno, none
	}
	permits := strings.HasPrefix(item.Name, "permit_")
	if permits && !e.mayPermit(ctx) {
		return Dunno, none
	}
	name := query + "." + item.list.domain
	answer, err := e.Resolve(ctx, name, dns.TypeA)
	var failure *dns.Error
	switch {
	case err == nil:
	case dns.IsTemporary(err) || !errors.As(err, &failure):
		e.note("warning", "RBL lookup error: "+err.Error())
		if permits {
			e.armReject(reject(450, "4.7.1", what, class, "Service unavailable"))
		}
		return Dunno, none
	default:
		return Dunno, none
	}
	if !slices.ContainsFunc(answer.Addrs(), item.list.counts) {
		return Dunno, none
	}
	if permits {
		return OK, none
	}
	return Reject, e.listReply(ctx, item, name, what, class)
}

// mayPermit reports whether a list on the DNS may permit: never mail to a
// destination that is not ours, which would make it a list of who may relay.
func (e *Eval) mayPermit(ctx context.Context) bool {
	if !e.HaveRcpt {
		return true
	}
	ours, err := e.AuthDestination(ctx, e.Recipient)
	return err == nil && ours
}

// maxReason bounds what a list may say in a reply.
const maxReason = 200

// listReply makes the reply from default_rbl_reply or rbl_reply_maps.
func (e *Eval) listReply(ctx context.Context, item *Item, name, what, class string) status.Status {
	reason := ""
	if txt, err := e.Resolve(ctx, name, dns.TypeTXT); err == nil && len(txt.Records) > 0 {
		reason = printable.Text(txt.Records[0].Text)
		reason = reason[:min(len(reason), maxReason)]
	}
	reply := code(e.Codes.RBL, 554)
	text := "Service unavailable; " + class + " [" + what + "] blocked using " + item.list.domain
	if reason != "" {
		text += "; " + reason
	}
	if e.ListReply != nil {
		custom, err := e.ListReply(ctx, item.Arg, map[string]string{
			"rbl_code": strconv.Itoa(reply), "rbl_class": class, "rbl_domain": item.list.domain,
			"rbl_reason": reason, "rbl_txt": reason, "rbl_what": what, "client": e.Name + "[" + e.Addr + "]",
			"client_address": e.Addr, "client_name": e.Name, "helo_name": e.Helo, "sender": e.Sender,
			"sender_domain": address.Domain(e.Sender), "recipient": e.Recipient, "recipient_domain": address.Domain(e.Recipient),
		})
		if err != nil {
			e.note("warning", err.Error())
			return status.New(451, "4.3.5", "Server configuration error")
		}
		if n, rest, ok := strings.Cut(custom, " "); ok {
			if c, err := strconv.Atoi(n); err == nil && c >= 400 && c <= 599 {
				st := status.Parse(rest, fixCode(c, "5.7.1", ""))
				return status.New(c, fixCode(c, st.Code, ""), st.Text)
			}
		}
		return e.configError("bad reply for %s: %q", item.Arg, custom)
	}
	return status.New(reply, fixCode(reply, "5.7.1", ""), text)
}
