package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/tlskeys"
)

// Limits of a request.
const (
	maxRequest = 16 << 10
	patience   = 20 * time.Second
)

type params struct {
	Domains     []string `param:"autoconf_domains"`
	Host        string   `param:"autoconf_host"`
	IMAP        int      `param:"autoconf_imap_port"`
	IMAPS       int      `param:"autoconf_imaps_port"`
	POP3        int      `param:"autoconf_pop3_port"`
	POP3S       int      `param:"autoconf_pop3s_port"`
	Submission  int      `param:"autoconf_submission_port"`
	Submissions int      `param:"autoconf_submissions_port"`
	Wrapper     bool     `param:"smtpd_tls_wrappermode"`
}

type server struct {
	params
	log  *maillog.Logger
	keys *tlskeys.Client // nil without TLS
}

func prepare(env *service.Env) (*service.Hooks, error) {
	s := &server{log: env.Log}
	if err := env.Config.Fill(&s.params); err != nil {
		return nil, err
	}
	if s.Wrapper {
		s.keys = tlskeys.NewClient(ipc.NewPool(tlskeys.Endpoint, tlskeys.Timeout), "autoconf:"+env.Service)
	}
	return &service.Hooks{Session: s.session}, nil
}

// session answers one request.
func (s *server) session(ctx context.Context, conn net.Conn) error {
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	conn.SetDeadline(time.Now().Add(patience))
	peer := conn.RemoteAddr().String()
	if s.keys != nil {
		cfg, err := s.keys.Config(ctx, tls.VersionTLS12, 0)
		if err != nil {
			return fmt.Errorf("TLS for %s: %w", peer, err)
		}
		tc := tls.Server(conn, cfg)
		if err := tc.HandshakeContext(ctx); err != nil {
			s.log.Info("", "TLS handshake with %s: %s", peer, printable.Text(err.Error()))
			return nil
		}
		conn = tc
	}
	req, err := http.ReadRequest(bufio.NewReader(io.LimitReader(conn, maxRequest)))
	status, body := http.StatusBadRequest, ""
	if err == nil {
		status, body = s.answer(req)
		s.log.Info("", "%s: %s %s: %d", peer, shorten(printable.ASCII(req.Method)), shorten(printable.ASCII(req.URL.Path)), status)
	}
	kind := "text/plain; charset=utf-8"
	if status == http.StatusOK {
		kind = "text/xml; charset=utf-8"
	} else if body == "" {
		body = http.StatusText(status) + "\n"
	}
	_, err = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nCache-Control: no-store\r\n"+
		"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n", status, http.StatusText(status), kind, len(body))
	if err == nil && (req == nil || req.Method != http.MethodHead) {
		_, err = io.WriteString(conn, body)
	}
	if tc, ok := conn.(*tls.Conn); ok {
		tc.CloseWrite()
	}
	return err
}

func shorten(s string) string { return s[:min(len(s), 200)] }

// answer returns the status and the body of the reply.
func (s *server) answer(req *http.Request) (int, string) {
	path := strings.ToLower(req.URL.Path)
	switch path {
	case "/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml":
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			return http.StatusMethodNotAllowed, ""
		}
		domain, ok := s.domain(req.URL.Query().Get("emailaddress"), hostDomain(req.Host))
		if !ok {
			return http.StatusNotFound, ""
		}
		return http.StatusOK, s.thunderbird(domain)
	case "/autodiscover/autodiscover.xml":
		if req.Method != http.MethodPost {
			return http.StatusMethodNotAllowed, ""
		}
		addr, ok := postedAddress(req.Body)
		if !ok {
			return http.StatusBadRequest, ""
		}
		if _, ok := s.domain(addr, ""); !ok {
			return http.StatusNotFound, ""
		}
		return http.StatusOK, s.outlook(addr)
	}
	return http.StatusNotFound, ""
}

// hostDomain is the domain in autoconfig.DOMAIN.
func hostDomain(host string) string {
	host, _, _ = strings.Cut(host, ":")
	return strings.TrimPrefix(strings.ToLower(host), "autoconfig.")
}

