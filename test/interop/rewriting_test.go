package interop

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// addressHeaders are headers with addresses that are odd; most are valid (RFC
// 5322 3.4, 4.4).
var addressHeaders = []struct{ name, text string }{
	{"plain", "From: ann@x.test\nTo: bob@x.test, cid@h.foo.test\nCc: ann+ext@x.test\n"},
	{"short", "From: ann\nTo: bob, cid@mail, dora@mail.example\nCc: ann+ext\n"},
	{"names", "From: Ann Onym <ann@x.test>\nTo: \"Bob, B.\" <bob@x.test>, Cid. C. <cid@h.foo.test>\n"},
	{"comments", "From: ann@x.test (Ann (deep \\) ) O.)\nTo: (first) bob@x.test (last), cid(c)@(d)h.foo.test\n"},
	{"groups", "From: ann@x.test\nTo: Friends: bob@x.test, Cid <cid@h.foo.test>;, ann+ext@x.test\nCc: undisclosed-recipients:;\nReply-To: A: a; , B: b;\n"},
	{"quoted", "From: \"a b\"@x.test\nTo: \"bob\"@x.test, \"a\\\"b\"@x.test, \"\"@x.test, \"b@b\"@x.test\n"},
	{"route", "From: <@r.test:ann@x.test>\nTo: <@r.test,@s.test:bob@x.test>, Bob <@r.test:bob@x.test>\n"},
	{"encoded", "From: =?utf-8?q?Ann_=C3=84?= <ann@x.test>\nTo: =?utf-8?b?w4Q=?= <bob@x.test>,\n =?iso-8859-1?q?B,=E4?= <cid@h.foo.test>\n"},
	{"8bit", "From: \xc3\x84nn <ann@x.test>\nTo: \"\xc3\xa4\" <bob@x.test>, \xe4 <cid@h.foo.test>\n"},
	{"empty", "From: <>\nTo: \nCc: ,\nReply-To: ,,bob@x.test,,\n"},
	{"folded", "From:\n ann@x.test\nTo: bob@x.test,\n\tcid@h.foo.test\n  ,\n ann+ext@x.test\n"},
	{"stray bracket", "From: ann>\n"},
	{"open bracket", "To: <bob@x.test, cid@h.foo.test\n"},
	{"open quote", "Cc: bob@x.test, \"open bob@x.test\n"},
	{"no comma", "To: bob@x.test cid@h.foo.test\n"},
	{"no quotes", "From: ann@x.test\nTo: a.\"b c\".d@x.test, .bob@x.test, bob.@x.test, b..b@x.test, a@b@x.test, @x.test\n"},
	{"old", "From: x!ann\nTo: r.test!bob, bob%x.test@mail.example.test, a!b@x.test, a%b@x.test\n"},
	{"literal", "From: ann@[192.0.2.1]\nTo: bob@[IPv6:2001:db8::1], cid@[127.0.0.1]\n"},
	{"dots", "From: ann@x.test.\nTo: bob@.x.test, Bob@x.test.\n"},
	{"case", "FROM: ANN@X.TEST\nto: Bob@X.Test, CID@H.FOO.TEST, Root@H.foo.test\n"},
	{"blanks", "From: ann @ x.test\nTo: bob@ x . test, b . ob @x.test\nReply-To :  bob@x.test\n"},
	{"no domain", "From: ann@\nTo: bob@\n"},
	{"lone at", "To: ann@x.test, @\n"},
	{"masquerade", "From: ann@h.foo.test\nTo: root@h.foo.test, bob@a.b.foo.test, bob@bar.foo.test, bob@c.bar.foo.test, bob@foo.test, bob@xfoo.test\n"},
	{"others", "From: ann@x.test\nMail-Reply-To: bob@x.test\nResent-Errors-To: bob@x.test\nSender: bob@x.test\nErrors-To: bob@x.test\nReturn-Receipt-To: bob@x.test\nDisposition-Notification-To: bob@x.test\nMail-Followup-To: bob@x.test\nApparently-To: bob@x.test\nX-To: bob@x.test\n"},
	{"resent", "Resent-From: ann@x.test\nResent-Sender: bob@x.test\nResent-To: bob@x.test, ann\nResent-Cc: cid@h.foo.test\nResent-Reply-To: bob@x.test\nFrom: ann@x.test\nTo: bob@x.test\n"},
	{"none", "Subject: none\n"},
}

