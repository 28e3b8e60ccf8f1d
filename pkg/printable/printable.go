// Package printable makes untrusted text safe to show: in a log line, in an
// SMTP reply, in mailq output or in a notice. Text from the network, from a
// user or from a sibling process passes through here before it is shown, so
// that it can neither end a line nor drive a terminal.
package printable

import (
	"strings"
	"unicode/utf8"
)

// MaxText is the length in bytes to which [Text] cuts what it is given. It is
// well above the longest legal address and below what syslog carries.
const MaxText = 2000

// Text returns s with each control character, DEL and invalid UTF-8 byte
// replaced by '?', cut to [MaxText] bytes. Valid UTF-8 text is kept, except
// for the characters that reorder or hide other text.
func Text(s string) string { return cut(replace(s, true), MaxText) }

// ASCII is like [Text] but replaces each byte outside of printable US-ASCII.
// SMTP replies to a client that did not ask for SMTPUTF8 use it.
func ASCII(s string) string { return cut(replace(s, false), MaxText) }

// IsText reports whether s would pass through [Text] unchanged.
func IsText(s string) bool { return len(s) <= MaxText && clean(s, true) }

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

func clean(s string, utf8ok bool) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if !utf8ok || hidden(r, size) {
			return false
		}
		i += size
	}
	return true
}

func replace(s string, utf8ok bool) string {
	if clean(s, utf8ok) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				c = '?'
			}
			b.WriteByte(c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if !utf8ok || hidden(r, size) {
			b.WriteByte('?')
		} else {
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// hidden reports runes that must not be shown: invalid bytes, C1 controls,
// line and paragraph separators, and the bidirectional and zero-width
// controls with which a name can be made to look like another.
func hidden(r rune, size int) bool {
	switch {
	case r == utf8.RuneError && size == 1:
		return true
	case r < 0xa0:
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e:
		return true
	case r >= 0x2060 && r <= 0x206f, r == 0xfeff:
		return true
	}
	return false
}
