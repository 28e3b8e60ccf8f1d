package main

import (
	"bufio"
	"bytes"
	"crypto"
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
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// certificate makes one, of an authority or self-signed.
func certificate(t *testing.T, template x509.Certificate, authority *tls.Certificate) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	template.NotBefore = template.NotAfter.Add(-2 * time.Hour)
	template.BasicConstraintsValid = true
	parent, signer := &template, crypto.Signer(key)
	if authority != nil {
		parent, signer = authority.Leaf, authority.PrivateKey.(crypto.Signer)
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func asPEM(c *tls.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
}

// tlsmgr signs with the key of a certificate.
func tlsmgr(c *tls.Certificate) func(ipc.List) ipc.List {
	return func(req ipc.List) ipc.List {
		ok := ipc.List{}.Int("status", 0)
		switch req.Value("request") {
		case "chains":
			return ok.Str("chain0", asPEM(c))
		case "tickets":
			return ok.Str("key0", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)))
		case "sign":
			digest, err := base64.StdEncoding.DecodeString(req.Value("digest"))
			hash, _ := req.GetInt("hash")
			if err != nil {
				return nil
			}
			sig, err := c.PrivateKey.(crypto.Signer).Sign(rand.Reader, digest, crypto.Hash(hash))
			if err != nil {
				return nil
			}
			return ok.Str("signature", base64.StdEncoding.EncodeToString(sig))
		}
		return nil
	}
}

// tlsHouse is a house with TLS that believes client certificates of an
// authority.
func tlsHouse(t *testing.T, server, authority *tls.Certificate, settings ...string) *house {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(asPEM(authority)), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, append([]string{"submission_tls_security_level = encrypt", "smtpd_tls_ask_ccert = yes", "smtpd_tls_CAfile = " + file,
		"smtpd_sasl_mechanism_filter = static:all", "smtpd_tls_received_header = yes", "smtpd_tls_loglevel = 1"}, settings...)...)
	h.auth.Offer("PLAIN", "EXTERNAL")
	h.serve("private/tlsmgr", h.answers(tlsmgr(server)))
	return h
}

// startTLS starts a session and TLS in it.
func (h *house) startTLS(cfg *tls.Config) (*client, tls.ConnectionState) {
	h.t.Helper()
	c := h.dial()
	c.want("220", c.cmd("STARTTLS"))
	cfg.InsecureSkipVerify = true
	conn := tls.Client(c.conn, cfg)
	if err := conn.Handshake(); err != nil {
		h.t.Fatal(err)
	}
	c.conn, c.r = conn, textproto.NewReader(bufio.NewReader(conn))
	c.want("250", c.cmd("EHLO c.test"))
	return c, conn.ConnectionState()
}

