package main

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// startProtected is a server whose certificate is in the name of
// mx1.example.test. It replies to the end of data with its MAIL command.
func startProtected(t *testing.T, extensions ...string) (p, caFile string) {
	t.Helper()
	cert := testkit.Certificate(t, "mx1.example.test")
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
	return port(startServer(t, "tcp", "127.0.0.1:0", func(conn net.Conn, r *bufio.Reader) {
		fmt.Fprint(conn, "220 mx1.example.test ESMTP\r\n")
		mail := ""
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			switch line = strings.TrimSpace(line); strings.Fields(line)[0] {
			case "EHLO":
				fmt.Fprint(conn, "250-mx1.example.test\r\n")
				for _, e := range extensions {
					_, secure := conn.(*tls.Conn)
					if (e == "STARTTLS") != secure {
						fmt.Fprintf(conn, "250-%s\r\n", e)
					}
				}
				fmt.Fprint(conn, "250 HELP\r\n")
			case "STARTTLS":
				fmt.Fprint(conn, "220 go\r\n")
				conn = tls.Server(conn, cfg)
				r = bufio.NewReader(conn)
			case "MAIL":
				mail = strings.ReplaceAll(line, ":", " ")
				fmt.Fprint(conn, "250 ok\r\n")
			case "DATA":
				fmt.Fprint(conn, "354 go\r\n")
				for line != ".\r\n" {
					if line, err = r.ReadString('\n'); err != nil {
						return
					}
				}
				fmt.Fprintf(conn, "250 %s by %T\r\n", mail, conn)
			case "QUIT":
				return
			default:
				fmt.Fprint(conn, "250 ok\r\n")
			}
		}
	})), caFile
}

// TestRequireTLS: RFC 8689. What requires TLS goes to a server that has proved
// its name and will go on so, or back to its sender.
func TestRequireTLS(t *testing.T) {
	const zone = testZone + "one.test. 60 IN MX 10 mx1.example.test.\nsigned.test. 60 IN MX 10 mx1.example.test.\nsigned.test. SECURE\n"
	all := []string{"STARTTLS", "REQUIRETLS"}
	const by = " by *tls.Conn)"
	for _, tt := range []struct {
		name       string
		next       string
		extensions []string
		wish       envelope.TLSWish
		sender     string
		settings   []string // smtp_tls_CAfile is the server's if there are none
		want       string
	}{
		{"host", "[mx1.example.test]", all, envelope.TLSRequired, "a@b.test", nil, "dsn=2.0.0, status=sent (250 MAIL FROM <a@b.test> REQUIRETLS" + by},
		{"signed MX", "signed.test", all, envelope.TLSRequired, "a@b.test", nil, "dsn=2.0.0, status=sent (250 MAIL FROM <a@b.test> REQUIRETLS" + by},
		{"MX that anybody may have said", "one.test", all, envelope.TLSRequired, "a@b.test", nil, "dsn=5.7.10, status=bounced (Server certificate not verified)"},
		{"unknown authority", "[mx1.example.test]", all, envelope.TLSRequired, "a@b.test", []string{"smtp_tls_security_level = may"},
			"dsn=5.7.10, status=bounced (Server certificate not verified)"},
		{"another name", "[mx2.example.test]", all, envelope.TLSRequired, "a@b.test", nil, "dsn=5.7.10, status=bounced (Server certificate not verified)"},
		{"no TLS", "[mx1.example.test]", nil, envelope.TLSRequired, "a@b.test", nil,
			"dsn=5.7.10, status=bounced (TLS is required, but was not offered by host mx1.example.test[127.0.0.1])"},
		{"no REQUIRETLS", "[mx1.example.test]", all[:1], envelope.TLSRequired, "a@b.test", nil,
			"dsn=5.7.30, status=bounced (REQUIRETLS support is required, but was not offered by host mx1.example.test[127.0.0.1])"},
		{"notice", "[mx1.example.test]", all, envelope.TLSRequired, "", nil, "dsn=2.0.0, status=sent (250 MAIL FROM <> REQUIRETLS" + by},
		{"notice without", "[mx1.example.test]", all[:1], envelope.TLSRequired, "", nil, "dsn=2.0.0, status=sent (250 MAIL FROM <>" + by},
		{"no wish", "[mx1.example.test]", all, envelope.TLSDefault, "a@b.test", nil, "dsn=2.0.0, status=sent (250 MAIL FROM <a@b.test>" + by},
		{"rather in clear", "[mx1.example.test]", nil, envelope.TLSOptional, "a@b.test", []string{"smtp_tls_security_level = secure"},
			"dsn=2.0.0, status=sent (250 MAIL FROM <a@b.test> by *net.TCPConn)"},
		{"rather with any certificate", "[mx1.example.test]", all, envelope.TLSOptional, "a@b.test", []string{"smtp_tls_security_level = secure"},
			"dsn=2.0.0, status=sent (250 MAIL FROM <a@b.test>" + by},
		{"the site does not know that wish", "[mx1.example.test]", nil, envelope.TLSOptional, "a@b.test",
			[]string{"smtp_tls_security_level = encrypt", "tls_required_enable = no"},
			"dsn=4.7.4, status=deferred (TLS is required, but was not offered by host mx1.example.test[127.0.0.1])"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, ca := startProtected(t, tt.extensions...)
			settings := tt.settings
			if settings == nil {
				settings = []string{"smtp_tls_security_level = may", "smtp_tls_CAfile = " + ca}
			}
			h := newHarness(t, "smtp", strings.ReplaceAll(zone, "A 127.0.0.2", "A 127.0.0.1"), settings...)
			req := h.request(tt.next+":"+p, "r@a.test")
			req.Sender = envelope.Sender{Address: tt.sender, TLS: tt.wish}
			_, log := h.deliver(req)
			last := log[len(log)-1]
			_, got, _ := strings.Cut(last, "delay=D, ")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s\nlog %q", diff, log)
			}
		})
	}
}
