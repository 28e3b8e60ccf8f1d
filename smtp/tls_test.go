package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// startTLSServer offers STARTTLS; with a nil certificate it says garbage in
// the handshake.
func startTLSServer(t *testing.T, good bool) string {
	t.Helper()
	cfg := &tls.Config{Certificates: []tls.Certificate{testkit.Certificate(t, "mx.test")}}
	return port(startServer(t, "tcp", "127.0.0.1:0", func(conn net.Conn, r *bufio.Reader) {
		fmt.Fprint(conn, "220 mx.test ESMTP\r\n")
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			switch strings.Fields(line)[0] {
			case "EHLO":
				if _, ok := conn.(*tls.Conn); ok {
					fmt.Fprint(conn, "250 mx.test\r\n")
				} else {
					fmt.Fprint(conn, "250-mx.test\r\n250 STARTTLS\r\n")
				}
			case "STARTTLS":
				fmt.Fprint(conn, "220 go\r\n")
				if !good {
					fmt.Fprint(conn, "not a handshake at all\r\n")
					return
				}
				conn = tls.Server(conn, cfg)
				r = bufio.NewReader(conn)
			case "DATA":
				fmt.Fprint(conn, "354 go\r\n")
				for line != ".\r\n" {
					if line, err = r.ReadString('\n'); err != nil {
						return
					}
				}
				fmt.Fprintf(conn, "250 2.0.0 taken by %T\r\n", conn)
			case "QUIT":
				return
			default:
				fmt.Fprint(conn, "250 ok\r\n")
			}
		}
	}))
}

var handshakeErrors = regexp.MustCompile(`(SSL_connect error to [^ ]*:) .*`)

func TestTLS(t *testing.T) {
	const established = "Untrusted TLS connection established to 127.0.0.1[127.0.0.1]:P: TLSv1.3 with cipher TLS_AES_128_GCM_SHA256 (128/128 bits) " +
		"key-exchange X25519MLKEM768 server-signature ECDSA (prime256v1) server-digest SHA256"
	const to = "ID: to=<r@a.test>, relay=127.0.0.1[127.0.0.1]:P, delay=D, "
	const failed = "SSL_connect error to 127.0.0.1[127.0.0.1]:P: ERROR"
	tests := []struct {
		name     string
		settings []string
		good     bool
		waited   time.Duration
		want     []string
	}{
		{"may", []string{"smtp_tls_security_level = may", "smtp_tls_loglevel = 1"}, true, 0,
			[]string{established, to + "dsn=2.0.0, status=sent (250 2.0.0 taken by *tls.Conn)"}},
		{"encrypt", []string{"smtp_tls_security_level = encrypt", "smtp_tls_loglevel = 1"}, true, 0,
			[]string{established, to + "dsn=2.0.0, status=sent (250 2.0.0 taken by *tls.Conn)"}},
		{"policy table", []string{"smtp_tls_policy_maps = inline:{{[127.0.0.1] = none}, {a=b}}"}, true, 0,
			[]string{to + "dsn=2.0.0, status=sent (250 2.0.0 taken by *net.TCPConn)"}},
		{"verify", []string{"smtp_tls_security_level = verify"}, true, 0,
			[]string{"127.0.0.1[127.0.0.1]:P: server certificate not verified: x509: certificate signed by unknown authority",
				to + "dsn=4.7.5, status=deferred (Server certificate not verified)"}},
		{"bad handshake, may, first try", []string{"smtp_tls_security_level = may"}, false, 0,
			[]string{failed, to + "dsn=4.7.5, status=deferred (Cannot start TLS: handshake failure)"}},
		{"bad handshake, may, later", []string{"smtp_tls_security_level = may"}, false, time.Hour,
			[]string{failed, to + "dsn=2.0.0, status=sent (250 2.0.0 taken by *net.TCPConn)"}},
		{"bad handshake, encrypt, later", []string{"smtp_tls_security_level = encrypt"}, false, time.Hour,
			[]string{failed, to + "dsn=4.7.5, status=deferred (Cannot start TLS: handshake failure)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := startTLSServer(t, tt.good)
			h := newHarness(t, "smtp", testZone, tt.settings...)
			next := "[127.0.0.1]:" + p
			if tt.name == "policy table" {
				h.agent.p.TCPPort = p
				next = "[127.0.0.1]"
			}
			req := h.request(next, "r@a.test")
			req.Times.Arrival = req.Times.Arrival.Add(-tt.waited)
			_, log := h.deliver(req)
			for i := range log {
				log[i] = handshakeErrors.ReplaceAllString(log[i], "$1 ERROR")
			}
			if diff := cmp.Diff(tt.want, log); diff != "" {
				t.Error(diff)
			}
		})
	}
}
