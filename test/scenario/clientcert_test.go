package scenario

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/sasl"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestLoginByConnection: what authd is told about the TLS connection lets
// users in: a client certificate, and a channel binding of TLS 1.2.
func TestLoginByConnection(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "you@example.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	i := testkit.New(t, testkit.Users("you"))
	submissionUsers(t, i, "you")
	i.Write(t, "clients.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	i.Set(t, "smtpd_tls_ask_ccert = yes", "smtpd_tls_CAfile = "+i.Etc("clients.pem"), "smtpd_sasl_mechanism_filter = static:all",
		"smtpd_tls_received_header = yes", "auth_failure_delay = 0")
	i.Start(t)

	c, _ := dialSubmissionTLS(t, i, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if ehlo := c.want("250", "EHLO client.test"); !strings.Contains(ehlo, " EXTERNAL") {
		t.Errorf("EHLO gives %q", ehlo)
	}
	c.want("235", "AUTH EXTERNAL =")
	c.message("250", "you@example.test", "you@example.test", "Subject: x\n\nx\n")
	if text := i.WaitMailbox(t, "you", 1)[0]; !strings.Contains(text, `(Client CN "you@example.test", Issuer "you@example.test" (verified OK))`) {
		t.Error(text)
	}

	c, state := dialSubmissionTLS(t, i, &tls.Config{MaxVersion: tls.VersionTLS12})
	if ehlo := c.want("250", "EHLO client.test"); strings.Contains(ehlo, "EXTERNAL") || !strings.Contains(ehlo, sasl.SCRAMSHA256Plus) {
		t.Errorf("EHLO gives %q", ehlo)
	}
	own := sha256.Sum256(state.PeerCertificates[0].Raw)
	for _, wrong := range []bool{true, false} {
		bound := own
		if wrong {
			bound[0] ^= 1
		}
		client, err := sasl.NewClient([]string{sasl.SCRAMSHA256Plus}, sasl.ClientOptions{Login: "you@example.test", Password: "secret",
			Binding: sasl.Binding{Endpoint: bound[:]}})
		if err != nil {
			t.Fatal(err)
		}
		_, first, err := client.Start()
		if err != nil {
			t.Fatal(err)
		}
		challenge, err := base64.StdEncoding.DecodeString(c.want("334", "AUTH SCRAM-SHA-256-PLUS "+base64.StdEncoding.EncodeToString(first))[4:])
		if err != nil {
			t.Fatal(err)
		}
		second, err := client.Next(challenge)
		if err != nil {
			t.Fatal(err)
		}
		if wrong {
			c.want("535", base64.StdEncoding.EncodeToString(second))
			continue
		}
		final, err := base64.StdEncoding.DecodeString(c.want("334", base64.StdEncoding.EncodeToString(second))[4:])
		if err == nil {
			_, err = client.Next(final) // the server proves itself
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := c.PrintfLine(""); err != nil {
			t.Fatal(err)
		}
		c.want("235", "")
	}
}
