package scenario

import (
	"bufio"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"
)

// TestIMAPPlaintextOff: a client from elsewhere is told that no password is
// taken without TLS (RFC 9051 7.2.2), before it sends one.
func TestIMAPPlaintextOff(t *testing.T) {
	from := elsewhere(t)
	mail := imapInstance(t, "you")
	dialer := net.Dialer{Timeout: time.Minute, LocalAddr: &net.TCPAddr{IP: from}}
	conn, err := dialer.Dial("tcp", pop3Addr(mail, 3))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &imapClient{t: t, conn: conn, r: bufio.NewReader(conn)}
	if line := c.line(); !strings.Contains(line, " STARTTLS LOGINDISABLED ") || strings.Contains(line, "AUTH=PLAIN") {
		t.Errorf("greeting %s", line)
	}
	c.cmd("NO [PRIVACYREQUIRED]", "LOGIN you@example.test secret")
	c.cmd("OK Begin TLS", "STARTTLS")
	c.conn = tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	c.r = bufio.NewReader(c.conn)
	if got := c.cmd("OK", "CAPABILITY"); strings.Contains(got, "LOGINDISABLED") || !strings.Contains(got, "AUTH=PLAIN") {
		t.Errorf("capabilities with TLS: %s", got)
	}
	c.login("you")
}

// elsewhere returns an address of this machine that is no loopback address; a
// connection from there to 127.0.0.1 does not leave the machine.
func elsewhere(t *testing.T) net.IP {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP
		}
	}
	t.Skip("SKIPPED: the machine has no address but those of the loopback interface")
	return nil
}
