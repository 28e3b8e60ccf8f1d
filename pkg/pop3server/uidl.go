package pop3server

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// MaxUIDL is the length of a unique id (RFC 1939 7).
const MaxUIDL = 70

// Identity is what unique ids are made of.
type Identity struct {
	UID, Validity uint32
	Base          string // of the file's name
	GUID          [16]byte
}

// Format makes unique ids in the notation of Dovecot's pop3_uidl_format, so
// that a site keeps those that its clients know: "%08Xu%08Xv", or
// "%{uid | hex(8)}%{uidvalidity | hex(8)}". %u is the UID, %v the UIDVALIDITY,
// %f the base name of the file and %g the GUID.
type Format struct{ parts []part }

// part is a text, or a value with the way to write it.
type part struct {
	text  string
	value byte // u, v, f, g; 0 for a text
	hex   bool
	width int
}

// ParseFormat reads a format. One that could give two messages the same id is
// refused.
func ParseFormat(text string) (*Format, error) {
	f := &Format{}
	unique := false
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "%")
		if before != "" {
			f.parts = append(f.parts, part{text: before})
		}
		if !found {
			break
		}
		p, left, err := parsePart(after)
		if err != nil {
			return nil, fmt.Errorf("pop3_uidl_format %q: %w", text, err)
		}
		unique = unique || p.value != 0 && p.value != 'v'
		f.parts = append(f.parts, p)
		rest = left
	}
	if !unique {
		return nil, fmt.Errorf("pop3_uidl_format %q: has neither UID nor file name nor GUID: all messages would be one", text)
	}
	return f, nil
}

// parsePart reads what follows a percent sign.
func parsePart(s string) (p part, rest string, err error) {
	if strings.HasPrefix(s, "%") {
		return part{text: "%"}, s[1:], nil
	}
	if inner, ok := strings.CutPrefix(s, "{"); ok {
		inner, rest, ok = strings.Cut(inner, "}")
		if !ok {
			return p, "", fmt.Errorf("no end of %%{")
		}
		p, err = parseNamed(inner)
		return p, rest, err
	}
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	if p.width, err = parseWidth(s[:n]); err != nil {
		return p, "", err
	}
	if s = s[n:]; s != "" && (s[0] == 'X' || s[0] == 'x') {
		p.hex, s = true, s[1:]
	}
	if s == "" || !strings.Contains("uvfgm", s[:1]) {
		return p, "", fmt.Errorf("unknown variable %%%.10s", s)
	}
	if p.value = s[0]; p.value == 'm' {
		return p, "", fmt.Errorf("%%m, a sum of the message, is not supported; ids of messages that have one are kept")
	}
	return p, s[1:], nil
}

func parseWidth(digits string) (int, error) {
	if digits == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n > MaxUIDL {
		return 0, fmt.Errorf("width %q", digits)
	}
	return n, nil
}

// parseNamed reads the notation of Dovecot 2.4.
func parseNamed(s string) (p part, err error) {
	name, filter, filtered := strings.Cut(s, "|")
	switch strings.TrimSpace(name) {
	case "uid":
		p.value = 'u'
	case "uidvalidity":
		p.value = 'v'
	case "filename":
		p.value = 'f'
	case "guid":
		p.value = 'g'
	default:
		return p, fmt.Errorf("unknown variable %%{%.20s}", s)
	}
	if !filtered {
		return p, nil
	}
	filter = strings.TrimSpace(filter)
	digits, ok := strings.CutPrefix(filter, "hex(")
	digits, closed := strings.CutSuffix(digits, ")")
	if !ok || !closed || p.value != 'u' && p.value != 'v' {
		return p, fmt.Errorf("unknown filter %.20q", filter)
	}
	p.hex = true
	p.width, err = parseWidth(digits)
	return p, err
}

// Make returns the id of a message. Characters that an id cannot have become
// '_', and one that is too long is cut at its beginning, where file names have
// least that is their own.
func (f *Format) Make(m Identity) string {
	var b strings.Builder
	for _, p := range f.parts {
		b.WriteString(p.make(m))
	}
	return Clean(b.String())
}

// Clean makes text fit for an id.
func Clean(id string) string {
	id = strings.Map(func(r rune) rune {
		if r < 0x21 || r > 0x7e {
			return '_'
		}
		return r
	}, id)
	return id[max(0, len(id)-MaxUIDL):]
}

func (p part) make(m Identity) string {
	switch p.value {
	case 'u':
		return p.number(m.UID)
	case 'v':
		return p.number(m.Validity)
	case 'f':
		return m.Base
	case 'g':
		return hex.EncodeToString(m.GUID[:])
	}
	return p.text
}

func (p part) number(n uint32) string {
	base := 10
	if p.hex {
		base = 16
	}
	s := strconv.FormatUint(uint64(n), base)
	return strings.Repeat("0", max(0, p.width-len(s))) + s
}
