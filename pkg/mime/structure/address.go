package structure

import (
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
)

// Address is an address as ENVELOPE tells it. A group begins with one that has
// a mailbox and no host, and ends with one that has neither (RFC 9051 7.5.2).
type Address struct {
	Name, Route, Mailbox, Host string
	Group                      bool // begins a group, or ends one if Mailbox is empty
}

// maxAddresses bounds the addresses of one field.
const maxAddresses = 5000

// ParseAddresses reads a list of addresses (RFC 5322 3.4) with all that
// programs make of it. Names are not decoded.
func ParseAddresses(s string) []Address {
	p := addressParser{s: s}
	for p.i < len(p.s) && len(p.list) < maxAddresses {
		p.one()
	}
	if p.inGroup {
		p.list = append(p.list, Address{Group: true})
	}
	return p.list
}

type addressParser struct {
	s       string
	i       int
	list    []Address
	inGroup bool
}

// one reads up to the next ',' or ';'.
func (p *addressParser) one() {
	var phrase, comment string // words before '<', the last comment
	var a Address
	spec := false
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c <= ' ':
			p.i++
		case c == '(':
			end := address.EndComment(p.s, p.i)
			comment = strings.TrimSuffix(p.s[p.i+1:end], ")")
			p.i = end
		case c == '<':
			p.i++
			p.angle(&a)
			spec = true
		case c == ':' && !spec && !p.inGroup:
			p.i++
			p.list = append(p.list, Address{Mailbox: phrase, Group: true})
			p.inGroup = true
			return
		case c == ',' || c == ';':
			p.i++
			p.add(a, spec, phrase, comment)
			if c == ';' && p.inGroup {
				p.list = append(p.list, Address{Group: true})
				p.inGroup = false
			}
			return
		default:
			word := p.word()
			if p.i < len(p.s) && p.s[p.i] == '@' || strings.HasPrefix(word, "@") {
				word += p.domain()
			}
			if phrase != "" {
				phrase += " "
			}
			phrase += word
		}
	}
	p.add(a, spec, phrase, comment)
}

// word reads an atom with its dots, or a quoted string.
func (p *addressParser) word() string {
	if p.s[p.i] == '"' {
		var text string
		text, p.i = quoted(p.s, p.i)
		return text
	}
	start := p.i
	for p.i < len(p.s) && p.s[p.i] > ' ' && strings.IndexByte("(),:;<@\"", p.s[p.i]) < 0 {
		p.i++
	}
	if p.i == start {
		p.i++ // something that should not be here
		if p.s[start] == '@' {
			p.i = start
			return ""
		}
		return ""
	}
	return p.s[start:p.i]
}

// domain reads '@' and what is behind it.
func (p *addressParser) domain() string {
	start := p.i
	for p.i < len(p.s) && p.s[p.i] == '@' {
		p.i++
	}
	for p.i < len(p.s) && p.s[p.i] > ' ' && strings.IndexByte("(),;<>", p.s[p.i]) < 0 {
		p.i++
	}
	return p.s[start:p.i]
}

// angle reads what is in angle brackets.
func (p *addressParser) angle(a *Address) {
	end := p.i
	inQuote := false
	for end < len(p.s) && (inQuote || p.s[end] != '>') {
		switch p.s[end] {
		case '"':
			inQuote = !inQuote
		case '\\':
			end++
		}
		end++
	}
	end = min(end, len(p.s))
	text := strings.TrimSpace(p.s[p.i:end])
	p.i = min(end+1, len(p.s))
	if strings.HasPrefix(text, "@") {
		// RFC 5322 4.4: a route.
		if colon := strings.IndexByte(text, ':'); colon >= 0 {
			a.Route, text = text[:colon], text[colon+1:]
		}
	}
	a.Mailbox, a.Host = split(text)
}

// split takes an address apart at its last '@'.
func split(text string) (mailbox, host string) {
	if strings.HasPrefix(text, "\"") {
		local, next := quoted(text, 0)
		rest := strings.TrimSpace(text[next:])
		return local, strings.TrimPrefix(rest, "@")
	}
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return text, ""
	}
	return strings.TrimSpace(text[:at]), strings.TrimSpace(text[at+1:])
}

func (p *addressParser) add(a Address, spec bool, phrase, comment string) {
	if spec {
		a.Name = phrase
		if a.Name == "" {
			a.Name = comment
		}
		if a.Mailbox == "" && a.Host == "" && a.Name == "" {
			return
		}
		p.list = append(p.list, a)
		return
	}
	if phrase == "" {
		return
	}
	a.Name = comment
	a.Mailbox, a.Host = split(phrase)
	p.list = append(p.list, a)
}
