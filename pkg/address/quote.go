package address

import "strings"

// Quote returns an address in external form: the local part becomes a quoted
// string where it is not a dot-atom (RFC 5321 4.1.2). UTF-8 is atom text (RFC
// 6531 3.3). The domain is kept as it is.
//
// A source route in front, "@a,@b:", is kept as it is too, and an address
// that is nothing but a domain gets an empty quoted string.
func Quote(addr string) string {
	route := ""
	if strings.HasPrefix(addr, "@") {
		i := strings.IndexByte(addr, ':') + 1
		route, addr = addr[:i], addr[i:]
	}
	i := strings.LastIndexByte(addr, '@')
	if i < 0 {
		return route + QuoteLocal(addr)
	}
	if i == 0 {
		return route + `""` + addr
	}
	return route + QuoteLocal(addr[:i]) + addr[i:]
}

// QuoteLocal returns a local part in external form. The empty local part
// stays empty, so that the null address does.
func QuoteLocal(local string) string {
	if local == "" || isDotAtom(local) {
		return local
	}
	var b strings.Builder
	b.Grow(len(local) + 4)
	b.WriteByte('"')
	for i := 0; i < len(local); i++ {
		// RFC 5322 3.2.4: what qtext cannot hold becomes a quoted pair.
		if c := local[i]; c == '"' || c == '\\' || c == '\r' {
			b.WriteByte('\\')
		}
		b.WriteByte(local[i])
	}
	b.WriteByte('"')
	return b.String()
}

// Unquote returns an address in internal form. Text that is not well formed
// comes out with its quotes removed all the same, never longer than it was.
func Unquote(addr string) string {
	if strings.IndexByte(addr, '"') < 0 && strings.IndexByte(addr, '\\') < 0 {
		return addr
	}
	b := make([]byte, 0, len(addr))
	for i := 0; i < len(addr); i++ {
		switch c := addr[i]; {
		case c == '\\' && i+1 < len(addr):
			i++
			b = append(b, addr[i])
		case c != '"' && c != '\\':
			b = append(b, c)
		}
	}
	return string(b)
}

// isDotAtom reports whether s is atoms joined by single dots (RFC 5321 4.1.2
// Dot-string).
func isDotAtom(s string) bool {
	prev := byte('.')
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '.' && prev == '.' || c != '.' && !isAtext(c) {
			return false
		}
		prev = c
	}
	return prev != '.'
}

// isAtext reports bytes that an atom may have, UTF-8 included.
func isAtext(c byte) bool {
	return c > ' ' && c != 0x7f && !isSpecial(c)
}

// isSpecial reports the specials of RFC 5322 3.2.3.
func isSpecial(c byte) bool {
	switch c {
	case '(', ')', '<', '>', '@', ',', ';', ':', '\\', '"', '.', '[', ']':
		return true
	}
	return false
}

// Phrase writes a name as in a header: as it is where it is a list of atoms,
// quoted where not (RFC 5322 3.2.5).
func Phrase(name string) string {
	for _, word := range strings.Fields(name) {
		if QuoteLocal(word) != word || strings.Contains(word, ".") {
			return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
		}
	}
	return name
}