// domain returns the domain of an address, or the fallback where there is no
// address, if it is one of ours.
func (s *server) domain(addr, fallback string) (string, bool) {
	d := fallback
	if addr != "" {
		if len(addr) > 320 || strings.ContainsFunc(addr, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return "", false
		}
		d = address.Domain(addr)
	}
	for _, own := range s.Domains {
		if strings.EqualFold(own, d) {
			return strings.ToLower(own), true
		}
	}
	return "", false
}

// postedAddress reads Outlook's request.
func postedAddress(body io.Reader) (string, bool) {
	var req struct {
		Request struct {
			EMailAddress string
		}
	}
	text, err := io.ReadAll(io.LimitReader(body, maxRequest))
	if err != nil || xml.Unmarshal(text, &req) != nil {
		return "", false
	}
	addr := strings.TrimSpace(req.Request.EMailAddress)
	return addr, addr != ""
}

// access is one way to reach a server.
type access struct {
	kind   string // imap, pop3, smtp
	port   int
	socket string // SSL or STARTTLS
}

// ways lists what the site offers; port 0 is not offered. TLS from the start
// comes first, since it leaves nothing to be stripped.
func (s *server) ways() []access {
	var list []access
	for _, a := range []access{{"imap", s.IMAPS, "SSL"}, {"imap", s.IMAP, "STARTTLS"}, {"pop3", s.POP3S, "SSL"}, {"pop3", s.POP3, "STARTTLS"},
		{"smtp", s.Submissions, "SSL"}, {"smtp", s.Submission, "STARTTLS"}} {
		if a.port != 0 {
			list = append(list, a)
		}
	}
	return list
}

func escape(s string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(s)) // a buffer takes everything
	return b.String()
}

// thunderbird is a clientConfig document, version 1.1.
func (s *server) thunderbird(domain string) string {
	var b strings.Builder
	d := escape(domain)
	fmt.Fprintf(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n  <emailProvider id=\"%s\">\n"+
		"    <domain>%s</domain>\n    <displayName>%s</displayName>\n    <displayShortName>%s</displayShortName>\n", d, d, d, d)
	for _, a := range s.ways() {
		tag := "incomingServer"
		if a.kind == "smtp" {
			tag = "outgoingServer"
		}
		fmt.Fprintf(&b, "    <%s type=\"%s\">\n      <hostname>%s</hostname>\n      <port>%d</port>\n      <socketType>%s</socketType>\n"+
			"      <authentication>password-cleartext</authentication>\n      <username>%%EMAILADDRESS%%</username>\n    </%s>\n",
			tag, a.kind, escape(s.Host), a.port, a.socket, tag)
	}
	b.WriteString("  </emailProvider>\n</clientConfig>\n")
	return b.String()
}

// outlook is an Autodiscover response.
func (s *server) outlook(addr string) string {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n" +
		"<Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">\n" +
		"  <Response xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a\">\n" +
		"    <Account>\n      <AccountType>email</AccountType>\n      <Action>settings</Action>\n")
	seen := map[string]bool{}
	for _, a := range s.ways() {
		if seen[a.kind] {
			continue // it takes one of a kind
		}
		seen[a.kind] = true
		encryption := map[string]string{"SSL": "SSL", "STARTTLS": "TLS"}[a.socket]
		fmt.Fprintf(&b, "      <Protocol>\n        <Type>%s</Type>\n        <Server>%s</Server>\n        <Port>%d</Port>\n"+
			"        <DomainRequired>off</DomainRequired>\n        <LoginName>%s</LoginName>\n        <SPA>off</SPA>\n        <SSL>on</SSL>\n"+
			"        <Encryption>%s</Encryption>\n        <AuthRequired>on</AuthRequired>\n      </Protocol>\n",
			strings.ToUpper(a.kind), escape(s.Host), a.port, escape(addr), encryption)
	}
	b.WriteString("    </Account>\n  </Response>\n</Autodiscover>\n")
	return b.String()
}