// envelopes are recipients of the messages without headers.
var envelopes = [][]string{
	{"bob@x.test"}, {"bob+ext@x.test"}, {"cid@h.foo.test", "root@h.foo.test"}, {"list@x.test"}, {"list+ext@x.test"}, {"deep1@x.test"}, {"loop@x.test"}, {"self@x.test"},
	{"any@catch.test", "any+e@catch.test"}, {"twice@x.test", "bob@x.test"}, {`"a b"@x.test`}, {`"bob"@x.test`}, {"copied@x.test"}, {"copied+ext@x.test"}, {"Bob@X.TEST", "bob@x.test"},
}

// rewritings are configurations.
var rewritings = map[string][]string{
	"canonical": {`canonical_maps = inline:{ann@x.test=a.new@c.test, bob@x.test="b.new"@c.test, {ann=Ann N <ann.n@c.test>}, @catch.test=@caught.test}`, "recipient_delimiter = +"},
	"canonical classes": {"sender_canonical_maps = inline:{ann@x.test=s.new@c.test, bob@x.test=s.bob@c.test}", "sender_canonical_classes = header_sender",
		"recipient_canonical_maps = inline:{bob@x.test=r.new@c.test, cid@h.foo.test=r.cid@c.test, ann@x.test=r.ann@c.test, @catch.test=caught@c.test}", "recipient_canonical_classes = envelope_recipient",
		"recipient_delimiter = +", "propagate_unmatched_extensions = virtual"},
	"masquerade": {"masquerade_domains = !bar.foo.test Foo.test", "masquerade_exceptions = root", "masquerade_classes = envelope_recipient, header_sender, header_recipient"},
	"generic": {`smtp_generic_maps = inline:{ann@x.test=g.ann@g.test, {bob@x.test="g b"@g.test}, root@h.foo.test=g.root, @h.foo.test=@g.test, copied@x.test=@same.test, {twice@x.test=one@g.test, two@g.test}}`,
		"recipient_delimiter = +", "masquerade_domains = example.test", "propagate_unmatched_extensions = canonical, generic"},
	"virtual and bcc": {`virtual_alias_maps = inline:{{list@x.test=bob@x.test, cid, list2@x.test}, {list2@x.test="q q"@y.test, end@y.test}, deep1@x.test=deep2@x.test, deep2@x.test=deep3@x.test, deep3@x.test=bob@x.test, ` +
		"loop@x.test=loop2@x.test, loop2@x.test=loop@x.test, {self@x.test=self@x.test, other@y.test}, @catch.test=caught@y.test, {twice@x.test=bob@x.test, bob@x.test}}", "recipient_delimiter = +",
		"recipient_bcc_maps = inline:{copied@x.test=kept@k.test}", "sender_bcc_maps = inline:{@x.test=sent+e@k.test}", "always_bcc = always@k.test"},
	"remote":        {"local_header_rewrite_clients =", "remote_header_rewrite_domain = domain.invalid", "canonical_maps = inline:{ann@x.test=a.new@c.test}"},
	leftAlone:       {"local_header_rewrite_clients = ", "append_dot_mydomain = yes", "masquerade_domains = foo.test"},
	"rewriting off": {"append_dot_mydomain = yes", "swap_bangpath = no", "allow_percent_hack = no", "local_header_rewrite_clients = permit_mynetworks"},
}

// leftAlone leaves headers as they are.
const leftAlone = "remote as it is"

