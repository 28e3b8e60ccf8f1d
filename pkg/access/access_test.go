package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/dns"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/table"
)

func parser(classes map[string][]string) *Parser {
	return &Parser{
		Open:    func(spec string) (*table.Maps, error) { return table.OpenMaps([]string{spec}, table.Options{}) },
		Classes: classes,
	}
}

// facts are those of a stranger who writes to a recipient that is not ours.
func facts() *Facts {
	return &Facts{
		Command: "RCPT", Name: "host.test", Reverse: "host.test", Addr: "192.0.2.1", Helo: "helo.test",
		NameStatus: dns.PeerOK, RevState: dns.PeerOK,
		HaveSender: true, Sender: "from@a.test", HaveRcpt: true, Recipient: "to@b.test",
		MyNetworks:      func(context.Context) (bool, error) { return false, nil },
		OwnAddress:      func() bool { return false },
		AuthDestination: func(_ context.Context, r string) (bool, error) { return strings.HasSuffix(r, "@ours.test"), nil },
		UnlistedRcpt:    func(context.Context, string) (status.Status, error) { return status.Status{}, nil },
		UnlistedSender:  func(context.Context, string) (status.Status, error) { return status.Status{}, nil },
		MailDomain:      func(context.Context, string) error { return nil },
	}
}

