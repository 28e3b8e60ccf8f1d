package intake

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/tlskeys"
	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// setTLS reads the TLS level. Certificates and signatures come from tlsmgr.
func (srv *Server) setTLS() error {
	level := srv.TLSLevel
	if level == "" {
		switch {
		case srv.EnforceTLS:
			level = "encrypt"
		case srv.UseTLS || srv.Wrapper:
			level = "may"
		default:
			level = "none"
		}
	}
	protocols := srv.TLSProtocols
	switch level {
	case "none":
		if !srv.Wrapper {
			return nil
		}
	case "may":
	case "encrypt":
		protocols = srv.TLSMandatory
		srv.opts.TLSRequired = true
	default:
		return fmt.Errorf("smtpd_tls_security_level: unknown or unsupported level %q", level)
	}
	low, high, err := tlspolicy.ProtocolRange(protocols)
	if err != nil {
		return fmt.Errorf("smtpd_tls_protocols: %w", err)
	}
	srv.opts.TLSWrapper = srv.Wrapper
	keys := tlskeys.NewClient(ipc.NewPool(tlskeys.Endpoint, tlskeys.Timeout), "smtpd:"+srv.service)
	srv.opts.TLS = func(ctx context.Context, s *smtpserver.Session) (*tls.Config, error) {
		cfg, err := keys.Config(ctx, low, high)
		if err != nil {
			return nil, err
		}
		return srv.perSession(cfg, s), nil
	}
	return srv.openRoots()
}

// StartTLS limits how often a client may set up TLS.
func (h *Session) StartTLS(ctx context.Context, s *smtpserver.Session) status.Status {
	if h.rate(ctx, s, anvilclient.NewTLS, h.srv.NewTLSRate, "New TLS session") {
		s.Erred(transcript.Policy)
		return status.New(454, "4.7.0", "Error: too many new TLS sessions from "+s.Client.Addr)
	}
	return status.Status{}
}

// TLSDone follows the handshake. Nobody is logged in any more (RFC 3207 section
// 4.2).
func (h *Session) TLSDone(_ context.Context, s *smtpserver.Session, err error) {
	h.user = nil
	if err != nil || s.TLS == nil {
		return
	}
	if len(s.TLS.PeerCertificates) > 0 {
		err := h.srv.verifyClient(s.TLS)
		// As in Postfix, whose first level has the word Untrusted only.
		if err != nil && h.srv.TLSLog >= 2 {
			h.srv.log.Info("", "certificate verification failed for %s: %s", s.Peer(), printable.Text(err.Error()))
		}
		s.CertOK = err == nil
	}
	h.srv.demandCert(s)
}
