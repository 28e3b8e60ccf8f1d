package access

import (
	"context"
	"net/netip"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/dns"
	"github.com/posthouse-mail/posthouse/pkg/table"
)

func TestParseDNSList(t *testing.T) {
	for arg, addrs := range map[string]map[string]bool{
		"zen.test":                        {"127.0.0.2": true, "127.255.255.254": true, "::1": false},
		"zen.test=127.0.0.2":              {"127.0.0.2": true, "127.0.0.3": false},
		"zen.test=127.0.0.[2..4;10..11]":  {"127.0.0.2": true, "127.0.0.4": true, "127.0.0.5": false, "127.0.0.11": true},
		"zen.test=127.0.[0..255].[1;2;3]": {"127.0.9.3": true, "127.1.9.3": false, "127.0.9.4": false},
	} {
		l, err := parseDNSList(arg)
		if err != nil {
			t.Errorf("%s: %v", arg, err)
			continue
		}
		for a, want := range addrs {
			if l.counts(netip.MustParseAddr(a)) != want {
				t.Errorf("%s: %s counts: %v", arg, a, !want)
			}
		}
	}
	for _, bad := range []string{"", "=127.0.0.1", "a b", "zen.test=", "zen.test=127.0.0", "zen.test=127.0.0.256", "zen.test=127.0.0.[4..2]", "zen.test=127.0.0.[2", "zen.test=1.2.3.4.5"} {
		if _, err := parseDNSList(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzDNSList(f *testing.F) {
	for _, s := range []string{"zen.test=127.0.0.[2..4;10]", "a=[", "a=1.2.3.4.", "a=[]...", "x.test"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if l, err := parseDNSList(s); err == nil {
			l.counts(netip.MustParseAddr("127.0.0.2"))
		}
	})
}

func TestReversed(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1": "1.2.0.192", "::ffff:192.0.2.1": "1.2.0.192",
		"2001:db8::1": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2",
	} {
		if got, ok := reversed(addr); !ok || got != want {
			t.Errorf("%s: %q", addr, got)
		}
	}
	if _, ok := reversed("unknown"); ok {
		t.Error("no address")
	}
}

// zone answers for names, and fails where it says so.
func zone(names map[string]string) func(context.Context, string, dns.Type) (*dns.Answer, error) {
	return func(_ context.Context, name string, typ dns.Type) (*dns.Answer, error) {
		v, ok := names[name+" "+typ.String()]
		switch {
		case !ok:
			return nil, &dns.Error{Name: name, Type: typ, Kind: dns.NotFound}
		case v == "fail":
			return nil, &dns.Error{Name: name, Type: typ, Kind: dns.Temporary}
		case typ == dns.TypeTXT:
			return &dns.Answer{Records: []dns.Record{{Text: v}}}, nil
		}
		return &dns.Answer{Records: []dns.Record{{Addr: netip.MustParseAddr(v)}}}, nil
	}
}

func TestDNSLists(t *testing.T) {
	names := map[string]string{
		"1.2.0.192.bl.test A": "127.0.0.2", "1.2.0.192.bl.test TXT": "listed\r\n\x1b why",
		"1.2.0.192.wl.test A": "127.0.0.1", "1.2.0.192.down.test A": "fail",
		"host.test.rhs.test A": "127.0.0.4", "helo.test.rhs.test A": "127.0.0.4", "a.test.rhs.test A": "127.0.0.4", "b.test.rhs.test A": "127.0.0.4",
	}
	const blocked = "554 5.7.1 Service unavailable; "
	for _, tc := range []struct {
		list   string
		change func(*Facts)
		want   Verdict
		reply  string
	}{
		{"reject_rbl_client bl.test", nil, Reject, blocked + "Client host [192.0.2.1] blocked using bl.test; listed??? why"},
		{"reject_rbl bl.test", nil, Reject, blocked + "Client host [192.0.2.1] blocked using bl.test; listed??? why"},
		{"reject_rbl_client bl.test=127.0.0.[4..9] permit", nil, OK, ""},
		{"reject_rbl_client other.test permit", nil, OK, ""},
		{"reject_rbl_client down.test permit", nil, OK, ""},
		{"warn_if_reject reject_rbl_client bl.test permit", nil, OK, ""},
		{"reject_rhsbl_client rhs.test", nil, Reject, blocked + "Client host [host.test] blocked using rhs.test"},
		{"reject_rhsbl_client rhs.test permit", func(f *Facts) { f.Name = "unknown" }, OK, ""},
		{"reject_rhsbl_helo rhs.test", nil, Reject, blocked + "Helo command [helo.test] blocked using rhs.test"},
		{"reject_rhsbl_helo rhs.test permit", func(f *Facts) { f.Helo = "[192.0.2.1]" }, OK, ""},
		{"reject_rhsbl_sender rhs.test", nil, Reject, blocked + "Sender address [from@a.test] blocked using rhs.test"},
		{"reject_rhsbl_sender rhs.test permit", func(f *Facts) { f.Sender = "" }, OK, ""},
		{"reject_rhsbl_recipient rhs.test", nil, Reject, blocked + "Recipient address [to@b.test] blocked using rhs.test"},
		{"permit_dnswl_client wl.test reject", func(f *Facts) { f.Recipient = "x@ours.test" }, OK, ""},
		// A list on the DNS never lets anybody relay.
		{"permit_dnswl_client wl.test reject_unauth_destination", nil, Reject, "554 5.7.1 <to@b.test>: Relay access denied"},
		{"permit_dnswl_client down.test reject", func(f *Facts) { f.Recipient = "x@ours.test" }, Reject, "450 4.7.1 <192.0.2.1>: Client host rejected: Service unavailable"},
	} {
		t.Run(tc.list, func(t *testing.T) {
			words, _ := table.SplitList(tc.list)
			l, err := parser(nil).Parse("x", Recipient, words)
			if err != nil {
				t.Fatal(err)
			}
			f := facts()
			f.Resolve = zone(names)
			if tc.change != nil {
				tc.change(f)
			}
			e := &Eval{Facts: f}
			if v, st := e.Run(context.Background(), l); v != tc.want || st.String() != tc.reply {
				t.Errorf("%v %q, want %v %q", v, st, tc.want, tc.reply)
			}
		})
	}
}

func TestListReply(t *testing.T) {
	l, err := parser(nil).Parse("x", Recipient, []string{"reject_rbl_client", "bl.test"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"521 5.7.9 go away": "521 5.7.9 go away", "450 later": "450 4.7.1 later", "nonsense": "451 4.3.5 Server configuration error",
	} {
		f := facts()
		f.Resolve = zone(map[string]string{"1.2.0.192.bl.test A": "127.0.0.2"})
		f.ListReply = func(_ context.Context, list string, values map[string]string) (string, error) {
			if list != "bl.test" || values["rbl_what"] != "192.0.2.1" || values["rbl_code"] != "554" {
				t.Errorf("%s %v", list, values)
			}
			return text, nil
		}
		e := &Eval{Facts: f}
		if _, st := e.Run(context.Background(), l); st.String() != want {
			t.Errorf("%q: %q, want %q", text, st, want)
		}
	}
}
