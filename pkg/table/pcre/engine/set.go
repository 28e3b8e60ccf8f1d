package engine

import (
	"strings"
	"unicode"
)

// set is a set of characters.
type set struct {
	bits     [4]uint64 // of those below 256
	pairs    []rune    // what is written, whose case may not count
	fixed    []rune    // what escapes stand for
	props    []prop
	negate   bool
	caseless bool
	unicode  bool // of cases
}

// prop is a property that a character has, or has not.
type prop struct {
	has    func(r rune) bool
	negate bool
}

func (s *set) add(lo, hi rune)    { s.pairs = append(s.pairs, lo, hi) }
func (s *set) addFix(list []rune) { s.fixed = append(s.fixed, list...) }

// done computes the table of small characters.
func (s *set) done() *set {
	for r := rune(0); r < 256; r++ {
		if s.search(r) != s.negate {
			s.bits[r>>6] |= 1 << (r & 63)
		}
	}
	return s
}

func (s *set) has(r rune) bool {
	if r < 256 {
		return s.bits[r>>6]>>(r&63)&1 != 0
	}
	return s.search(r) != s.negate
}

func (s *set) search(r rune) bool {
	if inPairs(s.pairs, r) || inPairs(s.fixed, r) {
		return true
	}
	if s.caseless {
		for f := otherCase(r, s.unicode); f != r; f = otherCase(f, s.unicode) {
			if inPairs(s.pairs, f) {
				return true
			}
		}
	}
	for _, p := range s.props {
		if p.has(r) != p.negate {
			return true
		}
	}
	return false
}

func inPairs(pairs []rune, r rune) bool {
	for i := 0; i+1 < len(pairs); i += 2 {
		if r >= pairs[i] && r <= pairs[i+1] {
			return true
		}
	}
	return false
}

// otherCase is the next of the characters that differ in case only.
func otherCase(r rune, all bool) rune {
	if all {
		return unicode.SimpleFold(r)
	}
	switch {
	case r >= 'a' && r <= 'z':
		return r - 0x20
	case r >= 'A' && r <= 'Z':
		return r + 0x20
	}
	return r
}

func sameFold(a, b rune, all bool) bool {
	if a == b {
		return true
	}
	for f := otherCase(a, all); f != a; f = otherCase(f, all) {
		if f == b {
			return true
		}
	}
	return false
}

var (
	digits     = []rune{'0', '9'}
	words      = []rune{'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}
	spaces     = []rune{'\t', '\r', ' ', ' '}
	horizontal = []rune{'\t', '\t', ' ', ' ', 0xa0, 0xa0, 0x1680, 0x1680, 0x180e, 0x180e, 0x2000, 0x200a, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000}
	vertical   = []rune{'\n', '\r', 0x85, 0x85, 0x2028, 0x2029}
)

// complement returns what is not in a sorted list of pairs.
func complement(pairs []rune) []rune {
	var out []rune
	next := rune(0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] > next {
			out = append(out, next, pairs[i]-1)
		}
		next = pairs[i+1] + 1
	}
	return append(out, next, unicode.MaxRune)
}

// typeEscape adds what \d and its like stand for, and reports whether a letter
// is one of them.
func (s *set) typeEscape(c byte, ucp bool) bool {
	upper := c >= 'A' && c <= 'Z'
	var list []rune
	var has func(rune) bool
	switch c | 0x20 {
	case 'd':
		list, has = digits, func(r rune) bool { return unicode.Is(unicode.Nd, r) }
	case 'w':
		list, has = words, isWordUnicode
	case 's':
		list, has = spaces, isSpaceUnicode
	case 'h':
		list = horizontal
	case 'v':
		list = vertical
	default:
		return false
	}
	switch {
	case ucp && has != nil:
		s.props = append(s.props, prop{has, upper})
	case upper:
		s.addFix(complement(list))
	default:
		s.addFix(list)
	}
	return true
}

func isWordUnicode(r rune) bool { return r == '_' || unicode.In(r, unicode.L, unicode.N) }
func isSpaceUnicode(r rune) bool {
	return unicode.Is(unicode.Z, r) || inPairs(spaces, r) || r == 0x85 || r == 0x180e
}

