package intake

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
)

// openRoots reads who may vouch for client certificates. Without it none is
// believed: the authorities of the web do not know our users.
func (srv *Server) openRoots() error {
	if srv.ReqCert {
		srv.AskCert = true // Postfix: implies smtpd_tls_ask_ccert
		if !srv.opts.TLSRequired && !srv.Wrapper {
			srv.log.Warn("", "smtpd_tls_req_ccert has no effect unless TLS is required")
		}
	}
	if !srv.AskCert || srv.CAFile == "" && srv.CAPath == "" {
		return nil
	}
	roots := x509.NewCertPool()
	if err := tlspolicy.AddRoots(roots, "smtpd", srv.CAFile, srv.CAPath); err != nil {
		return err
	}
	srv.roots = roots
	return nil
}

// demandCert refuses a client without a good certificate where the site wants
// one (smtpd_tls_req_ccert): all that it can do is hear so.
func (srv *Server) demandCert(s *smtpserver.Session) {
	if !srv.ReqCert || s.CertOK || !srv.opts.TLSRequired && !srv.Wrapper {
		return
	}
	why := "Client certificate not trusted"
	if len(s.TLS.PeerCertificates) == 0 {
		why = "No client certificate presented"
	}
	srv.log.Info("", "NOQUEUE: abort: TLS from %s: %s", s.Peer(), why)
	s.Refused = status.New(421, "4.7.1", srv.Hostname+" Error: "+why)
}

// perSession makes a configuration for one session: it asks for the client's
// certificate where the site wants that, and notes which of ours it gets.
func (srv *Server) perSession(cfg *tls.Config, s *smtpserver.Session) *tls.Config {
	next := cfg.GetConfigForClient
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := next(hello)
		if err != nil {
			return nil, err
		}
		c = c.Clone()
		if srv.AskCert {
			// Who has none, or one that does not verify, is served all
			// the same, as in Postfix; TLSDone looks at it.
			c.ClientAuth = tls.RequestClientCert
		}
		certs := c.Certificates
		c.Certificates = nil
		c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			chosen := choose(certs, hello)
			if chosen == nil {
				return nil, errors.New("no server certificate")
			}
			s.OwnCert = chosen.Leaf
			return s.Signed.Watch(chosen), nil
		}
		return c, nil
	}
	return cfg
}

// choose takes the first certificate that the client can use, as crypto/tls
// does.
func choose(certs []tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	for i := range certs {
		if len(certs) == 1 || hello.SupportsCertificate(&certs[i]) == nil {
			return &certs[i]
		}
	}
	if len(certs) > 0 {
		return &certs[0]
	}
	return nil
}

// verifyClient checks the certificate that a client has shown. That it has the
// key is known from the handshake, or from the one that a resumed session began
// with.
func (srv *Server) verifyClient(state *tls.ConnectionState) error {
	if srv.roots == nil {
		return errors.New("smtpd_tls_CAfile and smtpd_tls_CApath are not set")
	}
	others := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		others.AddCert(c)
	}
	chains, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: srv.roots, Intermediates: others, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return err
	}
	for _, chain := range chains {
		if len(chain)-1 <= srv.CertDepth {
			return nil
		}
	}
	return fmt.Errorf("the chain is longer than smtpd_tls_ccert_verifydepth = %d", srv.CertDepth)
}

// certName is the login that a client certificate stands for: its one mail
// address, or its common name. A name that is not plain text is none.
func certName(c *x509.Certificate) string {
	name := c.Subject.CommonName
	if len(c.EmailAddresses) == 1 {
		name = c.EmailAddresses[0]
	}
	if len(name) > 255 || printable.ASCII(name) != name {
		return ""
	}
	return name
}

// endpoint is the channel binding tls-server-end-point (RFC 5929 4.1): the
// hash of our certificate, by the hash of its signature, SHA-256 in place of
// those that are too old. One whose signature has no single hash has none.
func endpoint(c *x509.Certificate) []byte {
	h := crypto.SHA256
	switch c.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		h = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		h = crypto.SHA512
	case x509.UnknownSignatureAlgorithm, x509.PureEd25519:
		return nil
	}
	sum := h.New()
	sum.Write(c.Raw)
	return sum.Sum(nil)
}

// certComment is what a Received header says about the client's certificate.
func (p *Params) certComment(s *smtpserver.Session) string {
	switch {
	case !p.AskCert:
		return "\t(No client certificate requested)"
	case len(s.TLS.PeerCertificates) == 0:
		return "\t(Client did not present a certificate)"
	}
	c := s.TLS.PeerCertificates[0]
	result := "not verified"
	if s.CertOK {
		result = "verified OK"
	}
	return fmt.Sprintf("\t(Client CN \"%s\", Issuer \"%s\" (%s))", certText(c.Subject.CommonName), certText(c.Issuer.CommonName), result)
}

// certText makes a name from a certificate fit for a comment with quotes.
func certText(name string) string {
	return comment(strings.ReplaceAll(printable.ASCII(name[:min(len(name), 100)]), `"`, "?"))
}