func TestClientCertificates(t *testing.T) {
	client := x509.Certificate{Subject: pkix.Name{CommonName: "joe@here.test"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	authorityOf := x509.Certificate{Subject: pkix.Name{CommonName: "Our (own) CA"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}
	authority, stranger := certificate(t, authorityOf, nil), certificate(t, authorityOf, nil)
	byMail, old, wrongUse := client, client, client
	byMail.Subject.CommonName, byMail.EmailAddresses = "Joe Doe", []string{"joe@here.test"}
	old.NotAfter = time.Now().Add(-time.Minute)
	wrongUse.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	nobody := client
	nobody.Subject.CommonName = "nobody@here.test"
	server := certificate(t, x509.Certificate{Subject: pkix.Name{CommonName: "mail.here.test"}, DNSNames: []string{"mail.here.test"}}, nil)
	for _, tc := range []struct {
		name           string
		cert           *tls.Certificate
		offered, right bool
		trace, trust   string
	}{
		{"common name", certificate(t, client, authority), true, true,
			`(Client CN "joe@here.test", Issuer "Our ?own? CA" (verified OK))`, "Trusted"},
		{"mail address", certificate(t, byMail, authority), true, true, `(Client CN "Joe Doe", Issuer`, "Trusted"},
		{"unknown user", certificate(t, nobody, authority), true, false, "", "Trusted"},
		{"no certificate", nil, false, false, "(Client did not present a certificate)", "Anonymous"},
		{"of another authority", certificate(t, client, stranger), false, false,
			`(Client CN "joe@here.test", Issuer "Our ?own? CA" (not verified))`, "Untrusted"},
		{"self-signed", certificate(t, client, nil), false, false, "(not verified)", "Untrusted"},
		{"out of date", certificate(t, old, authority), false, false, "(not verified)", "Untrusted"},
		{"of a server", certificate(t, wrongUse, authority), false, false, "(not verified)", "Untrusted"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tc.name+" "+tls.VersionName(version), func(t *testing.T) {
				h := tlsHouse(t, server, authority)
				cfg := &tls.Config{MaxVersion: version}
				if tc.cert != nil {
					// Even one that the server does not ask for.
					cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return tc.cert, nil }
				}
				c, _ := h.startTLS(cfg)
				if ehlo := c.cmd("EHLO c.test"); strings.Contains(ehlo, "EXTERNAL") != tc.offered {
					t.Errorf("EHLO gives %q", ehlo)
				}
				want := "535"
				if tc.right {
					want = "235"
				}
				c.want(want, c.cmd("AUTH EXTERNAL ="))
				if !tc.right {
					c.want("235", c.cmd("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00joe@here.test\x00secret"))))
				}
				c.want("250", c.send("joe@here.test", "From: joe@here.test\n\nx\n"))
				q := h.one()
				if all := strings.Join(q.lines, "\n"); !strings.Contains(all, tc.trace) {
					t.Errorf("no %s in\n%s", tc.trace, all)
				}
				if !strings.Contains(h.log.String(), tc.trust+" TLS connection established from") {
					t.Errorf("not %s in\n%s", tc.trust, h.log)
				}
			})
		}
	}
}

// TestResumedCertificate: a session that goes on with a ticket has the
// certificate of the one that it began with, checked again.
func TestResumedCertificate(t *testing.T) {
	authority := certificate(t, x509.Certificate{Subject: pkix.Name{CommonName: "CA"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	joes := certificate(t, x509.Certificate{Subject: pkix.Name{CommonName: "joe@here.test"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, authority)
	h := tlsHouse(t, authority, authority)
	cfg := &tls.Config{ServerName: "mail.here.test", Certificates: []tls.Certificate{*joes}, MaxVersion: tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	for _, resumed := range []bool{false, true} {
		c, state := h.startTLS(cfg)
		if state.DidResume != resumed {
			t.Fatalf("resumed: %v", state.DidResume)
		}
		c.want("235", c.cmd("AUTH EXTERNAL ="))
		peers := h.auth.Peers()
		if p := peers[len(peers)-1]; p.CertName != "joe@here.test" || (p.TLSEndpoint == nil) != resumed {
			t.Errorf("authd was told of %+v", p)
		}
	}
}

// TestEndpointBinding: the binding is the hash of what the client saw.
func TestEndpointBinding(t *testing.T) {
	server := certificate(t, x509.Certificate{Subject: pkix.Name{CommonName: "mail.here.test"}}, nil)
	for version, bound := range map[uint16]bool{tls.VersionTLS12: true, tls.VersionTLS13: false} {
		h := tlsHouse(t, server, server, "smtpd_tls_ask_ccert = no")
		c, state := h.startTLS(&tls.Config{MaxVersion: version})
		c.want("235", c.cmd("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00joe@here.test\x00secret"))))
		peers := h.auth.Peers()
		p := peers[len(peers)-1]
		sum := sha256.Sum256(state.PeerCertificates[0].Raw)
		if bytes.Equal(p.TLSEndpoint, sum[:]) != bound || (p.TLSExporter == nil) != bound || p.CertName != "" {
			t.Errorf("%s: authd was told of %+v", tls.VersionName(version), p)
		}
	}
}
