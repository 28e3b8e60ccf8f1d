// Package engine matches Perl-compatible regular expressions on bytes, with all
// that backtracking can do: recursion, conditions, verbs, \K. It takes no
// more than a number of steps and a size of memory for a match, and fails then.
package engine

import (
	"errors"
	"fmt"
)

// Bounds of one match.
const (
	maxSteps = 60_000_000 // instructions, bytes that are scanned in a row count less
	maxStack = 400_000    // places to go back to
	maxCalls = 5_000      // recursions inside of each other
)

// ErrLimit and the others are why it is not known whether something matches.
var (
	ErrLimit = errors.New("match limit exceeded")
	ErrLoop  = errors.New("recursion loop within the pattern")
	ErrUTF   = errors.New("text is not UTF-8")
)

// Options are what may be set from outside of an expression.
type Options struct {
	Caseless, Multiline, DotAll, Extended, Anchored, DollarEnd, Ungreedy bool
}

// Regexp is a compiled expression. It is safe for concurrent use.
type Regexp struct {
	prog     []inst
	groups   int
	regs     int // captures, then counters of loops
	utf      bool
	ucp      bool
	nl       newline
	bsr      newline
	anchored bool
	notEmpty bool
	first    *[4]uint64 // bytes that a match can start with
	limit    int
}

// Compile compiles an expression.
func Compile(expression string, o Options) (*Regexp, error) {
	p := &parser{in: expression, limit: maxSteps, names: map[string][]int{}}
	p.opts = options{caseless: o.Caseless, multiline: o.Multiline, dotAll: o.DotAll, extended: o.Extended, dollarEnd: o.DollarEnd && !o.Multiline, ungreedy: o.Ungreedy}
	root, err := p.parse()
	if err != nil {
		return nil, fmt.Errorf("error in regex at offset %d: %w", p.pos, err)
	}
	c := &compiler{parser: p, starts: map[int]int{}}
	if err := c.program(root); err != nil {
		return nil, fmt.Errorf("error in regex at offset %d: %w", p.pos, err)
	}
	re := &Regexp{prog: c.prog, groups: p.groups, regs: c.regs, utf: p.utf, ucp: p.ucp, nl: p.nl, bsr: p.bsr, notEmpty: p.notEmpty, limit: p.limit}
	re.anchored = o.Anchored || anchored(root, p)
	if !p.noStartOpt && !re.anchored {
		re.first = firstBytes(root, p)
	}
	return re, nil
}

// Groups returns the number of capturing groups.
func (re *Regexp) Groups() int { return re.groups }

// newline is what ends a line, or what \R matches.
type newline uint8

const (
	nlLF newline = iota
	nlCR
	nlCRLF
	nlAnyCRLF
	nlAny
	nlNUL
)

// at returns the length of the newline at a position, 0 if there is none.
func (n newline) at(s string, i int, utf bool) int {
	if i >= len(s) {
		return 0
	}
	c := s[i]
	crlf := c == '\r' && i+1 < len(s) && s[i+1] == '\n'
	switch n {
	case nlLF:
		return one(c == '\n')
	case nlCR:
		return one(c == '\r')
	case nlNUL:
		return one(c == 0)
	case nlCRLF:
		return 2 * one(crlf)
	}
	switch {
	case crlf:
		return 2
	case c == '\r', c == '\n':
		return 1
	case n == nlAnyCRLF:
		return 0
	case c == '\v', c == '\f', !utf && c == 0x85:
		return 1
	case utf && c == 0xc2 && i+1 < len(s) && s[i+1] == 0x85:
		return 2
	case utf && c == 0xe2 && i+2 < len(s) && s[i+1] == 0x80 && (s[i+2] == 0xa8 || s[i+2] == 0xa9):
		return 3
	}
	return 0
}

// before reports whether a newline ends at a position.
func (n newline) before(s string, i int, utf bool) bool {
	if i >= 2 && s[i-1] == '\n' && s[i-2] == '\r' && n >= nlCRLF && n != nlNUL {
		return true
	}
	for w := 1; w <= 3 && w <= i; w++ {
		if n.at(s[:i], i-w, utf) == w {
			return true
		}
	}
	return false
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
