package main

import (
	"fmt"
	"slices"
	"strings"
)

// perRecipient are the names that differ for each recipient. An argument with
// one of them is there once for each.
var perRecipient = []string{"domain", "extension", "mailbox", "original_recipient", "recipient", "user"}

// perMessage are the other names.
var perMessage = []string{"client_address", "client_helo", "client_hostname", "client_port", "client_protocol", "envid",
	"nexthop", "queue_id", "sasl_method", "sasl_sender", "sasl_username", "sender", "size"}

// template is one argument of the command: pieces of text and names between
// them. It is read once, at the start; what it is filled with is never read as
// a template.
type template []piece

// piece is text, or the name of what to put there.
type piece struct {
	text, name string
	when       byte     // '?': inner if the value is not empty; ':': if it is
	inner      template // for when
}

// parseTemplate reads an argument.
func parseTemplate(s string) (template, error) {
	var t template
	for s != "" {
		i := strings.IndexByte(s, '$')
		if i < 0 {
			return append(t, piece{text: s}), nil
		}
		if i > 0 {
			t = append(t, piece{text: s[:i]})
		}
		p, rest, err := parseReference(s[i+1:])
		if err != nil {
			return nil, err
		}
		t, s = append(t, p), rest
	}
	return t, nil
}

// parseReference reads what follows a "$".
func parseReference(s string) (p piece, rest string, err error) {
	if strings.HasPrefix(s, "$") {
		return piece{text: "$"}, s[1:], nil
	}
	closing := map[byte]byte{'{': '}', '(': ')'}
	if s == "" || closing[s[0]] == 0 {
		n := nameLength(s)
		return named(piece{name: s[:n]}, s[n:])
	}
	end := matching(s, s[0], closing[s[0]])
	if end < 0 {
		return p, "", fmt.Errorf("no end of $%s", s)
	}
	inner := s[1:end]
	n := nameLength(inner)
	p.name = inner[:n]
	if inner = inner[n:]; inner != "" {
		p.when = inner[0]
		if p.when != '?' && p.when != ':' {
			return p, "", fmt.Errorf("bad name in $%s", s[:end+1])
		}
		if p.inner, err = parseTemplate(inner[1:]); err != nil {
			return p, "", err
		}
	}
	return named(p, s[end+1:])
}

func named(p piece, rest string) (piece, string, error) {
	if !slices.Contains(perRecipient, p.name) && !slices.Contains(perMessage, p.name) {
		return p, "", fmt.Errorf("unknown name $%s", p.name)
	}
	return p, rest, nil
}

func nameLength(s string) int {
	n := 0
	for n < len(s) && (s[n] == '_' || s[n] >= 'a' && s[n] <= 'z' || s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return n
}

// matching returns where the bracket that begins s is closed, or -1.
func matching(s string, open, closing byte) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case open:
			depth++
		case closing:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// repeats reports whether the argument is there once for each recipient.
func (t template) repeats() bool {
	for _, p := range t {
		if slices.Contains(perRecipient, p.name) || p.inner.repeats() {
			return true
		}
	}
	return false
}

// fill puts values in their places.
func (t template) fill(values map[string]string) string {
	var b strings.Builder
	for _, p := range t {
		v := values[p.name]
		switch {
		case p.name == "":
			b.WriteString(p.text)
		case p.when == 0:
			b.WriteString(v)
		case (p.when == '?') == (v != ""):
			b.WriteString(p.inner.fill(values))
		}
	}
	return b.String()
}
