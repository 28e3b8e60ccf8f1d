package interop

import (
	"encoding/base64"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// filterHits runs one of Debian's filters over a log and returns the addresses
// that it would ban.
func filterHits(t *testing.T, log, filter string) string {
	t.Helper()
	out, err := exec.Command("fail2ban-regex", "-o", "ip", log, filter).CombinedOutput()
	if err != nil && len(out) > 0 && !strings.Contains(string(out), ".") {
		t.Fatalf("fail2ban-regex %s: %v\n%s", filter, err, out)
	}
	return " " + strings.Join(strings.Fields(string(out)), " ") + " "
}

// wrongPassword says something to a server from an address, and waits for
// words in its answer.
func wrongPassword(t *testing.T, from, addr string, talk ...string) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Minute}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 4096)
	heard := ""
	for i := 0; i < len(talk); i += 2 {
		fmt.Fprint(conn, talk[i])
		for heard = ""; !strings.Contains(heard, talk[i+1]); {
			n, err := conn.Read(buf)
			if heard += string(buf[:n]); err != nil {
				t.Fatalf("%s: waiting for %q after %q: %v, heard %q", addr, talk[i+1], talk[i], err, heard)
			}
		}
	}
}

// TestFail2banLogins: who tries wrong passwords by SMTP, IMAP or POP3 is found
// by Debian's filters, by the real address whatever the login says.
func TestFail2banLogins(t *testing.T) {
	testkit.NeedTool(t, "fail2ban-regex")
	mail, _ := authSite(t)
	mail.Stop(t)
	mail.Set(t, "smtpd_sasl_auth_enable = yes", "auth_cleartext_networks = 127.0.0.0/8")
	mail.Start(t)
	port := func(n int) string { return fmt.Sprintf("127.0.0.1:%d", mail.Port+n) }
	const bait = "x>, method=PLAIN, rip=198.51.100.9, lip=1.2.3.4, session=<y"
	plain := base64.StdEncoding.EncodeToString([]byte("\x00ann@example.test\x00wrong"))
	wrongPassword(t, "127.0.0.31", mail.Addr(), "", "220", "EHLO c.test\r\n", "AUTH", "AUTH PLAIN "+plain+"\r\n", "535", "QUIT\r\n", "221")
	wrongPassword(t, "127.0.0.32", port(3), "", "OK", "a LOGIN ann@example.test wrong\r\n", "a NO", "b LOGOUT\r\n", "BYE")
	wrongPassword(t, "127.0.0.33", port(5), "", "+OK", "USER ann@example.test\r\n", "+OK", "PASS wrong\r\n", "-ERR", "QUIT\r\n", "+OK")
	wrongPassword(t, "127.0.0.34", port(3), "", "OK", "a LOGIN \""+bait+"\" wrong\r\n", "a NO", "b LOGOUT\r\n", "BYE")
	mail.WaitLog(t, `pop3-login: .*rip=127\.0\.0\.33`)
	mail.WaitLog(t, `imap-login: .*rip=127\.0\.0\.34`)
	log := filepath.Join(mail.Dir, "log", "mail.log")
	for filter, want := range map[string][]string{
		"postfix[mode=auth]": {"127.0.0.31"},
		"dovecot":            {"127.0.0.32", "127.0.0.33", "127.0.0.34"},
	} {
		got := filterHits(t, log, filter)
		for _, w := range want {
			if !strings.Contains(got, " "+w+" ") {
				t.Errorf("%s does not find %s:%s", filter, w, got)
			}
		}
		if strings.Contains(got, "198.51.100.") {
			t.Errorf("%s bans an address that a client made up:%s", filter, got)
		}
	}
	// Each failure is one line in one form, Dovecot's, lest a site with both
	// jails count it twice; coming-from-courier.md tells to change the jail.
	if got := strings.TrimSpace(filterHits(t, log, "courier-auth")); got != "" {
		t.Errorf("courier-auth counts what the filter dovecot counts: %s", got)
	}
}
