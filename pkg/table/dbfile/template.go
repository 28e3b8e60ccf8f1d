package dbfile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
)

// Piece is a part of a template: text, or one of the letters sudSUD1-9.
type Piece struct {
	Text   string
	Letter byte
}

// Template is text with things to fill in.
type Template []Piece

// Parse reads a template. "%%" is a percent sign; any other character than
// those of Piece is an error, as in Postfix.
func Parse(text string) (Template, error) {
	var t Template
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		i++
		switch {
		case i == len(text):
			return nil, errors.New("% at the end of a template")
		case text[i] == '%':
			b.WriteByte('%')
		case IsLetter(text[i]):
			if b.Len() > 0 {
				t = append(t, Piece{Text: b.String()})
				b.Reset()
			}
			t = append(t, Piece{Letter: text[i]})
		default:
			return nil, fmt.Errorf("%%%c in a template means nothing; write %%%% for a percent sign", text[i])
		}
	}
	if b.Len() > 0 {
		t = append(t, Piece{Text: b.String()})
	}
	return t, nil
}

// IsLetter reports a letter that can be filled in.
func IsLetter(c byte) bool { return strings.IndexByte("sudSUD123456789", c) >= 0 }

// Expand fills in a template. The small letters stand for parts of value, the
// others for parts of key; quote is applied to all that is filled in. ok is
// false when a part is not there: then the lookup is not made, or the result
// left out, as in Postfix.
func (t Template) Expand(value, key string, quote func(string) string) (text string, ok bool) {
	var b strings.Builder
	for _, p := range t {
		if p.Letter == 0 {
			b.WriteString(p.Text)
			continue
		}
		v, ok := Part(p.Letter, value, key)
		if !ok {
			return "", false
		}
		b.WriteString(quote(v))
	}
	return b.String(), true
}

// Part returns what a letter stands for.
func Part(letter byte, value, key string) (string, bool) {
	of := key
	switch letter {
	case 's':
		return value, true
	case 'S':
		return key, true
	case 'u', 'd':
		of = value
	}
	local, domain, has := cut(of)
	switch letter {
	case 'u', 'U':
		if !has {
			return of, true
		}
		return address.Unquote(local), true
	case 'd', 'D':
		return domain, has && domain != ""
	}
	labels := strings.Split(domain, ".")
	n := int(letter - '0')
	if !has || n > len(labels) {
		return "", false
	}
	return labels[len(labels)-n], true
}

func cut(s string) (local, domain string, has bool) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// Same is no quoting.
func Same(s string) string { return s }

// Results collects the values of a lookup in the form of result_format.
type Results struct {
	Format Template
	Limit  int // expansion_limit; 0 is none
	key    string
	list   []string
	size   int
}

// maxResult bounds what a table may return.
const maxResult = 1 << 16

// ErrTooMany reports a lookup with more results than expansion_limit.
var ErrTooMany = errors.New("more results than expansion_limit")

// For starts a lookup.
func (r Results) For(key string) *Results { r.key = key; return &r }

// Add takes one value. An empty one is none.
func (r *Results) Add(value string) error {
	if value == "" {
		return nil
	}
	text, ok := r.Format.Expand(value, r.key, Same)
	if !ok || text == "" {
		return nil
	}
	if r.size += len(text) + 1; r.Limit > 0 && len(r.list) >= r.Limit || r.size > maxResult {
		return ErrTooMany
	}
	r.list = append(r.list, text)
	return nil
}

// Value joins the results.
func (r *Results) Value() (string, bool) { return strings.Join(r.list, ","), len(r.list) > 0 }

// Domains is the parameter domain: keys in other domains are not looked up.
type Domains map[string]bool

// ReadDomains reads it; without one all keys are looked up.
func (f *File) ReadDomains() (Domains, error) {
	words := f.Words("domain")
	if len(words) == 0 {
		return nil, nil
	}
	d := Domains{}
	for _, w := range words {
		if strings.Contains(w, ":") || strings.HasPrefix(w, "/") {
			return nil, fmt.Errorf("%s: domain: tables are not supported here, list the domains", f.path)
		}
		d[strings.ToLower(w)] = true
	}
	return d, nil
}

// Match reports whether a key is looked up at all: with a domain list only
// full addresses in one of its domains.
func (d Domains) Match(key string) bool {
	if d == nil {
		return true
	}
	local, domain, has := cut(key)
	return has && local != "" && d[strings.ToLower(domain)]
}
