package imapwire

import (
	"slices"
	"strconv"
)

// Range is a run of numbers. 0 stands for '*', the highest in use.
type Range struct{ From, To uint32 }

// NumSet is a sequence-set (RFC 9051 9): message numbers or UIDs.
type NumSet struct {
	Ranges []Range
	// Saved is '$': the result of the last SEARCH (RFC 5182 2.1).
	Saved bool
}

// maxRanges bounds one set: a client that names many single messages has
// long lines, and ranges that overlap have no end.
const maxRanges = 100000

// NumSet reads a set.
func (d *Decoder) NumSet() NumSet {
	var s NumSet
	if d.TrySpecial('$') {
		s.Saved = true
		return s
	}
	for d.err == nil {
		r := Range{From: d.setNumber()}
		r.To = r.From
		if d.TrySpecial(':') {
			r.To = d.setNumber()
		}
		s.Ranges = append(s.Ranges, r)
		if len(s.Ranges) > maxRanges {
			d.Fail("Too many ranges")
		}
		if !d.TrySpecial(',') {
			break
		}
	}
	return s
}

func (d *Decoder) setNumber() uint32 {
	if d.TrySpecial('*') {
		return 0
	}
	n := d.Number()
	if n == 0 {
		d.Fail("Invalid message number")
	}
	return n
}

// HasStar reports whether '*' is in the set.
func (s NumSet) HasStar() bool {
	for _, r := range s.Ranges {
		if r.From == 0 || r.To == 0 {
			return true
		}
	}
	return false
}

// Fixed returns the ranges with '*' replaced by the highest number, in order
// and joined where they meet. RFC 9051 9: 4:2 is 2:4.
func (s NumSet) Fixed(highest uint32) []Range {
	out := make([]Range, 0, len(s.Ranges))
	for _, r := range s.Ranges {
		if r.From == 0 {
			r.From = highest
		}
		if r.To == 0 {
			r.To = highest
		}
		if r.From > r.To {
			r.From, r.To = r.To, r.From
		}
		if r.To == 0 {
			continue // an empty mailbox has no '*'
		}
		out = append(out, r)
	}
	return Join(out)
}

// Join sorts ranges and joins those that meet.
func Join(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int {
		switch {
		case a.From < b.From:
			return -1
		case a.From > b.From:
			return 1
		}
		return 0
	})
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && r.From <= out[n-1].To || n > 0 && r.From == out[n-1].To+1 {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Contains reports whether joined ranges have a number.
func Contains(ranges []Range, n uint32) bool {
	_, ok := slices.BinarySearchFunc(ranges, n, func(r Range, n uint32) int {
		switch {
		case r.To < n:
			return -1
		case r.From > n:
			return 1
		}
		return 0
	})
	return ok
}

// AppendRanges appends a set in wire form.
func AppendRanges(b []byte, ranges []Range) []byte {
	for i, r := range ranges {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(r.From), 10)
		if r.To != r.From {
			b = append(b, ':')
			b = strconv.AppendUint(b, uint64(r.To), 10)
		}
	}
	return b
}

// Ranges makes ranges of numbers. Those that are not in ascending order stay in
// the order given: UIDs of copies must be beside their originals (RFC 4315 3).
func Ranges(numbers []uint32) []Range {
	var out []Range
	for _, n := range numbers {
		if k := len(out); k > 0 && out[k-1].To+1 == n {
			out[k-1].To = n
			continue
		}
		out = append(out, Range{n, n})
	}
	return out
}
