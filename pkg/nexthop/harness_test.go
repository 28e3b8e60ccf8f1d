package nexthop

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/dns/dnstest"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// zone is what the name server of these tests knows.
const zone = `
pref.test.      60 IN MX 20 second.mx.test.
pref.test.      60 IN MX 10 best.mx.test.
best.mx.test.   60 IN A 192.0.2.1
second.mx.test. 60 IN A 192.0.2.2
second.mx.test. 60 IN AAAA 2001:db8::2
host.test.      60 IN A 192.0.2.3
six.test.       60 IN AAAA 2001:db8::3
null.test.      60 IN MX 0 .
gone.test.      60 IN MX 10 nohost.test.
down.test.      SERVFAIL
half.test.      60 IN MX 10 nohost.test.
half.test.      60 IN MX 20 down.test.
ours.test.      60 IN MX 10 best.mx.test.
ours.test.      60 IN MX 20 me.test.
ours.test.      60 IN MX 30 second.mx.test.
self.test.      60 IN MX 10 me.test.
self.test.      60 IN MX 20 second.mx.test.
lost.test.      60 IN MX 10 nohost.test.
lost.test.      60 IN MX 20 me.test.
me.test.        60 IN A 192.0.2.99
signed.test.    60 IN MX 10 best.mx.test.
signed.test.    SECURE
many.test.      60 IN MX 10 a.many.test.
a.many.test.    60 IN A 192.0.2.11
a.many.test.    60 IN A 192.0.2.12
a.many.test.    60 IN A 192.0.2.13
a.many.test.    60 IN A 192.0.2.14
many.test.      60 IN MX 20 b.many.test.
b.many.test.    60 IN AAAA 2001:db8::11
`

// newClient makes a client as a daemon does before its jail.
func newClient(t *testing.T, program string, settings ...string) (*Client, *testkit.Log) {
	t.Helper()
	c, log, err := tryClient(t, program, settings...)
	if err != nil {
		t.Fatal(err)
	}
	return c, log
}

func tryClient(t *testing.T, program string, settings ...string) (*Client, *testkit.Log, error) {
	t.Helper()
	dir := t.TempDir()
	text := "myhostname = me.test\nmydomain = test\ninet_interfaces = 192.0.2.99\nsmtp_randomize_addresses = no\nlmtp_randomize_addresses = no\n" +
		strings.Join(settings, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "main.cf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	dnstest.Start(t, zone).WriteResolvConf(t, dir)
	cfg, err := config.Load(dir, config.WithService(program, program))
	if err != nil {
		t.Fatal(err)
	}
	log := &testkit.Log{}
	c, err := New(cfg, maillog.NewWriter(log, program), program == "lmtp")
	return c, log, err
}

// serve is a server for one session: it greets, and answers each command by its
// verb, or with 250.
func serve(t *testing.T, greeting string, replies map[string]string) (target Target, heard func() []string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	var mu sync.Mutex
	var lines []string
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(conn, "%s\r\n", greeting)
		for r := bufio.NewReader(conn); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimSpace(line)
			mu.Lock()
			lines = append(lines, line)
			mu.Unlock()
			verb, _, _ := strings.Cut(line, " ")
			reply := replies[verb]
			if reply == "" {
				reply = "250 ok"
			}
			fmt.Fprintf(conn, "%s\r\n", reply)
			if verb == "QUIT" {
				return
			}
		}
	}()
	addr := netip.MustParseAddrPort(ln.Addr().String())
	return Target{Host: "next.test", Addr: addr.Addr(), Port: int(addr.Port()), Named: true}, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), lines...)
	}
}
