package engine

// kind is what a node of an expression is.
type kind uint8

const (
	nEmpty    kind = iota
	nChar          // one character
	nSet           // one of a set
	nAny           // any character but a newline
	nUnit          // \C and, where it means the same, a dot: any
	nNewline       // \R
	nGrapheme      // \X
	nCat
	nAlt
	nGroup // captures
	nAtomic
	nRepeat
	nLook
	nRef
	nCall
	nCond
	nVerb
	nKeep   // \K
	nAssert // of a place: ^ $ \b and so on
)

// node is a part of an expression.
type node struct {
	kind     kind
	subs     []*node
	r        rune
	caseless bool
	set      *set
	group    int    // nGroup, nCall, and nRef by number
	name     string // of what nRef, nCall or a condition names, or of a verb
	groups   []int  // what a name stands for
	min, max int    // nRepeat; max -1 is no bound
	lazy     bool
	behind   bool // nLook
	negative bool
	free     bool // nLook that may be gone back into
	verb     verb
	place    place
	cond     cond
	at       int // where in the expression, for errors
}

type verb uint8

const (
	vAccept verb = iota
	vFail
	vCommit
	vPrune
	vSkip
	vThen
	vMark
)

type place uint8

const (
	pStart place = iota // \A
	pEnd                // \z
	pLastLine
	pLineStart
	pLineEnd
	pWord
	pNotWord
)

type cond uint8

const (
	cGroup cond = iota
	cRecurse
	cTrue
	cFalse
	cDefine
	cLook
)

func seq(subs ...*node) *node {
	if len(subs) == 1 {
		return subs[0]
	}
	if len(subs) == 0 {
		return &node{kind: nEmpty}
	}
	return &node{kind: nCat, subs: subs}
}

// single reports whether a node is always one character.
func (n *node) single() bool {
	switch n.kind {
	case nChar, nSet, nAny, nUnit:
		return true
	}
	return false
}
