package address

import (
	"fmt"
	"net/netip"
	"strings"
)

// Path is an SMTP reverse-path or forward-path that was taken apart.
type Path struct {
	Route   string // source route, "@a,@b", or ""
	Address string // internal form; "" is the null path
	Text    string // external form, as it was between the brackets, without the route
}

// ParsePath reads the path of a MAIL or RCPT command, "<local@domain>", and
// returns what follows it. It also takes an address without brackets, as
// clients in use send it; a caller that must refuse those (strict_rfc821_envelopes)
// looks at the first byte of s itself.
func ParsePath(s string) (p Path, rest string, err error) {
	if len(s) > 4*MaxLength {
		return Path{}, "", fmt.Errorf("%w: over %d bytes", ErrSyntax, 4*MaxLength)
	}
	bracket := strings.HasPrefix(s, "<")
	if bracket {
		s = s[1:]
		if strings.HasPrefix(s, "@") {
			route, after, ok := cutRoute(s)
			if !ok {
				return Path{}, "", fmt.Errorf("%w: bad source route", ErrSyntax)
			}
			p.Route, s = route, after
		}
	}
	n := scanMailbox(s, bracket)
	p.Text = s[:n]
	rest = s[n:]
	if bracket {
		if !strings.HasPrefix(rest, ">") {
			return Path{}, "", fmt.Errorf("%w: no closing '>'", ErrSyntax)
		}
		rest = rest[1:]
	} else if p.Text == "" {
		return Path{}, "", fmt.Errorf("%w: empty", ErrSyntax)
	}
	if rest != "" && rest[0] != ' ' {
		return Path{}, "", fmt.Errorf("%w: text after the address", ErrSyntax)
	}
	if p.Text == "" && p.Route != "" {
		return Path{}, "", fmt.Errorf("%w: source route without address", ErrSyntax)
	}
	if p.Text != "" {
		p.Address, err = Parse(p.Text)
	}
	return p, rest, err
}

// cutRoute cuts "@a,@b:rest".
func cutRoute(s string) (route, rest string, ok bool) {
	i := strings.IndexByte(s, ':')
	if i < 0 {
		return "", "", false
	}
	for _, hop := range strings.Split(s[:i], ",") {
		if len(hop) < 2 || hop[0] != '@' || strings.ContainsAny(hop[1:], " <>\"\\@") {
			return "", "", false
		}
	}
	return s[:i], s[i+1:], true
}

// scanMailbox returns the length of the mailbox at the start of s: to the
// first '>' (in brackets) or blank that is not quoted.
func scanMailbox(s string, bracket bool) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '>' && bracket, c == ' ' && !bracket:
			return i
		}
	}
	return len(s)
}

// Parse reads one mailbox in external form, such as local@domain,
// "a b"@domain or local alone, and returns its internal form. It refuses
// control characters, comments, blanks outside of quotes and unbalanced
// quotes; it does not ask whether the domain is a legal host name.
func Parse(s string) (string, error) {
	if s == "" || len(s) > MaxLength {
		return "", fmt.Errorf("%w: empty or over %d bytes", ErrSyntax, MaxLength)
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return "", fmt.Errorf("%w: control character", ErrSyntax)
		}
	}
	local, n, err := parseLocal(s)
	if err != nil {
		return "", err
	}
	if n == len(s) {
		// Without its quotes, what is behind an '@' is a domain to all others.
		if err := checkDomainText(Domain(local)); err != nil {
			return "", err
		}
		return local, nil
	}
	domain := s[n+1:]
	if err := checkDomainText(domain); err != nil {
		return "", err
	}
	return local + "@" + domain, nil
}

// parseLocal reads the local part: a sequence of atoms, dots and quoted
// strings. It is wider than Dot-string, since addresses such as "a..b@c" are
// in use; '@' outside of quotes belongs to it if another one follows, which
// resolving then judges.
func parseLocal(s string) (local string, n int, err error) {
	end := lastAt(s)
	if end < 0 {
		end = len(s)
	}
	b := make([]byte, 0, end)
	quoted := false
	for i := 0; i < end; i++ {
		c := s[i]
		switch {
		case c == '\\':
			i++
			if i >= end {
				return "", 0, fmt.Errorf("%w: backslash at the end", ErrSyntax)
			}
			b = append(b, s[i])
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '<' || c == '>' || c == '(' || c == ')' || c == ',' || c == ';' || c == '[' || c == ']'):
			return "", 0, fmt.Errorf("%w: %q in local part", ErrSyntax, c)
		default:
			b = append(b, c)
		}
	}
	if quoted {
		return "", 0, fmt.Errorf("%w: unbalanced quote", ErrSyntax)
	}
	return string(b), end, nil
}

// lastAt finds the last '@' outside of quotes, or -1.
func lastAt(s string) int {
	at, quoted := -1, false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case '@':
			if !quoted {
				at = i
			}
		}
	}
	return at
}

func checkDomainText(domain string) error {
	if strings.HasPrefix(domain, "[") {
		if len(domain) < 3 || domain[len(domain)-1] != ']' || strings.ContainsAny(domain[1:len(domain)-1], "[]\\ \"<>()") {
			return fmt.Errorf("%w: bad domain literal", ErrSyntax)
		}
		return nil
	}
	if strings.ContainsAny(domain, " \"\\<>(),;:[]@") {
		return fmt.Errorf("%w: bad character in domain", ErrSyntax)
	}
	return nil
}

// ParseLiteral reads a domain literal with an IP address (RFC 5321 4.1.3):
// "[192.0.2.1]" or "[IPv6:2001:db8::1]".
func ParseLiteral(domain string) (netip.Addr, bool) {
	if len(domain) < 3 || domain[0] != '[' || domain[len(domain)-1] != ']' {
		return netip.Addr{}, false
	}
	text := domain[1 : len(domain)-1]
	v6 := len(text) > 5 && strings.EqualFold(text[:5], "IPv6:")
	if v6 {
		text = text[5:]
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.Is6() != v6 {
		return netip.Addr{}, false
	}
	return a, true
}
