package smtpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"os"

	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

func (s *Session) doStartTLS(ctx context.Context, args string) bool {
	if args != "" {
		return s.fail(501, "5.5.4", "Syntax: STARTTLS")
	}
	if s.opts.TLS == nil || !s.offers("STARTTLS") {
		return s.fail(502, "5.5.1", "Error: command not implemented")
	}
	if s.TLS != nil {
		return s.fail(554, "5.5.1", "Error: TLS already active")
	}
	if st := s.h.StartTLS(ctx, s); !st.IsZero() {
		return s.decide(st, 0, "", "")
	}
	cfg, err := s.opts.TLS(ctx, s)
	if err != nil {
		s.opts.Log.Warn("", "TLS not available for %s: %v", s.Peer(), err)
		return s.failAs(transcript.Software, 454, "4.7.0", "TLS not available due to local problem")
	}
	s.reset()
	s.say(220, false, "2.0.0 Ready to start TLS")
	if s.w.Flush() != nil {
		s.ioError(io.EOF)
		return false
	}
	return s.handshake(ctx, cfg)
}

// startTLS is the start of a session in wrapper mode.
func (s *Session) startTLS(ctx context.Context) bool {
	if s.opts.TLS == nil {
		s.opts.Log.Warn("", "TLS wrapper mode without TLS for %s", s.Peer())
		return false
	}
	if st := s.h.StartTLS(ctx, s); !st.IsZero() {
		return false
	}
	cfg, err := s.opts.TLS(ctx, s)
	if err != nil {
		s.opts.Log.Warn("", "TLS not available for %s: %v", s.Peer(), err)
		return false
	}
	return s.handshake(ctx, cfg)
}

// handshake turns TLS on. Afterwards nothing that the client said before
// counts (RFC 3207 section 4.2), least of all what it sent in the clear
// behind STARTTLS. When it fails, the connection is of no more use.
func (s *Session) handshake(ctx context.Context, cfg *tls.Config) bool {
	if n := s.r.Buffered(); n > 0 {
		s.opts.Log.Warn("", "discarding %d bytes of plaintext after STARTTLS from %s", n, s.Peer())
	}
	timeout, request := s.conn.timeout, s.conn.request
	s.conn.timeout, s.conn.request, s.conn.rate = s.opts.StartTLSTimeout, true, 0
	s.conn.begin()
	s.Signed = tlspolicy.Signature{}
	tc := tls.Server(s.conn, cfg)
	err := tc.HandshakeContext(ctx)
	s.conn.timeout, s.conn.request, s.conn.rate = timeout, request, s.opts.MinDataRate
	s.conn.begin()
	if err != nil {
		s.opts.Log.Info("", "SSL_accept error from %s: %s", s.Peer(), tlsReason(err))
		s.h.TLSDone(ctx, s, err)
		s.quit, s.reason = true, reasonLost
		return false
	}
	state := tc.ConnectionState()
	s.TLS, s.tlsConn = &state, tc
	s.w.Reset(tc)
	s.r.Reset(flushReader{s.w, tc})
	s.helo, s.esmtp, s.early = false, false, false
	s.Client.Helo, s.Client.Proto = "", ""
	s.forgetLogin()
	s.h.TLSDone(ctx, s, nil)
	if s.opts.TLSLog >= 1 {
		s.opts.Log.Info("", "%s TLS connection established from %s: %s", s.trust(), s.Peer(), tlspolicy.ServerSummary(&state, &s.Signed))
	}
	return true
}

// trust is Postfix's word for what is known about the client.
func (s *Session) trust() string {
	switch {
	case len(s.TLS.PeerCertificates) == 0:
		return "Anonymous"
	case s.CertOK:
		return "Trusted"
	}
	return "Untrusted"
}

// tlsReason keeps Go's own texts out of the two cases that logs are searched
// for.
func tlsReason(err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "Connection timed out"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "lost connection"
	}
	return err.Error()
}
