package scenario

import (
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/dns/dnstest"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestDNSLists: clients and domains that lists in the DNS list are refused,
// with the list's own words, and a list that does not answer refuses nobody.
func TestDNSLists(t *testing.T) {
	t.Parallel()
	zone := dnstest.Start(t, `
2.0.0.127.bl.test.      60 IN A 127.0.0.2
2.0.0.127.bl.test.      60 IN TXT "see https://bl.test/"
3.0.0.127.bl.test.      60 IN A 127.0.0.9
bad.test.rhs.test.      60 IN A 127.0.0.4
4.0.0.127.down.test.    SERVFAIL
5.0.0.127.wl.test.      60 IN A 127.0.0.1
`)
	mail := testkit.New(t)
	zone.WriteResolvConf(t, mail.Etc(""))
	mail.Set(t, "mynetworks = 127.0.0.1", "inet_interfaces = 127.0.0.1",
		"smtpd_recipient_restrictions = permit_mynetworks, reject_rbl_client down.test, reject_rbl_client bl.test=127.0.0.[2..4], reject_rhsbl_sender rhs.test",
		"smtpd_relay_restrictions = permit_mynetworks, permit_dnswl_client wl.test, reject_unauth_destination",
		"rbl_reply_maps = texthash:"+mail.Etc("replies"))
	mail.Write(t, "replies", "rhs.test $rbl_code 5.7.9 no mail from $sender_domain; see $rbl_domain\n")
	mail.Start(t)
	try := func(from, sender, rcpt, want string) {
		t.Helper()
		s := testkit.DialFrom(t, from, mail.Addr())
		defer s.Conn.Close()
		s.Cmd("250", "EHLO c.test")
		s.Cmd("250", "MAIL FROM:<%s>", sender)
		s.Cmd(want, "RCPT TO:<%s>", rcpt)
	}
	try("127.0.0.2", "a@good.test", "you@example.test", "554 5.7.1 Service unavailable; Client host [127.0.0.2] blocked using bl.test; see https://bl.test/")
	try("127.0.0.3", "a@good.test", "you@example.test", "250") // an answer that is not asked for
	try("127.0.0.4", "a@good.test", "you@example.test", "250") // a list that fails
	mail.WaitLog(t, `warning: .*RBL lookup error: `)
	try("127.0.0.4", "a@bad.test", "you@example.test", "554 5.7.9 no mail from bad.test; see rhs.test")
	try("127.0.0.1", "a@bad.test", "you@example.test", "250")
	try("127.0.0.5", "a@good.test", "x@remote.test", "554 5.7.1 <x@remote.test>: Relay access denied")
	mail.WaitLog(t, `NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.2\]: 554 5\.7\.1 Service unavailable; Client host \[127\.0\.0\.2\] blocked using bl\.test; see https://bl\.test/; from=<a@good\.test> to=<you@example\.test> proto=ESMTP helo=<c\.test>`)
}
