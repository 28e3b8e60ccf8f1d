// Package mutf7 converts mailbox names between UTF-8 and the modified UTF-7 of
// RFC 3501 5.1.3.
package mutf7

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrInvalid reports text that is not modified UTF-7, or not in its one
// permitted form.
var ErrInvalid = errors.New("invalid modified UTF-7")

// alphabet is base64 with "," for "/" and without padding.
var alphabet = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

func direct(c byte) bool { return c >= 0x20 && c <= 0x7e }

// Encode returns s in modified UTF-7. Bytes that are not UTF-8 become U+FFFD.
func Encode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		if c := s[i]; direct(c) {
			b.WriteByte(c)
			if c == '&' {
				b.WriteByte('-')
			}
			i++
			continue
		}
		end := i
		for end < len(s) && !direct(s[end]) {
			end++
		}
		var raw []byte
		for _, u := range utf16.Encode([]rune(s[i:end])) {
			raw = append(raw, byte(u>>8), byte(u))
		}
		b.WriteString("&" + alphabet.EncodeToString(raw) + "-")
		i = end
	}
	return b.String()
}

// Decode returns the UTF-8 form of s, and ErrInvalid unless s is exactly what
// [Encode] makes of it: RFC 3501 5.1.3 forbids other forms, by which one
// mailbox would have two names.
func Decode(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); {
		c := s[i]
		if !direct(c) {
			return "", ErrInvalid
		}
		if c != '&' {
			b.WriteByte(c)
			i++
			continue
		}
		n := strings.IndexByte(s[i:], '-')
		if n < 0 {
			return "", ErrInvalid
		}
		if n == 1 {
			b.WriteByte('&')
		} else if err := shifted(&b, s[i+1:i+n]); err != nil {
			return "", err
		}
		i += n + 1
	}
	if out := b.String(); Encode(out) == s {
		return out, nil
	}
	return "", ErrInvalid
}

func shifted(b *strings.Builder, s string) error {
	raw, err := alphabet.DecodeString(s)
	if err != nil || len(raw)%2 != 0 {
		return ErrInvalid
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	for _, r := range utf16.Decode(units) {
		if r == utf8.RuneError {
			return ErrInvalid
		}
		b.WriteRune(r)
	}
	return nil
}
