package smtpserver

import (
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Limits for DSN parameters, RFC 3461 sections 4.2 and 4.4; Postfix's are the
// line limit.
const maxParam = 1000

// decodeXtext decodes RFC 3461 section 4 xtext. Encoded control characters
// are refused: they would reach queue files, notices and logs.
func decodeXtext(s string, utf8ok bool) (string, bool) {
	if len(s) > maxParam {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := hex(s[i+1]), hex(s[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			c = byte(hi<<4 | lo)
			i += 2
			if c < ' ' || c == 0x7f {
				return "", false
			}
		case c <= ' ' || c == 0x7f || c >= 0x80 && !utf8ok:
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// cutFold is strings.CutPrefix without regard to case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return "", false
}

// mailParams reads the parameters of MAIL. A zero status is success.
func (s *Session) mailParams(args []string, m *Mail) status.Status {
	for _, arg := range args {
		if st := s.mailParam(arg, m); !st.IsZero() {
			return st
		}
	}
	if m.VERP != "" && m.Address == "" {
		return status.New(503, "5.5.4", "Error: XVERP requires non-null sender")
	}
	return status.Status{}
}

func (s *Session) mailParam(arg string, m *Mail) status.Status {
	if v, ok := cutFold(arg, "BODY="); ok && s.offers("8BITMIME") {
		switch {
		case strings.EqualFold(v, "8BITMIME"):
			m.Encoding = envelope.Encoding8bit
			return status.Status{}
		case strings.EqualFold(v, "7BIT"):
			m.Encoding = envelope.Encoding7bit
			return status.Status{}
		}
	}
	if v, ok := cutFold(arg, "SIZE="); ok {
		return s.sizeParam(v, m)
	}
	if strings.EqualFold(arg, "SMTPUTF8") && s.opts.UTF8 {
		m.UTF8 = true
		return status.Status{}
	}
	if v, ok := cutFold(arg, "AUTH="); ok {
		return s.authParam(v, m)
	}
	if strings.EqualFold(arg, "REQUIRETLS") && s.opts.RequireTLS && s.offers("REQUIRETLS") {
		return s.requireTLS(m)
	}
	if st, ok := s.verpMail(arg, m); ok {
		return st
	}
	if st, ok := s.laterMail(arg, m); ok {
		return st
	}
	if s.offers("DSN") {
		if st, ok := s.dsnMail(arg, m); ok {
			return st
		}
	}
	return unsupported(arg)
}

// requireTLS takes the wish that the message goes on by TLS only. Where it came
// in clear there is nothing left to protect (RFC 8689 section 2).
func (s *Session) requireTLS(m *Mail) status.Status {
	if s.TLS == nil {
		return status.New(530, "5.7.10", "Error: REQUIRETLS needs TLS")
	}
	m.TLS = envelope.TLSRequired
	return status.Status{}
}

func unsupported(arg string) status.Status {
	return status.New(555, "5.5.4", "Unsupported option: "+arg)
}

// sizeParam reads the SIZE parameter (RFC 1870). A number that does not fit
// in 64 bits is too big, not malformed.
func (s *Session) sizeParam(v string, m *Mail) status.Status {
	if v == "" || strings.Trim(v, "0123456789") != "" {
		return status.New(501, "5.5.4", "Bad message size syntax")
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return status.New(552, "5.3.4", "Message size exceeds file system imposed limit")
	}
	m.Size = n
	return status.Status{}
}

// authParam reads the AUTH parameter (RFC 4954 section 5), which names who
// submitted the message. From a client that has not logged in, the value
// counts as <>.
func (s *Session) authParam(v string, m *Mail) status.Status {
	plain, ok := decodeXtext(v, s.opts.UTF8)
	if !ok || plain == "" {
		return status.New(501, "5.5.4", "Bad AUTH parameter syntax")
	}
	if m.Auth != "" {
		return status.New(503, "5.5.4", "Error: multiple AUTH= options")
	}
	m.Auth = "<>"
	if s.Authenticated() {
		m.Auth = plain
	}
	return status.Status{}
}

// verpMail reads XVERP, which asks for a sender address of its own for each
// recipient. ok is false for another parameter.
func (s *Session) verpMail(arg string, m *Mail) (st status.Status, ok bool) {
	if !s.MayVERP || !s.offers("XVERP") {
		return st, false
	}
	if strings.EqualFold(arg, "XVERP") {
		m.VERP = s.opts.VERPDelims
		return st, true
	}
	v, ok := cutFold(arg, "XVERP=")
	if !ok {
		return st, false
	}
	if !envelope.ValidVERP(v, s.opts.VERPFilter) {
		return status.New(501, "5.5.4", "Error: XVERP needs two characters from "+s.opts.VERPFilter), true
	}
	m.VERP = v
	return st, true
}

// dsnMail reads RET and ENVID (RFC 3461 sections 4.3, 4.4). ok is false for
// another parameter.
func (s *Session) dsnMail(arg string, m *Mail) (st status.Status, ok bool) {
	if v, ok := cutFold(arg, "RET="); ok {
		switch {
		case m.Ret != envelope.RetNone:
		case strings.EqualFold(v, "FULL"):
			m.Ret = envelope.RetFull
			return st, true
		case strings.EqualFold(v, "HDRS"):
			m.Ret = envelope.RetHdrs
			return st, true
		}
		return status.New(501, "5.5.4", "Bad RET parameter syntax"), true
	}
	if v, ok := cutFold(arg, "ENVID="); ok {
		if plain, good := decodeXtext(v, false); m.EnvID != "" || !good || plain == "" {
			return status.New(501, "5.5.4", "Bad ENVID parameter syntax"), true
		}
		m.EnvID = v
		return st, true
	}
	return st, false
}

// rcptParams reads the parameters of RCPT.
func (s *Session) rcptParams(args []string, r *Rcpt) status.Status {
	for _, arg := range args {
		if !s.offers("DSN") {
			return unsupported(arg)
		}
		if v, ok := cutFold(arg, "NOTIFY="); ok {
			n, good := envelope.ParseNotify(v)
			if !good || r.Notify != envelope.NotifyNone {
				return status.New(501, "5.5.4", "Error: Bad NOTIFY parameter syntax")
			}
			r.Notify = n
			continue
		}
		v, ok := cutFold(arg, "ORCPT=")
		if !ok {
			return unsupported(arg)
		}
		orcpt, good := parseOrcpt(v, s.mail.UTF8)
		if !good || r.DSNOrcpt != "" {
			return status.New(501, "5.5.4", "Error: Bad ORCPT parameter syntax")
		}
		r.DSNOrcpt = orcpt
	}
	return status.Status{}
}

// parseOrcpt reads "rfc822;xtext" or "utf-8;address" (RFC 6533 3) and returns it
// decoded.
func parseOrcpt(v string, utf8ok bool) (string, bool) {
	kind, coded, ok := strings.Cut(v, ";")
	if !ok || kind == "" || strings.Trim(kind, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		return "", false
	}
	plain, ok := "", false
	if envelope.IsUTF8Type(kind) {
		if len(coded) <= maxParam && (utf8ok || envelope.IsASCII(coded)) {
			plain, ok = envelope.DecodeUTF8Address(coded)
		}
	} else {
		plain, ok = decodeXtext(coded, utf8ok)
	}
	if !ok || plain == "" {
		return "", false
	}
	return kind + ";" + plain, true
}