// property finds what \p{name} stands for.
func property(name string) (func(r rune) bool, bool) {
	plain := strings.Map(func(r rune) rune {
		if r == ' ' || r == '_' || r == '-' {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
	for _, script := range []string{"script", "sc", "scriptextensions", "scx"} {
		if after, ok := strings.CutPrefix(plain, script); ok && (after[:min(1, len(after))] == "=" || after[:min(1, len(after))] == ":") {
			return scriptOf(after[1:])
		}
	}
	switch plain {
	case "any":
		return func(rune) bool { return true }, true
	case "l&", "lc":
		return func(r rune) bool { return unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt) }, true
	case "xan":
		return func(r rune) bool { return unicode.In(r, unicode.L, unicode.N) }, true
	case "xwd":
		return isWordUnicode, true
	case "xsp", "xps":
		return isSpaceUnicode, true
	case "xuc":
		return func(r rune) bool {
			return r == '$' || r == '@' || r == '`' || r >= 0xa0 && r <= 0xd7ff || r >= 0xe000
		}, true
	case "c": // with what is not assigned
		return func(r rune) bool { return unicode.Is(unicode.C, r) || !assigned(r) }, true
	case "cn":
		return func(r rune) bool { return !assigned(r) }, true
	}
	for n, t := range unicode.Categories {
		if plain == strings.ToLower(n) {
			return func(r rune) bool { return unicode.Is(t, r) }, true
		}
	}
	return scriptOf(plain)
}

// scriptOf finds a script by its name or, for the common ones, its four letters.
func scriptOf(plain string) (func(r rune) bool, bool) {
	short := map[string]string{"latn": "latin", "grek": "greek", "cyrl": "cyrillic", "hebr": "hebrew", "arab": "arabic", "hani": "han", "hira": "hiragana", "kana": "katakana",
		"hang": "hangul", "armn": "armenian", "geor": "georgian", "deva": "devanagari", "beng": "bengali", "taml": "tamil", "mong": "mongolian", "zyyy": "common", "zinh": "inherited"}
	if long := short[plain]; long != "" {
		plain = long
	}
	for n, t := range unicode.Scripts {
		if plain == strings.ToLower(strings.ReplaceAll(n, "_", "")) {
			return func(r rune) bool { return unicode.Is(t, r) }, true
		}
	}
	return nil, false
}

func assigned(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs)
}

// posix are the POSIX classes, of ASCII.
func posix(name string) []rune {
	switch name {
	case "alpha":
		return []rune{'A', 'Z', 'a', 'z'}
	case "digit":
		return digits
	case "alnum":
		return []rune{'0', '9', 'A', 'Z', 'a', 'z'}
	case "upper":
		return []rune{'A', 'Z'}
	case "lower":
		return []rune{'a', 'z'}
	case "space":
		return spaces
	case "blank":
		return []rune{'\t', '\t', ' ', ' '}
	case "punct":
		return []rune{'!', '/', ':', '@', '[', '`', '{', '~'}
	case "print":
		return []rune{' ', '~'}
	case "graph":
		return []rune{'!', '~'}
	case "cntrl":
		return []rune{0, 0x1f, 0x7f, 0x7f}
	case "xdigit":
		return []rune{'0', '9', 'A', 'F', 'a', 'f'}
	case "word":
		return words
	case "ascii":
		return []rune{0, 0x7f}
	}
	return nil
}

// posixUnicode is the property that (*UCP) gives a POSIX class, if any.
func posixUnicode(name string) (func(r rune) bool, bool) {
	switch name {
	case "alpha":
		return unicode.IsLetter, true
	case "digit":
		return unicode.IsDigit, true
	case "alnum":
		return property("Xan")
	case "upper":
		return func(r rune) bool { return unicode.Is(unicode.Lu, r) }, true
	case "lower":
		return func(r rune) bool { return unicode.Is(unicode.Ll, r) }, true
	case "space":
		return isSpaceUnicode, true
	case "word":
		return isWordUnicode, true
	case "blank":
		return func(r rune) bool { return inPairs(horizontal, r) }, true
	case "cntrl":
		return func(r rune) bool { return unicode.Is(unicode.Cc, r) }, true
	case "punct":
		return func(r rune) bool { return unicode.Is(unicode.P, r) || r < 0x80 && unicode.Is(unicode.S, r) }, true
	}
	return nil, false
}
