package address

import "strings"

// Mailbox is one address in a header's address list.
type Mailbox struct {
	// Start and End delimit the address in the header's value: what is
	// between '<' and '>', or the bare address.
	Start, End int
	// Tokens are those of the address, comments included.
	Tokens []Token
}

// External returns the address in external form, without comments.
func (m Mailbox) External() string { return External(DropComments(m.Tokens)) }

// Internal returns the address in internal form.
func (m Mailbox) Internal() string { return Internal(DropComments(m.Tokens)) }

// ScanList finds the addresses in the value of an address header such as To,
// without regard to whether it is well formed: groups are entered, comments
// skipped, and elements without an address left out (RFC 5322 3.4).
func ScanList(value string) []Mailbox { return scan(Tokenize(value)) }

func scan(tokens []Token) []Mailbox {
	var list []Mailbox
	start := 0
	for i := 0; i < len(tokens); i++ {
		switch tokens[i].Kind {
		case ',', ';':
			list = appendBare(list, tokens[start:i])
			start = i + 1
		case ':':
			// The end of a group's name. Inside of an address it is
			// a source route, which only brackets can hold.
			start = i + 1
		case '<':
			end := closing(tokens, i+1)
			list = appendAddr(list, tokens[i+1:end])
			if end < len(tokens) && tokens[end].Kind == ',' {
				// No '>' before the next element.
				start, i = end, end-1
				continue
			}
			i = end
			// What follows up to the next comma is not an address.
			for i+1 < len(tokens) && tokens[i+1].Kind != ',' && tokens[i+1].Kind != ';' {
				i++
			}
			start = i + 1
		}
	}
	if start < len(tokens) && len(tokens) < MaxTokens {
		list = appendBare(list, tokens[start:])
	}
	return list
}

// closing returns the index of the '>' that ends an address, or of what ends
// it in its place.
func closing(tokens []Token, i int) int {
	route := i < len(tokens) && tokens[i].Kind == '@'
	for ; i < len(tokens); i++ {
		switch tokens[i].Kind {
		case '>':
			return i
		case ':':
			route = false
		case ',':
			if !route {
				return i
			}
		}
	}
	return len(tokens)
}

func appendAddr(list []Mailbox, tokens []Token) []Mailbox {
	first, last := -1, -1
	for i, t := range tokens {
		if t.Kind == Comment {
			continue
		}
		if first < 0 {
			first = i
		}
		last = i
	}
	if first < 0 {
		return list
	}
	tokens = tokens[first : last+1]
	return append(list, Mailbox{tokens[0].Start, tokens[len(tokens)-1].End, tokens})
}

// appendBare is appendAddr for an element without brackets.
func appendBare(list []Mailbox, tokens []Token) []Mailbox {
	start, prev := 0, -1
	for i, t := range tokens {
		if t.Kind == '>' {
			return list
		}
		if t.Kind == Comment {
			continue
		}
		// Two words with nothing but white space between them are two
		// addresses whose comma is missing.
		if prev >= 0 && t.word() && tokens[prev].word() {
			list = appendAddr(list, tokens[start:i])
			start = i
		}
		prev = i
	}
	return appendAddr(list, tokens[start:])
}

// RewriteList calls fn with each address of a header's value, in external
// form, and puts its result in the address's place. All other bytes stay. It
// returns value itself if nothing changed.
func RewriteList(value string, fn func(external string) (string, error)) (string, error) {
	var room [8]span
	if spans, ok := plainList(room[:0], value); ok {
		r := rewriter{value: value, end: -1}
		for _, a := range spans {
			if err := r.address(a, value[a.start:a.end], fn); err != nil {
				return "", err
			}
		}
		return r.result(), nil
	}
	r := rewriter{value: value, end: -1}
	for _, m := range ScanList(value) {
		if err := r.address(span{m.Start, m.End}, m.External(), fn); err != nil {
			return "", err
		}
	}
	return r.result(), nil
}

// rewriter puts addresses in the place of others.
type rewriter struct {
	value string
	b     strings.Builder
	done  int // of value, is in b
	end   int // of the address before
}

func (r *rewriter) address(a span, old string, fn func(string) (string, error)) error {
	prev := r.end
	comma := prev >= 0 && strings.TrimLeft(r.value[prev:a.start], " \t\r\n") == ""
	r.end = a.end
	repl, err := fn(old)
	if err != nil {
		return err
	}
	comma = comma && (r.done > 0 || repl != old)
	if old == "" || repl == old && !comma {
		return nil
	}
	if comma {
		r.b.WriteString(r.value[r.done:prev])
		r.b.WriteByte(',')
		r.done = prev
	}
	r.b.WriteString(r.value[r.done:a.start])
	r.b.WriteString(repl)
	r.done = a.end
	return nil
}

func (r *rewriter) result() string {
	if r.done == 0 {
		return r.value
	}
	r.b.WriteString(r.value[r.done:])
	return r.b.String()
}

// ListAddresses returns the addresses of a header's value in internal form,
// at most limit of them if limit is not 0. An angle bracket too many does not
// hide an address.
func ListAddresses(value string, limit int) []string {
	var room [8]span
	if spans, ok := plainList(room[:0], value); ok {
		addrs := make([]string, len(spans))
		for i, a := range spans {
			addrs[i] = value[a.start:a.end]
		}
		return first(addrs, limit)
	}
	list := first(scan(withoutStrays(Tokenize(value))), limit)
	addrs := make([]string, len(list))
	for i, m := range list {
		addrs[i] = m.Internal()
	}
	return addrs
}

// withoutStrays drops each '<' that follows another one, and each '>' that ends
// nothing.
func withoutStrays(tokens []Token) []Token {
	var out []Token
	open := false
	for _, t := range tokens {
		switch t.Kind {
		case '<':
			if open {
				continue
			}
			open = true
		case '>':
			if !open {
				continue
			}
			open = false
		}
		out = append(out, t)
	}
	return out
}

// first is the beginning of a list, where there is a limit.
func first[T any](list []T, limit int) []T {
	if limit > 0 && len(list) > limit {
		return list[:limit]
	}
	return list
}
