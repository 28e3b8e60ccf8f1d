package scenario

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/smtp"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// newPair makes a certificate with a serial number, and its key, as PEM.
func newPair(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: []string{testkit.Domain},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, priv.Public(), priv)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs})
}

// replace puts a file in the place of another at once.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	err := os.WriteFile(path+".new", data, 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serial does a handshake and returns the serial number of the certificate.
func serial(addr string) (int64, error) {
	c, err := smtp.Dial(addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	// What is asked for is which certificate there is, not whose.
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		return 0, err
	}
	state, ok := c.TLSConnectionState()
	if !ok || len(state.PeerCertificates) == 0 {
		return 0, fmt.Errorf("no certificate")
	}
	return state.PeerCertificates[0].SerialNumber.Int64(), c.Quit()
}

// TestRenewedCertificate: a renewed pair is in use without a reload, and no
// handshake fails meanwhile (TL3).
func TestRenewedCertificate(t *testing.T) {
	t.Parallel()
	mail := testkit.New(t)
	mail.Set(t, "smtpd_client_event_limit_exceptions = static:all", "smtpd_tls_cert_file = "+mail.Etc("c.pem"), "smtpd_tls_key_file = "+mail.Etc("k.pem"))
	cert, key := newPair(t, 1)
	replace(t, mail.Etc("c.pem"), cert)
	replace(t, mail.Etc("k.pem"), key)
	mail.Start(t)
	until := func(what string, want int64, least time.Duration) {
		t.Helper()
		start := time.Now()
		for {
			n, err := serial(mail.Addr())
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if n == want && time.Since(start) >= least {
				return
			}
			if time.Since(start) > time.Minute {
				t.Fatalf("%s: certificate %d, want %d", what, n, want)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	until("start", 1, 0)
	cert, key = newPair(t, 2)
	replace(t, mail.Etc("c.pem"), cert)
	until("half renewed", 1, 8*time.Second)
	// Also not when the mail system starts in between.
	mail.Stop(t)
	mail.Start(t)
	until("half renewed, after a start", 1, 0)
	mail.WaitLog(t, `warning: using what they were on`)
	replace(t, mail.Etc("k.pem"), key)
	until("renewed", 2, 0)
	if n := strings.Count(mail.Log(), "cannot use certificate"); n != 1 {
		t.Errorf("the pair did not fit %d times", n)
	}
}
