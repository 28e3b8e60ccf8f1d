package main

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
)

// refRewriter asks the reference's trivial-rewrite.
type refRewriter struct {
	t   testing.TB
	ref *refpostfix.Instance
}

func (r refRewriter) Rewrite(_ context.Context, rule, addr string) (string, error) {
	l := r.ref.Call(r.t, "private/rewrite", ipc.List{}.Str("request", "rewrite").Str("rule", rule).Str("address", addr))
	return l.Value("address"), nil
}

const refEnvelope = `T 1700000000 1234
A rewrite_context=local
S Sender@Example.test
A log_client_name=client.test
A log_client_address=192.0.2.1
A log_message_origin=client.test[192.0.2.1]
A log_helo_name=helo.test
A log_protocol_name=ESMTP
`

// TestReference sends the same records to Postfix's cleanup and to ours, and
// compares the queue files record by record.
func TestReference(t *testing.T) {
	for _, cfg := range referenceCases {
		t.Run(cfg.name, func(t *testing.T) {
			ref := refpostfix.Start(t, testMain+cfg.main)
			s, log, dir := testServer(t, cfg.main)
			s.rewrite = refRewriter{t, ref}
			for _, tc := range cfg.messages {
				t.Run(tc.name, func(t *testing.T) {
					recs := parseRecs(tc.records)
					flags := tc.flags | inject.FlagHold
					conn, err := net.Dial("unix", filepath.Join(ref.Dir, "spool/public/cleanup"))
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					c := ipc.NewConn(conn)
					c.Timeout = 20 * time.Second
					wantID, want := submit(t, c, true, flags, recs)
					gotID, got := submit(t, dial(t, s), false, flags, recs)
					if got.Value("status") != want.Value("status") || got.Value("reason") != want.Value("reason") {
						t.Errorf("reply %v, want %v\nlog: %s\nreference: %s", got, want, log, ref.Log())
					}
					if want.Value("status") != "0" {
						return
					}
					wantFile := dump(wantID, readRecords(t, filepath.Join(ref.Dir, "spool/hold", wantID)))
					gotFile := dump(gotID, readRecords(t, filepath.Join(dir, "hold", gotID)))
					if d := cmp.Diff(wantFile, gotFile); d != "" {
						t.Errorf("-Postfix +ours\n%s", d)
					}
				})
			}
		})
	}
}

type refMessage struct {
	name    string
	flags   inject.Flags
	records string
}