func TestEval(t *testing.T) {
	fail := func(context.Context) (bool, error) { return false, errors.New("table is gone") }
	listed := func(_ context.Context, print string) (bool, error) { return print == "BB", nil }
	for _, tc := range []struct {
		name, list string
		stage      Stage
		change     func(*Facts)
		want       Verdict
		reply      string
	}{
		{"empty", "", Recipient, nil, Dunno, ""},
		{"permit", "permit reject", Recipient, nil, OK, ""},
		{"reject client", "reject", Client, nil, Reject, "554 5.7.1 <host.test[192.0.2.1]>: Client host rejected: Access denied"},
		{"reject recipient", "reject", Recipient, nil, Reject, "554 5.7.1 <to@b.test>: Recipient address rejected: Access denied"},
		{"defer", "defer", Sender, nil, Reject, "450 4.7.1 <from@a.test>: Sender address rejected: Try again later"},
		{"relay", "reject_unauth_destination", Relay, nil, Reject, "554 5.7.1 <to@b.test>: Relay access denied"},
		{"relay deferred", "defer_unauth_destination", Relay, nil, Reject, "454 4.7.1 <to@b.test>: Relay access denied"},
		{"ours", "reject_unauth_destination, permit", Relay, func(f *Facts) { f.Recipient = "x@ours.test" }, OK, ""},
		{"mynetworks fails", "permit_mynetworks", Relay, func(f *Facts) { f.MyNetworks = fail }, Reject, "451 4.3.0 <192.0.2.1>: Temporary lookup failure"},
		{"unknown", "reject_unauth_pipeling", Recipient, nil, Reject, "451 4.3.5 Server configuration error"},
		{"not there yet", "reject_unverified_recipient permit", Recipient, nil, Reject, "451 4.3.5 Server configuration error"},
		{"warn_if_reject", "warn_if_reject reject permit", Recipient, nil, OK, ""},
		{"warn_if_reject of unknown", "warn_if_reject nonsense permit", Recipient, nil, Reject, "451 4.3.5 Server configuration error"},
		{"helo literal", "reject_invalid_helo_hostname", Helo, func(f *Facts) { f.Helo = "[1.2.3]" }, Reject, "501 5.5.2 <[1.2.3]>: Helo command rejected: invalid ip address"},
		{"helo name", "reject_invalid_helo_hostname", Helo, func(f *Facts) { f.Helo = "a..b" }, Reject, "501 5.5.2 <a..b>: Helo command rejected: Invalid name"},
		{"helo fqdn", "reject_non_fqdn_helo_hostname", Helo, func(f *Facts) { f.Helo = "pc" }, Reject, "504 5.5.2 <pc>: Helo command rejected: need fully-qualified hostname"},
		{"old name", "reject_non_fqdn_hostname", Helo, func(f *Facts) { f.Helo = "pc" }, Reject, "504 5.5.2 <pc>: Helo command rejected: need fully-qualified hostname"},
		{"no certificate", "permit_tls_clientcerts permit_tls_all_clientcerts check_ccert_access inline:{x=REJECT} reject", Relay,
			func(f *Facts) { f.ClientCert = listed }, Reject, "554 5.7.1 <to@b.test>: Recipient address rejected: Access denied"},
		{"listed key", "permit_tls_clientcerts reject", Relay, func(f *Facts) { f.Fingerprints, f.ClientCert = []string{"AA", "BB"}, listed }, OK, ""},
		{"other certificate", "permit_tls_clientcerts permit_tls_all_clientcerts", Relay,
			func(f *Facts) { f.Fingerprints, f.ClientCert = []string{"CC", "DD"}, listed }, Dunno, ""},
		{"no list", "permit_tls_clientcerts", Relay, func(f *Facts) { f.Fingerprints = []string{"AA", "BB"} }, Dunno, ""},
		{"list is gone", "permit_tls_clientcerts", Relay, func(f *Facts) {
			f.Fingerprints, f.ClientCert = []string{"AA"}, func(ctx context.Context, _ string) (bool, error) { return fail(ctx) }
		}, Reject, "451 4.3.0 <host.test[192.0.2.1]>: Temporary lookup failure"},
		{"verified certificate", "permit_tls_all_clientcerts reject", Relay, func(f *Facts) { f.CertOK = true }, OK, ""},
		{"table of certificates", "check_ccert_access inline:{{DD=REJECT no}}", Client, func(f *Facts) { f.Fingerprints = []string{"CC", "DD"} }, Reject,
			"554 5.7.1 <host.test[192.0.2.1]>: Client certificate rejected: no"},
		{"null sender", "reject_non_fqdn_sender reject_unknown_sender_domain", Sender, func(f *Facts) { f.Sender = "" }, Dunno, ""},
		{"bare table", "inline:{to@b.test=REJECT}", Recipient, nil, Reject, "554 5.7.1 <to@b.test>: Recipient address rejected: Access denied"},
		{"table with code", "check_sender_access inline:{{from@a.test=550 5.1.1 who}}", Recipient, nil, Reject, "550 5.1.0 <from@a.test>: Sender address rejected: who"},
		{"table by parent", "check_client_access inline:{{192.0.2=421 4.7.0 bye}}", Client, nil, Reject, "421 4.7.0 <host.test[192.0.2.1]>: Client host rejected: bye"},
		{"digits are OK", "check_client_access inline:{{192.0.2.1=1234567}}", Client, nil, OK, ""},
		{"case", "inline:{{to@b.test=reject}}", Recipient, nil, Reject, "554 5.7.1 <to@b.test>: Recipient address rejected: Access denied"},
		{"list in a table", "inline:{{to@b.test=permit_mynetworks reject}}", Recipient, nil, Reject, "554 5.7.1 <to@b.test>: Recipient address rejected: Access denied"},
		{"table in a table", "inline:{{to@b.test=inline:x}}", Recipient, nil, Reject, "451 4.3.5 Server configuration error"},
		{"bad filter", "inline:{{to@b.test=FILTER x}}", Recipient, nil, Reject, "451 4.3.5 Server configuration error"},
		{"defer_if_reject", "inline:{{to@b.test=DEFER_IF_REJECT soon}} reject", Recipient, nil, Reject, "450 4.7.1 <to@b.test>: Recipient address rejected: soon"},
		{"class", "strict", Recipient, nil, Reject, "554 5.7.1 <to@b.test>: Recipient address rejected: Access denied"},
		{"class in a table", "inline:{{to@b.test=strict}}", Recipient, nil, Reject, "554 5.7.1 <to@b.test>: Recipient address rejected: Access denied"},
		{"no name", "reject_unknown_client_hostname", Client, func(f *Facts) { f.NameStatus = dns.PeerPerm }, Reject, "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]"},
		{"early talk", "reject_unauth_pipelining", Data, func(f *Facts) { f.EarlyTalk = true }, Reject, "503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining"},
		{"null MX", "reject_unknown_sender_domain", Sender, func(f *Facts) {
			f.MailDomain = func(context.Context, string) error { return &dns.Error{Kind: dns.NullMX} }
		}, Reject, "550 5.7.27 <from@a.test>: Sender address rejected: Domain a.test does not accept mail (nullMX)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := parser(map[string][]string{"strict": {"permit_mynetworks", "reject"}})
			words, err := table.SplitList(tc.list)
			if err != nil {
				t.Fatal(err)
			}
			l, err := p.Parse("smtpd_test_restrictions", tc.stage, words)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.ParseClasses(tc.stage); err != nil {
				t.Fatal(err)
			}
			f := facts()
			if tc.change != nil {
				tc.change(f)
			}
			e := &Eval{Facts: f, Classes: p.Class, NullKey: "<>"}
			v, st := e.Run(context.Background(), l)
			if v != tc.want || st.String() != tc.reply {
				t.Errorf("%v %q, want %v %q\ntrace %v", v, st, tc.want, tc.reply, e.Trace)
			}
		})
	}
}

