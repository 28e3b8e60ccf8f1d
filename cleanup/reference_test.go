package main

import (
	"context"
	"encoding/json"
	"flag"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
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

var update = flag.Bool("update", false, "write testdata/golden.json from the reference Postfix")

// outcome is what became of one message.
type outcome struct {
	Status, Reason string
	Log            []string
	File           []string // records, or nothing if no file was kept
}

// outcomes are kept by the name of the group and of the message.
type outcomes map[string]outcome

const goldenFile = "testdata/golden.json"

// groups calls fn for each group of messages with its configuration.
func groups(t *testing.T, fn func(t *testing.T, name, mainCF string, messages []refMessage)) {
	t.Helper()
	for _, cfg := range referenceCases {
		t.Run(cfg.name, func(t *testing.T) { fn(t, cfg.name, cfg.main, cfg.messages) })
	}
	t.Run("checks", func(t *testing.T) { fn(t, "checks", checksMain(t), checkMessages()) })
}

// ours runs a message through our cleanup.
func ours(t *testing.T, mainCF string, rw addressRewriter, tc refMessage) outcome {
	t.Helper()
	s, log, dir := testServer(t, mainCF)
	s.rewrite = rw
	id, reply := submit(t, dial(t, s), false, tc.flags|inject.FlagHold, parseRecs(tc.records))
	return result(t, id, reply, log.String(), filepath.Join(dir, "hold", id))
}

func result(t *testing.T, id string, reply ipc.List, log, path string) outcome {
	t.Helper()
	o := outcome{Status: reply.Value("status"), Reason: reply.Value("reason"), Log: logLines(log, id)}
	if _, err := os.Stat(path); o.Status == "0" && err == nil {
		o.File = strings.Split(strings.TrimSpace(dump(id, readRecords(t, path))), "\n")
	}
	return o
}

// theirs runs a message through the cleanup of the reference.
func theirs(t *testing.T, ref *refpostfix.Instance, tc refMessage) outcome {
	t.Helper()
	before := len(ref.Log())
	conn, err := net.Dial("unix", filepath.Join(ref.Dir, "spool/public/cleanup"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := ipc.NewConn(conn)
	c.Timeout = time.Minute
	id, reply := submit(t, c, true, tc.flags|inject.FlagHold, parseRecs(tc.records))
	return result(t, id, reply, ref.Settle(t)[before:], filepath.Join(ref.Dir, "spool/hold", id))
}

// TestReference sends the same records to Postfix's cleanup and to ours, and
// compares replies, log lines and queue files record by record.
func TestReference(t *testing.T) {
	golden := outcomes{}
	groups(t, func(t *testing.T, name, mainCF string, messages []refMessage) {
		ref := refpostfix.Start(t, testMain+mainCF)
		for _, tc := range messages {
			t.Run(tc.name, func(t *testing.T) {
				want := theirs(t, ref, tc)
				if d := cmp.Diff(want, ours(t, mainCF, refRewriter{t, ref}, tc)); d != "" {
					t.Errorf("-Postfix +ours\n%s", d)
				}
				golden[name+"/"+tc.name] = want
			})
		}
	})
	if !*update || t.Failed() {
		return
	}
	text, err := json.MarshalIndent(golden, "", "\t")
	if err == nil {
		os.MkdirAll("testdata", 0o755)
		err = os.WriteFile(goldenFile, append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestGolden compares with what Postfix did when the file was written.
func TestGolden(t *testing.T) {
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	golden := outcomes{}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	groups(t, func(t *testing.T, name, mainCF string, messages []refMessage) {
		for _, tc := range messages {
			t.Run(tc.name, func(t *testing.T) {
				if d := cmp.Diff(golden[name+"/"+tc.name], ours(t, mainCF, localRewriter{}, tc)); d != "" {
					t.Errorf("-Postfix +ours\n%s", d)
				}
			})
		}
	})
}

// logLines returns what was logged about a message.
func logLines(log, id string) []string {
	var lines []string
	stamp := regexp.MustCompile(`<\d{14}\.`)
	for _, line := range strings.Split(log, "\n") {
		_, text, ok := strings.Cut(line, id)
		if !ok {
			continue
		}
		// "warning: ID: text" for trouble, "ID: warning: text" for the action WARN.
		text = strings.TrimPrefix(strings.TrimPrefix(text, ": "), "warning: ")
		lines = append(lines, stamp.ReplaceAllString(strings.ReplaceAll(text, id, "QUEUEID"), "<STAMP."))
	}
	return lines
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
	{"classes", `recipient_canonical_maps = inline:{bob@x.test=r.bob@c.test}
recipient_canonical_classes = header_recipient
sender_canonical_maps = inline:{bob@x.test=s.bob@c.test}
sender_canonical_classes = header_sender
`, []refMessage{
		{"resent", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nResent-From: bob@x.test\nResent-Sender: bob@x.test\nResent-Reply-To: bob@x.test\nResent-To: bob@x.test\nResent-Cc: bob@x.test\nResent-Bcc: bob@x.test\nSubject: x\n\n"},
		{"rare", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nFrom: bob@x.test\nResent-Errors-To: bob@x.test\nMail-Reply-To: bob@x.test\nMail-Followup-To: bob@x.test\nErrors-To: bob@x.test\nReturn-Receipt-To: bob@x.test\nDisposition-Notification-To: bob@x.test\nApparently-To: bob@x.test\n\n"},
	}},
	{"kept return path", "message_drop_headers =\nsender_canonical_maps = inline:{bob@x.test=s.bob@c.test}\n", []refMessage{
		{"return path", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nReturn-Path: <bob@x.test>\nBcc: bob\nSubject: x\n\n"},
	}},
	{"extensions", `canonical_maps = inline:{@catch.test=caught@c.test, bob@x.test=@moved.test, @y.test=@moved.test}
virtual_alias_maps = inline:{@all.test=all@c.test, ann@x.test=@moved.test}
recipient_bcc_maps = inline:{cid@x.test=kept@k.test}
recipient_delimiter = +
`, []refMessage{
		{"domains", inject.FlagsExternal, refEnvelope + "R any+e@catch.test\nR any+e@all.test\nR any+e@y.test\nM\nFrom: Any <any+e@catch.test>\nTo: any+e@y.test, \"q q+e\"@y.test, q\\ q@y.test\n\n"},
		{"same user", inject.FlagsExternal, refEnvelope + "R bob+e@x.test\nR bob@x.test\nR ann+e@x.test\nR cid+e@x.test\nM\nFrom: bob+e@x.test\n\n"},
	}},
	{"extensions dropped", `canonical_maps = inline:{bob@x.test=@moved.test, ann@x.test=a.new@c.test}
recipient_delimiter = +
propagate_unmatched_extensions =
`, []refMessage{
		{"same user", inject.FlagsExternal, refEnvelope + "R bob+e@x.test\nR ann+e@x.test\nM\nFrom: bob+e@x.test, ann+e@x.test\n\n"},
	}},
	{"masquerade", "masquerade_domains = !Bar.Foo.test Foo.test\nmasquerade_classes = header_sender, header_recipient, envelope_recipient\n", []refMessage{
		{"capitals", inject.FlagsExternal, refEnvelope + "R Cid@H.FOO.TEST\nR Cid@X.BAR.FOO.TEST\nM\nFrom: Bob@FOO.TEST\nTo: ann@h.foo.test, CID@H.FOO.TEST, DORA@A.BAR.FOO.TEST\n\n"},
	}},
	{"remote completed", "remote_header_rewrite_domain = domain.invalid\nundisclosed_recipients_header = To: undisclosed-recipients:;\n", []refMessage{
		{"nothing", inject.FlagsExternal, "T 1700000000 1\nA rewrite_context=remote\nS joe\nR a@b.test\nM\nSubject: x\n\n"},
		{"resent", inject.FlagsExternal, "T 1700000000 1\nA rewrite_context=remote\nS joe\nR a@b.test\nM\nResent-To: me\nFrom: me\n\n"},
		{"all", inject.FlagsExternal, "T 1700000000 1\nA rewrite_context=remote\nS joe\nR a@b.test\nM\nFrom: me\nTo: you@\nDate: now\nMessage-Id: <1@2>\n\n"},
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

// checkRules are header_checks and body_checks with every action.
const checkRules = `/^Subject: warn/ WARN be careful
/^Subject: reject$/ REJECT
/^Subject: reject code/ REJECT 5.7.9 no such thing
/^Subject: info/ INFO just so
/^Subject: ignore/ IGNORE
/^Subject: hold/ HOLD wait
/^Subject: discard/ DISCARD gone
/^Subject: filter/ FILTER smtp:[127.0.0.1]:9
/^Subject: redirect/ REDIRECT other@o.test
/^Subject: prepend/ PREPEND X-Before: yes
/^Subject: replace (.*)/ REPLACE Subject: new $1
/^Subject: bcc/ BCC extra@e.test
/^Subject: strip/ STRIP reason
/^Subject: pass/ PASS all
/^Subject: dunno/ DUNNO
/^Subject: bad/ NONSENSE x
/^X-Fold: a\n b/ REPLACE X-Fold: hit
/^Content-Type:.*nested/ REPLACE Content-Type: text/changed
/^From: inner/ REPLACE From: replaced
/^Bcc:/ WARN bcc seen
`

const bodyRules = `/^reject me/ REJECT
/^ignore me/ IGNORE
/^replace me/ REPLACE replaced
/^prepend me/ PREPEND line before
/^warn me/ WARN warned
/^hold me/ HOLD
/^discard me/ DISCARD
/^strip me/ STRIP
/^bcc me/ BCC x@e.test
`

func checkMessages() []refMessage {
	var list []refMessage
	for _, word := range []string{"warn", "reject", "reject code", "info", "ignore", "hold", "discard", "filter",
		"redirect", "prepend", "replace it", "bcc", "strip", "pass", "dunno", "bad"} {
		list = append(list, refMessage{"header " + word, inject.FlagsExternal,
			refEnvelope + "R a@b.test\nM\nSubject: " + word + "\nX-Fold: a\n b\nBcc: x\n\nwarn me\nText"})
	}
	for _, word := range []string{"reject", "ignore", "replace", "prepend", "warn", "hold", "discard", "strip", "bcc"} {
		list = append(list, refMessage{"body " + word, inject.FlagsExternal,
			refEnvelope + "R a@b.test\nM\nSubject: x\n\nfirst\n" + word + " me\nlast"})
	}
	return append(list,
		refMessage{"internal", inject.FlagsInternal, refEnvelope + "R a@b.test\nM\nSubject: reject\n\nreject me"},
		refMessage{"parts", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nMime-Version: 1.0\nContent-Type: multipart/mixed;\n boundary=\"b 1\"\n\npre\n--b 1\nContent-Type: text/nested\n\nFrom: inner\n--b 1\nContent-Type: message/rfc822\n\nFrom: inner\nSubject: warn\n\nFrom: inner\n--b 1--\nFrom: inner\n"},
		refMessage{"digest", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nContent-Type: multipart/digest; boundary=b1\n\n--b1\n\nFrom: inner\n\nbody\n--b1\nContent-Type: text/plain\n\nFrom: inner\n--b1--\n"},
		refMessage{"part without empty line", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nContent-Type: multipart/mixed; boundary=b1\n--b1\nno header\nFrom: inner\n--b1\nContent-Type: message/rfc822\nno header\nFrom: inner\n--b1--\n"},
		refMessage{"nested multipart", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b2\n\n--b2\nContent-Type: text/nested\n\nx\n--b\nContent-Type: message/rfc822\n\nFrom: inner\nContent-Type: multipart/mixed; boundary=b3\n\n--b3\n\nFrom: inner\n--b3--\n--b--\n"},
		refMessage{"message", inject.FlagsExternal, refEnvelope + "R a@b.test\nM\nContent-Type: message/rfc822\n\nFrom: inner\nContent-Type: message/rfc822\n\nFrom: inner\n\nFrom: inner"},
	)
}

// checksMain writes the rules to files and returns their configuration.
func checksMain(t *testing.T) string {
	t.Helper()
	rules, err := os.MkdirTemp("", "rules")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(rules) })
	if err := os.Chmod(rules, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"header": checkRules, "body": bodyRules} {
		if err := os.WriteFile(filepath.Join(rules, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return "header_checks = pcre:" + rules + "/header\nbody_checks = pcre:" + rules + "/body\n"
}

// TestPostfixDelivers lets Postfix's postcat read a file of ours, and its
// queue manager deliver it.
func TestPostfixDelivers(t *testing.T) {
	ref := refpostfix.Start(t, testMain+"default_transport = discard:\nlocal_transport = discard:\n")
	s, _, dir := testServer(t, "delay_warning_time = 4h\nalways_bcc = arch@a.test\n")
	res := send(t, serve(t, s), []byte(strings.Repeat("long ", 1000)))
	ours := filepath.Join(dir, "incoming", res.QueueID)
	out, err := ref.Command("/usr/sbin/postcat", "-c", filepath.Join(ref.Dir, "etc"), ours).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "recipient: c@d.test") || !strings.Contains(string(out), "Subject: x") {
		t.Errorf("postcat: %v\n%.2000s", err, out)
	}
	const daemon = 1
	if err := os.Chown(ours, daemon, daemon); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(ours, filepath.Join(ref.Dir, "spool/incoming", res.QueueID)); err != nil {
		t.Skipf("SKIPPED: cannot move the file into the reference's queue: %v", err)
	}
	if err := ipc.Trigger(filepath.Join(ref.Dir, "spool/public/qmgr"), []byte("I")); err != nil {
		t.Fatal(err)
	}
	testkit.Wait(t, "end of the message", func() bool { return strings.Contains(ref.Log(), res.QueueID+": removed") })
	log := ref.Log()
	for _, want := range []string{"from=<a@b.test>, size=", "nrcpt=2 (queue active)", "to=<c@d.test>, relay=none", "to=<arch@a.test>, relay=none", ": removed"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in the log:\n%s", want, log)
		}
	}
}