var referenceCases = []struct {
	name, main string
	messages   []refMessage
}{
	{"plain", "", []refMessage{
		{"minimal", inject.FlagsExternal, refEnvelope + "R user\nM\nSubject: x\n\nbody"},
		{"complete", inject.FlagsExternal, refEnvelope + "R user@other.test\nM\nFrom: joe (c1)\nTo: A <b>, c@d.test\nDate: now\nMessage-Id: <1@2>\nReply-To : x y\nBcc: secret\nReturn-Path: <x>\nContent-Length: 12\nX-Bcc: kept\n\nbody\n.\n"},
		{"duplicates", inject.FlagsExternal, refEnvelope + "O first@x.test\nR a@b.test\nO first@x.test\nR A@B.test\nO second@x.test\nR a@b.test\nR a@b.test\nM\nSubject: x\n"},
		{"dsn", inject.FlagsExternal, "T 1700000000 1\nA envelope_id=abc\nA ret_flags=1\nS s@x.test\nA notify_flags=10\nA dsn_orig_rcpt=rfc822;o@x.test\nO o@x.test\nR a@b.test\nR c@d.test\nM\n\n"},
		{"no body", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nSubject: x\nX-Y: z"},
		{"no header", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nthis is no header\n\nbody"},
		{"empty", inject.FlagsExternal, "T 1700000000 1\nS \nR a@b.test\nM\n"},
		{"null sender", inject.FlagsInternal, "T 1700000000 1\nF Full Name\nS \nR \nM\nSubject: bounce\n\n"},
		{"full name", inject.FlagsExternal, "T 1700000000 1\nF J. R. Full \"Q\" Name\nS joe@x.test\nR a@b.test\nM\nSubject: bounce\n\n"},
		{"full name plain", inject.FlagsExternal, "T 1700000000 1\nF Joe Full\nS joe@x.test\nR a@b.test\nM\nSubject: bounce\n\n"},
		{"resent", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nResent-To: you\nSubject: x\n\n"},
		{"remote", inject.FlagsExternal, "T 1700000000 1\nA rewrite_context=remote\nS joe\nR a\nM\nFrom: me\nTo: you, b@c\nSubject: x\n\n"},
		{"stray line ends", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nSubject: a\\rb\n\nx\\r\n.\\r\n\\ry"},
		{"folded", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nSubject: a\n b\n\tc\n   \nX-Long: x\n\nb"},
		{"utf8", inject.FlagsExternal | inject.FlagUTF8, "T 1700000000 1\nS jösé@x.test\nR ü@b.test\nM\nSubject: ä\n\nb"},
		{"auto utf8", inject.FlagsExternal | inject.FlagAutoUTF8, "T 1700000000 1\nS j@x.test\nR b@b.test\nM\nSubject: ä\n\nb"},
		{"encoding", inject.FlagsExternal, "T 1700000000 1\nA encoding=8bit\nS j@x.test\nR b@b.test\nM\nSubject: a\nContent-Transfer-Encoding: 8bit\n\nb"},
		{"header encoding", inject.FlagsExternal, "T 1700000000 1\nS j@x.test\nR b@b.test\nM\nMime-Version: 1.0\nContent-Transfer-Encoding: 8BIT\n\nb"},
		{"encoding qp", inject.FlagsExternal, "T 1700000000 1\nA encoding=8bit\nS j@x.test\nR b@b.test\nM\nContent-Transfer-Encoding: quoted-printable\n\nb"},
		{"many hops", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\n" + repeat("Received: x\n", 60) + "\n"},
		{"no recipients", inject.FlagsExternal, refEnvelope + "M\nSubject: x\n\n"},
		{"extracted recipients", inject.FlagsExternal, refEnvelope + "M\nSubject: x\n\nb\nX\nR late@x.test\nR later"},
		{"filter record", inject.FlagsExternal, "T 1700000000 1\nL smtp:[x]:25\nS s@x.test\nR a@b.test\nM\n\n"},
		{"multipart", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nContent-Type: multipart/mixed; boundary=b1\n\npre\n--b1\nContent-Type : message/rfc822\n\nFrom: inner\nBcc: kept\n\ntext\n--b1\nTo: x\n--b1--\npost"},
	}},
	{"maps", `canonical_maps = inline:{joe@here.test=Joe.Public@public.test, @old.test=@new.test, loop@x.test=loop@x.test}
sender_canonical_maps = inline:{s@x.test=sender@y.test}
recipient_canonical_maps = inline:{rc@x.test=rcpt}
masquerade_domains = foo.test !bar.here.test here.test
masquerade_exceptions = root
virtual_alias_maps = inline:{{list@here.test=a, b@x.test, list2},{list2@mail.here.test=c@d.test}, self@here.test={self@here.test, other@o.test}, ext@here.test=target@t.test, @catch.test=all@c.test, postmaster=root}
recipient_delimiter = +
recipient_bcc_maps = inline:{bccme@x.test=arch@a.test}
sender_bcc_maps = inline:{sender@y.test=out@a.test}
always_bcc = always@a.test
delay_warning_time = 4h
`, []refMessage{
		{"canonical", inject.FlagsExternal, "T 1700000000 1\nS s@x.test\nR joe@here.test\nR u+e@old.test\nR rc@x.test\nR loop@x.test\nM\nFrom: s@x.test, joe@here.test\nTo: Me <a@x.foo.test>, u@old.test, rc@x.test\nCc: root@h.here.test, x@a.bar.here.test\n\n"},
		{"virtual", inject.FlagsExternal, "T 1700000000 1\nS q@x.test\nR list@here.test\nR self@here.test\nR ext+foo@here.test\nR any@catch.test\nR postmaster\nM\nSubject: x\n\n"},
		{"bcc", inject.FlagsExternal, "T 1700000000 1\nA notify_flags=4\nS s@x.test\nR bccme@x.test\nR z@z.test\nM\nSubject: x\n\n"},
		{"internal", inject.FlagsInternal, "T 1700000000 1\nS s@x.test\nR bccme@x.test\nM\nSubject: x\n\n"},
		{"no maps", 0, "T 1700000000 1\nS s@x.test\nR list@here.test\nM\nSubject: x\n\n"},
	}},
	{"remote domain", "remote_header_rewrite_domain = domain.invalid\nalways_add_missing_headers = yes\nundisclosed_recipients_header = To: undisclosed-recipients:;\nenable_original_recipient = no\n", []refMessage{
		{"remote", inject.FlagsExternal, "T 1700000000 1\nA rewrite_context=remote\nS joe\nR a\nR a@mail.here.test\nM\nFrom: me\nSubject: x\n\n"},
	}},
}

func repeat(s string, n int) string {
	var out string
	for range n {
		out += s
	}
	return out
}