func TestDeferIfPermit(t *testing.T) {
	p := parser(nil)
	l, err := p.Parse("x", Recipient, []string{"inline:{{to@b.test=DEFER_IF_PERMIT wait}}", "permit"})
	if err != nil {
		t.Fatal(err)
	}
	e := &Eval{Facts: facts()}
	if v, _ := e.Run(context.Background(), l); v != OK {
		t.Errorf("verdict %v", v)
	}
	st, armed := e.Pending()
	if want := "450 4.7.1 <to@b.test>: Recipient address rejected: wait"; !armed || st.String() != want {
		t.Errorf("pending %v %q", armed, st)
	}
}

func TestActions(t *testing.T) {
	p := parser(nil)
	l, err := p.Parse("x", Recipient, []string{"inline:{{to@b.test=HOLD}}", "check_sender_access", "inline:{{from@a.test=PREPEND X-A: b}}", "check_helo_access", "inline:{{helo.test=DISCARD}}", "reject"})
	if err != nil {
		t.Fatal(err)
	}
	var notes []string
	e := &Eval{Facts: facts(), Note: func(action, text string) { notes = append(notes, action+": "+text) }}
	if v, _ := e.Run(context.Background(), l); v != OK {
		t.Errorf("verdict %v: DISCARD ends the checks", v)
	}
	got := fmt.Sprint(len(e.Actions), e.Actions[0].Kind, e.Actions[1].Text, e.Actions[2].Kind)
	if got != "3HOLDX-A: bDISCARD" && got != "3 HOLD X-A: b DISCARD" {
		t.Errorf("actions %s", got)
	}
	if notes[0] != "hold: <to@b.test>: Recipient address triggers HOLD action" {
		t.Errorf("notes %q", notes)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, words := range [][]string{
		{"check_sender_access"}, {"check_sender_access", "nonsense"}, {"warn_if_reject"},
		{"sleep", "x"}, {"check_sender_access", "nosuchtype:x"}, {"loop"},
		{"check_sender_access", "{ inline:{a=b}, default_action=DUNNO }"},
	} {
		p := parser(map[string][]string{"loop": {"loop"}})
		if _, err := p.Parse("x", Sender, words); err == nil {
			t.Errorf("%q was taken", words)
		}
	}
}

func TestGuards(t *testing.T) {
	for list, want := range map[string]bool{
		"permit_mynetworks": false, "": false, "permit_mynetworks reject_unauth_destination": true,
		"defer_unauth_destination": true, "permit_mynetworks, safe": true, "permit_auth_destination reject": true,
	} {
		words, _ := table.SplitList(list)
		l, err := parser(map[string][]string{"safe": {"reject_unauth_destination"}}).Parse("x", Relay, words)
		if err != nil {
			t.Fatal(err)
		}
		if l.Guards() != want {
			t.Errorf("%q: %v", list, !want)
		}
	}
}
