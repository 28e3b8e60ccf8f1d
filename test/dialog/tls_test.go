package dialog

import (
	"bufio"
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// startTLS does a handshake as client.
func (d *dialog) startTLS() {
	d.conn.SetDeadline(time.Now().Add(patience))
	// The certificate is the test's own and says nothing about a host.
	tc := tls.Client(d.conn, &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		d.fail("handshake: %v", err)
	}
	d.conn, d.r = tc, bufio.NewReader(tc)
}

// makeCertificate writes cert.pem and key.pem.
func makeCertificate(t *testing.T, dir string) {
	t.Helper()
	cert, key := testkit.PEM(t, testkit.Certificate(t, "ref.test"))
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
