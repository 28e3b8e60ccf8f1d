package scenario

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// identity is a certificate with its key and those above it.
type identity struct {
	der [][]byte
	crt *x509.Certificate
	key *ecdsa.PrivateKey
}

// newIdentity makes a certificate that by vouches for, or itself where by is
// nil.
func newIdentity(t *testing.T, name string, by *identity) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.crt, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	crt, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	id := &identity{[][]byte{der}, crt, key}
	if by != nil {
		id.der = append(id.der, by.der...)
	}
	return id
}

func (id *identity) config() *tls.Config {
	if id == nil {
		return &tls.Config{}
	}
	// A client shows no certificate that the server does not ask for by name.
	return &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: id.der, PrivateKey: id.key}, nil
	}}
}

func (id *identity) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.der[0]}))
}

func fingerprint(b []byte) string {
	sum := sha256.Sum256(b)
	return strings.ReplaceAll(strings.TrimSpace(strings.ToUpper(fmt.Sprintf("% x", sum[:]))), " ", ":")
}

// TestRelayByCertificate: clients relay by the fingerprint of their
// certificate or key, or because an authority vouches for them.
func TestRelayByCertificate(t *testing.T) {
	root := newIdentity(t, "root", nil)
	middle := newIdentity(t, "middle", root)
	known, byKey, vouched, far, stranger := newIdentity(t, "known", nil), newIdentity(t, "by key", nil), newIdentity(t, "vouched", root),
		newIdentity(t, "far", middle), newIdentity(t, "stranger", nil)
	i := testkit.New(t, testkit.Users("you"))
	authorities := filepath.Join(i.Dir, "authorities")
	if err := os.Mkdir(authorities, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(authorities, "0a1b2c3d.0"), []byte(root.pem()), 0o644); err != nil {
		t.Fatal(err)
	}
	i.Write(t, "certs", fingerprint(known.der[0])+" known\n"+fingerprint(byKey.crt.RawSubjectPublicKeyInfo)+" by key\n")
	i.Write(t, "ccert", fingerprint(stranger.der[0])+" REJECT we know you\n")
	i.Set(t, "mynetworks = 192.0.2.0/24", "smtpd_tls_ask_ccert = yes", "smtpd_tls_CApath = "+authorities, "smtpd_tls_ccert_verifydepth = 1",
		"smtpd_tls_fingerprint_digest = sha256", "relay_clientcerts = texthash:"+i.Etc("certs"), "smtpd_tls_loglevel = 2",
		"smtpd_client_restrictions = check_ccert_access texthash:"+i.Etc("ccert"),
		"smtpd_relay_restrictions = permit_tls_clientcerts, permit_tls_all_clientcerts, reject_unauth_destination",
		"defer_transports = smtp", "smtpd_peername_lookup = no")
	i.Start(t)
	for _, tt := range []struct {
		name string
		id   *identity
		want string
	}{
		{"nobody", nil, "554 5.7.1"},
		{"listed", known, "250"},
		{"listed by its key", byKey, "250"},
		{"vouched for", vouched, "250"},
		{"vouched for by too many", far, "554 5.7.1"},
		{"refused by table", stranger, "554 5.7.1 <unknown[127.0.0.1]>: Client certificate rejected: we know you"},
	} {
		c, _ := dialSecure(t, i.Addr(), tt.id.config())
		c.want("250", "MAIL FROM:<a@sender.test>")
		if got := c.ask("RCPT TO:<x@far.test>"); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	i.WaitLog(t, `Trusted TLS connection established from`)
	i.WaitLog(t, `the chain is longer than smtpd_tls_ccert_verifydepth = 1`)
}

// TestCertificateDemanded: without a good certificate there is no session.
func TestCertificateDemanded(t *testing.T) {
	root := newIdentity(t, "root", nil)
	i := testkit.New(t, testkit.Users("you"))
	i.Write(t, "ca.pem", root.pem())
	i.Set(t, "smtpd_tls_req_ccert = yes", "smtpd_tls_security_level = encrypt", "smtpd_tls_CAfile = "+i.Etc("ca.pem"))
	i.Start(t)
	for _, tt := range []struct {
		id        *identity
		want, log string
	}{
		{nil, "421 4.7.1 mail.example.test Error: No client certificate presented", "No client certificate presented"},
		{newIdentity(t, "other", nil), "421 4.7.1 mail.example.test Error: Client certificate not trusted", "Client certificate not trusted"},
	} {
		c, _ := startSecure(t, i.Addr(), tt.id.config())
		c.want(tt.want, "MAIL FROM:<a@sender.test>")
		if line, err := c.ReadLine(); err == nil {
			t.Errorf("the session goes on: %q", line)
		}
		i.WaitLog(t, `NOQUEUE: abort: TLS from localhost\[127\.0\.0\.1\]: `+tt.log)
	}
	c, _ := dialSecure(t, i.Addr(), newIdentity(t, "good", root).config())
	c.message("250", "a@sender.test", "you@example.test", "Subject: x\n\nx")
	i.WaitMailbox(t, "you", 1)
}

// TestLoginRealm: smtpd_sasl_local_domain completes logins.
func TestLoginRealm(t *testing.T) {
	i := testkit.New(t, testkit.Users("you"))
	submissionUsers(t, i, "you")
	i.Set(t, "smtpd_sasl_local_domain = example.test", "auth_failure_delay = 0")
	i.Start(t)
	c := dialSubmission(t, i)
	c.want("235", "AUTH PLAIN AHlvdQBzZWNyZXQ=") // you, secret
	c.message("250", "you@example.test", "you@example.test", "Subject: x\n\nx")
	i.WaitLog(t, `sasl_method=PLAIN, sasl_username=you@example\.test`)
}

// TestPriorityClients: port 25 takes a priority from those who may give one.
func TestPriorityClients(t *testing.T) {
	i := testkit.New(t, testkit.Users("you"))
	i.Set(t, "smtpd_authorized_priority_clients = 127.0.0.2")
	i.Start(t)
	s := testkit.Dial(t, i.Addr())
	if got := s.Cmd("250", "EHLO c.test"); strings.Contains(got, "MT-PRIORITY") {
		t.Errorf("offered to anybody: %s", got)
	}
	s.Cmd("555 5.5.4", "MAIL FROM:<a@b.test> MT-PRIORITY=4")
	s = testkit.DialFrom(t, "127.0.0.2", i.Addr())
	if got := s.Cmd("250", "EHLO c.test"); !strings.Contains(got, "MT-PRIORITY") {
		t.Errorf("not offered: %s", got)
	}
	s.Cmd("501 5.5.4", "MAIL FROM:<a@b.test> MT-PRIORITY=10")
	s.Cmd("250", "MAIL FROM:<a@b.test> MT-PRIORITY=4")
	s.Cmd("250", "RCPT TO:<you@example.test>")
	s.Cmd("354", "DATA")
	s.Cmd("250", "Subject: x\r\n\r\nx\r\n.")
	if text := i.WaitMailbox(t, "you", 1)[0]; !strings.Contains(text, "\tfor <you@example.test>\n\t(PRIORITY 4); ") {
		t.Error(text)
	}
}