// oddities are headers that are no lists of addresses (RFC 5322 3.4), and why they
// differ. Where the sender's meaning would be a guess, his bytes stay.
var oddities = map[string]string{
	"stray bracket": "what is not an address is not taken for one: Postfix completes and maps what stands in front of the bracket",
	"open bracket":  "an address whose bracket has no end is one all the same: for Postfix the bracket belongs to it",
	"open quote":    "text without an end is not an address: Postfix gives it an end and a domain",
	"lone at":       "Postfix deletes it",
	"no quotes":     "an address that no table changes stays as it was written: Postfix puts the quotes that it lacks",
}

var (
	addressHeader = regexp.MustCompile(`(?i)^(resent-)?(from|to|cc|sender|reply-to|errors-to|return-receipt-to|disposition-notification-to|mail-followup-to|apparently-to)[ \t]*:`)
	foldedLine    = regexp.MustCompile(`\r\n[ \t]+`)
	innerComment  = regexp.MustCompile(`\((?:[^()\\]|\\.)*\)`)
	idleQuotes    = regexp.MustCompile(`"([0-9A-Za-z]+)"`)
	noBlanks      = strings.NewReplacer(" ", "", "\t", "")
)

// plainAddresses takes out of a message in which order it has its recipients, how
// headers are folded, where their comments and blanks stand and what is quoted
// without need: Postfix writes a header anew, we change an address where it stands.
func plainAddresses(text string) string {
	envelope, text, _ := strings.Cut(text, "\r\n\r\n")
	rcpts := strings.Split(envelope, "\r\n")
	slices.Sort(rcpts)
	lines := strings.Split(foldedLine.ReplaceAllString(text, " "), "\r\n")
	for i, line := range lines {
		if addressHeader.MatchString(line) {
			for innerComment.MatchString(line) {
				line = innerComment.ReplaceAllString(line, "")
			}
			lines[i] = idleQuotes.ReplaceAllString(noBlanks.Replace(line), "$1")
		}
	}
	return strings.Join(rcpts, "\r\n") + "\r\n\r\n" + strings.Join(lines, "\r\n")
}

// rewritingParcels have each header, and each recipient.
func rewritingParcels(name string) []parcel {
	var list []parcel
	for _, h := range addressHeaders {
		m := parcel{name: h.name, text: h.text + "\nbody\n"}
		if name != leftAlone {
			m.why = oddities[h.name]
		}
		list = append(list, m)
	}
	for _, rcpts := range envelopes {
		list = append(list, parcel{name: rcpts[0], rcpts: rcpts, text: "From: ann@x.test\n\nbody\n"})
	}
	return list
}

// compareRewriting has both change addresses in headers and envelopes.
func compareRewriting(t *testing.T, names ...string) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			k := newTaker(t)
			k.plain = plainAddresses
			p := newPair(t, append([]string{"default_transport = smtp:[127.0.0.1]:" + fmt.Sprint(k.port), "local_transport = $default_transport", "local_recipient_maps =", "alias_maps =", "notify_classes =", "in_flow_delay = 0",
				"smtpd_error_sleep_time = 0", "smtp_connection_cache_on_demand = no", "minimal_backoff_time = 3000s", "default_process_limit = 10", "smtp_tls_security_level = none"}, rewritings[name]...)...)
			p.ours.Set(t, "mydestination = mail.example.test, localhost", "myorigin = mail.example.test", "mynetworks = 127.0.0.0/8")
			p.compareParcels(t, k, rewritingParcels(name))
		})
	}
}

// TestCanonicalLikePostfix: canonical_maps and its kin make the same addresses of
// the same.
func TestCanonicalLikePostfix(t *testing.T) { compareRewriting(t, "canonical", "canonical classes") }

// TestGenericLikePostfix: addresses leave both for elsewhere in the same form.
func TestGenericLikePostfix(t *testing.T) { compareRewriting(t, "masquerade", "generic") }

// TestVirtualLikePostfix: the same recipients come of virtual aliases and copies.
func TestVirtualLikePostfix(t *testing.T) { compareRewriting(t, "virtual and bcc", "rewriting off") }

// TestRemoteHeadersLikePostfix: headers from elsewhere are completed with the same,
// or left alone.
func TestRemoteHeadersLikePostfix(t *testing.T) { compareRewriting(t, "remote", leftAlone) }
