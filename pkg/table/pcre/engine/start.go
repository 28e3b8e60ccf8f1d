package engine

import "unicode/utf8"

// anchored reports whether a node can match at the start only.
func anchored(n *node, p *parser) bool {
	switch n.kind {
	case nAssert:
		return n.place == pStart
	case nCat:
		for _, sub := range n.subs {
			if anchored(sub, p) {
				return true
			}
			if sub.kind != nEmpty {
				return false
			}
		}
	case nGroup:
		return anchored(n.subs[0], p)
	case nAlt:
		for _, sub := range n.subs {
			if !anchored(sub, p) {
				return false
			}
		}
		return true
	case nRepeat:
		// What begins with any text matches at the start if anywhere, unless
		// it matters what that text is.
		sub := n.subs[0]
		return n.min == 0 && n.max < 0 && sub.kind == nSet && sub.set.negate && len(sub.set.pairs)+len(sub.set.fixed)+len(sub.set.props) == 0 && !p.verbs && len(p.refs) == 0
	}
	return false
}

// firstBytes is the set of bytes that a match can begin with; nil if that is not
// known, or if it can be empty.
func firstBytes(n *node, p *parser) *[4]uint64 {
	f := &firsts{p: p, budget: 10_000}
	// As in PCRE, verbs are passed over to find one character, not for a set.
	if f.add(n) || f.unknown || f.verb && f.count() > 1 {
		return nil
	}
	return &f.bits
}

type firsts struct {
	p       *parser
	bits    [4]uint64
	unknown bool
	verb    bool // was seen
	budget  int
}

// add adds what a node begins with and reports whether it can be empty.
func (f *firsts) add(n *node) bool {
	if f.budget--; f.budget < 0 {
		f.unknown = true
	}
	if f.unknown {
		return true
	}
	switch n.kind {
	case nEmpty, nLook, nAssert, nKeep:
		return true
	case nVerb:
		f.unknown, f.verb = n.verb == vAccept, true
		return true
	case nChar:
		f.char(n.r)
		for r := n.r; n.caseless; {
			if r = otherCase(r, f.p.allCases()); r == n.r {
				break
			}
			f.char(r)
		}
	case nSet:
		for r := rune(0); r < 256; r++ {
			if n.set.has(r) && (!f.p.utf || r < 0x80) {
				f.byte(byte(r))
			}
		}
		for c := 0x80; c < 256 && f.p.utf; c++ {
			f.byte(byte(c))
		}
	case nCat:
		for _, sub := range n.subs {
			if !f.add(sub) {
				return false
			}
		}
		return true
	case nAlt:
		empty := false
		for _, sub := range n.subs {
			empty = f.add(sub) || empty
		}
		return empty
	case nGroup, nAtomic:
		return f.add(n.subs[0])
	case nRepeat:
		if n.max == 0 {
			return true
		}
		return f.add(n.subs[0]) || n.min == 0
	default:
		f.unknown = true
		return true
	}
	return false
}

// count is how many bytes there are, letters of both cases being one.
func (f *firsts) count() int {
	n := 0
	for c := range 256 {
		if f.bits[c>>6]>>(c&63)&1 != 0 && (c < 'a' || c > 'z' || f.bits[(c-0x20)>>6]>>((c-0x20)&63)&1 == 0) {
			n++
		}
	}
	return n
}

func (f *firsts) byte(c byte) { f.bits[c>>6] |= 1 << (c & 63) }

func (f *firsts) char(r rune) {
	if !f.p.utf {
		if r < 256 {
			f.byte(byte(r))
		}
		return
	}
	f.byte(string(utf8.AppendRune(nil, r))[0])
}
