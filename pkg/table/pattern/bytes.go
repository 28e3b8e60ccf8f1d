package pattern

import "strings"

// highBase is where bytes above 0x7f go when text is given to an engine that
// works on characters. In this private range no character is a letter or has
// another case, which is what the C locale says about such bytes. Without
// it, every invalid byte would look like every other one.
const highBase = 0xE000

// Widen maps each byte of s to one character.
func Widen(s string) string {
	i := 0
	for i < len(s) && s[i] < 0x80 {
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(3 * len(s))
	for i := 0; i < len(s); i++ {
		b.WriteRune(WidenByte(s[i]))
	}
	return b.String()
}

// WidenByte maps one byte to a character.
func WidenByte(c byte) rune {
	if c < 0x80 {
		return rune(c)
	}
	return highBase + rune(c)
}

// Narrow is the reverse of [Widen].
func Narrow(s string) string {
	i := 0
	for i < len(s) && s[i] < 0x80 {
		i++
	}
	if i == len(s) {
		return s
	}
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r >= highBase+0x80 && r <= highBase+0xff {
			r -= highBase
		}
		b = append(b, byte(r))
	}
	return string(b)
}
