package engine

import (
	"errors"
	"slices"
)

// op is an instruction.
type op uint8

const (
	iChar op = iota
	iSet
	iAny
	iUnit
	iNewline
	iGrapheme
	iSplit // try x, then y
	iJump  // to x
	iSave  // position into register x
	iClose // group x, which began at register y
	iRun   // repeats one character: min x, max y
	iInit  // loop with registers x and x+1
	iLoop  // go on at x or leave for y
	iEnter // the next round of the loop at x
	iAtomic
	iCut
	iLook // where to go if it fails is x, or -1; its end is y
	iLookEnd
	iLookFail
	iBack // go back x characters
	iRef
	iCall   // to x
	iReturn // from group x
	iCondGroup
	iCondRecurse
	iVerb
	iKeep
	iAssert
	iAlt // next alternative at x, for verbs of the alternatives number y
	iMatch
)

type inst struct {
	op       op
	x, y     int
	min, max int
	reg      int
	r        rune
	set      *set
	caseless bool
	lazy     bool
	free     bool
	groups   []int
	verb     verb
	name     string
	place    place
}

// maxProgram bounds the size of what is compiled.
const maxProgram = 200_000

// compiler writes a program.
type compiler struct {
	*parser
	prog    []inst
	regs    int
	starts  map[int]int // of groups
	alts    int         // so far
	alt     int         // the innermost alternatives around, -1 without
	open    []int       // groups around
	groupN  map[int]*node
	visits  int
	writing bool // lookbehinds were checked
	err     error
}

var errLookbehind = errors.New("lookbehind assertion is not fixed length")

// program compiles the whole.
func (c *compiler) program(root *node) error {
	c.regs = 2*c.groups + 2
	c.groupN = map[int]*node{0: root}
	collect(root, c.groupN)
	c.alt = -1
	c.starts[0] = 0
	c.lookbehinds(root)
	c.writing = true
	c.node(root)
	c.emit(inst{op: iReturn, x: 0})
	c.emit(inst{op: iMatch})
	for i := range c.prog {
		if in := &c.prog[i]; in.op == iCall {
			in.y = in.x
			in.x = c.starts[in.y]
		}
	}
	return c.err
}

// lookbehinds checks that all of them have a length, also those that no program is
// made of.
func (c *compiler) lookbehinds(n *node) {
	if n.kind == nGroup {
		c.open = append(c.open, n.group)
		defer func() { c.open = c.open[:len(c.open)-1] }()
	}
	if n.kind == nLook && n.behind {
		alts := []*node{n.subs[0]}
		if n.subs[0].kind == nAlt {
			alts = n.subs[0].subs
		}
		for _, a := range alts {
			if _, ok := c.length(a, 0); !ok && c.err == nil {
				c.err, c.pos = errLookbehind, n.at
			}
		}
	}
	for _, sub := range n.subs {
		c.lookbehinds(sub)
	}
}

// collect finds the first group of each number.
func collect(n *node, into map[int]*node) {
	if n.kind == nGroup && into[n.group] == nil {
		into[n.group] = n
	}
	for _, sub := range n.subs {
		collect(sub, into)
	}
}

func (c *compiler) emit(i inst) int {
	if len(c.prog) >= maxProgram {
		c.err = errors.New("regular expression is too large")
		return 0
	}
	c.prog = append(c.prog, i)
	return len(c.prog) - 1
}

// here is the place of the next instruction.
func (c *compiler) here() int { return len(c.prog) }

func (c *compiler) node(n *node) {
	switch n.kind {
	case nChar, nSet, nAny, nUnit:
		c.emit(c.one(n))
	case nNewline:
		c.emit(inst{op: iNewline})
	case nGrapheme:
		c.emit(inst{op: iGrapheme})
	case nCat:
		for _, sub := range n.subs {
			c.node(sub)
		}
	case nAlt:
		c.alternatives(n)
	case nGroup:
		c.group(n)
	case nAtomic:
		reg := c.register(1)
		c.emit(inst{op: iAtomic, reg: reg})
		c.node(n.subs[0])
		c.emit(inst{op: iCut, reg: reg})
	case nRepeat:
		c.repeat(n)
	case nLook:
		c.look(n, -1)
	case nRef:
		c.emit(inst{op: iRef, groups: n.groups, caseless: n.caseless})
	case nCall:
		c.emit(inst{op: iCall, x: n.group})
	case nCond:
		c.condition(n)
	case nVerb:
		c.emit(inst{op: iVerb, verb: n.verb, name: n.name, x: c.alt, groups: append([]int(nil), c.open...)})
	case nKeep:
		c.emit(inst{op: iKeep})
	case nAssert:
		c.emit(inst{op: iAssert, place: n.place})
	}
}

// register takes n registers.
func (c *compiler) register(n int) int {
	c.regs += n
	return c.regs - n
}

func (c *compiler) one(n *node) inst {
	switch n.kind {
	case nChar:
		return inst{op: iChar, r: n.r, caseless: n.caseless}
	case nSet:
		return inst{op: iSet, set: n.set}
	case nUnit:
		return inst{op: iUnit}
	}
	return inst{op: iAny}
}

func (c *compiler) alternatives(n *node) {
	outer := c.alt
	c.alts++
	c.alt = c.alts
	id := c.alt
	var jumps []int
	for i, sub := range n.subs {
		last := i == len(n.subs)-1
		at := c.emit(inst{op: iAlt, x: -1, y: id})
		c.alt = id
		c.node(sub)
		if !last {
			jumps = append(jumps, c.emit(inst{op: iJump}))
			c.prog[at].x = c.here()
		}
	}
	c.land(jumps)
	c.alt = outer
}

// land has jumps go to what comes next.
func (c *compiler) land(jumps []int) {
	for _, j := range jumps {
		c.prog[j].x = c.here()
	}
}

func (c *compiler) group(n *node) {
	reg := c.register(1)
	if _, ok := c.starts[n.group]; !ok {
		c.starts[n.group] = c.here()
	}
	c.emit(inst{op: iSave, reg: reg})
	c.open = append(c.open, n.group, reg)
	c.node(n.subs[0])
	c.open = c.open[:len(c.open)-2]
	c.emit(inst{op: iClose, x: n.group, reg: reg})
	c.emit(inst{op: iReturn, x: n.group})
}

func (c *compiler) repeat(n *node) {
	sub := n.subs[0]
	switch {
	case n.max == 0:
		// Its groups may be called.
		if len(c.collected(sub)) > 0 {
			jump := c.emit(inst{op: iJump})
			c.node(sub)
			c.emit(inst{op: iVerb, verb: vFail})
			c.prog[jump].x = c.here()
		}
	case n.min == 1 && n.max == 1:
		c.node(sub)
	case sub.single():
		one := c.one(sub)
		one.x = int(one.op)
		one.op, one.min, one.max, one.lazy = iRun, n.min, n.max, n.lazy
		c.emit(one)
	case n.min == 0 && n.max == 1:
		at := c.emit(inst{op: iSplit})
		c.node(sub)
		c.prog[at].x, c.prog[at].y = at+1, c.here()
		if n.lazy {
			c.prog[at].x, c.prog[at].y = c.here(), at+1
		}
	default:
		reg := c.register(2)
		c.emit(inst{op: iInit, reg: reg})
		loop := c.emit(inst{op: iLoop, reg: reg, min: n.min, max: n.max, lazy: n.lazy})
		c.emit(inst{op: iEnter, reg: reg})
		c.node(sub)
		c.emit(inst{op: iJump, x: loop})
		c.prog[loop].x, c.prog[loop].y = loop+1, c.here()
	}
}

// collected returns the groups in a node.
func (c *compiler) collected(n *node) map[int]*node {
	list := map[int]*node{}
	collect(n, list)
	return list
}

// look compiles a lookaround. If it fails, it goes to other, if there is one.
func (c *compiler) look(n *node, other int) (at int) {
	outer, open := c.alt, c.open
	c.alt, c.open = -1, nil
	at = c.emit(inst{op: iLook, x: other, free: n.free, lazy: n.negative})
	if n.behind {
		c.behind(n)
	} else {
		c.node(n.subs[0])
	}
	c.alt, c.open = outer, open
	if n.negative {
		end := c.emit(inst{op: iLookFail, x: -1})
		c.prog[at].y = end
		c.prog[at].x = c.here()
	} else {
		end := c.emit(inst{op: iLookEnd, free: n.free})
		c.prog[at].y = end
	}
	return at
}

// behind compiles what has to be in front, each alternative with its length.
func (c *compiler) behind(n *node) {
	alts := []*node{n.subs[0]}
	if n.subs[0].kind == nAlt {
		alts = n.subs[0].subs
	}
	outer := c.alt
	c.alts++
	id := c.alts
	var jumps []int
	for i, a := range alts {
		length, ok := c.length(a, 0)
		if !ok {
			return // which was told before
		}
		at := -1
		if len(alts) > 1 {
			c.alt = id
			at = c.emit(inst{op: iAlt, x: -1, y: id})
		}
		c.emit(inst{op: iBack, x: length})
		c.node(a)
		if i < len(alts)-1 {
			jumps = append(jumps, c.emit(inst{op: iJump}))
			c.prog[at].x = c.here()
		}
	}
	c.land(jumps)
	c.alt = outer
}

func (c *compiler) condition(n *node) {
	outer := c.alt
	yes, no := n.subs[len(n.subs)-2], n.subs[len(n.subs)-1]
	test := -1
	switch n.cond {
	case cDefine, cFalse:
		test = c.emit(inst{op: iJump})
	case cTrue:
	case cGroup:
		test = c.emit(inst{op: iCondGroup, groups: n.groups})
	case cRecurse:
		g := n.groups
		if n.group < 0 {
			g = nil
		}
		test = c.emit(inst{op: iCondRecurse, groups: g})
	case cLook:
		n.subs[0].free = false
		test = c.look(n.subs[0], 0)
		if n.subs[0].negative {
			// Where its body matches, it goes to the other branch.
			fail := c.here() - 1
			c.node(yes)
			end := c.emit(inst{op: iJump})
			c.prog[fail].x = c.here()
			c.node(no)
			c.prog[end].x = c.here()
			c.alt = outer
			return
		}
	}
	c.node(yes)
	end := c.emit(inst{op: iJump})
	if n.cond != cTrue {
		c.prog[test].x = c.here()
	}
	c.node(no)
	c.prog[end].x = c.here()
	c.alt = outer
}

// length is how many characters a node matches, if that is always the same.
func (c *compiler) length(n *node, depth int) (int, bool) {
	if c.visits++; depth > maxDepth || c.visits > maxProgram {
		return 0, false
	}
	switch n.kind {
	case nEmpty, nLook, nAssert, nKeep:
		return 0, true
	case nChar, nSet, nAny:
		return 1, true
	case nUnit:
		return 1, !c.utf
	case nVerb:
		return 0, n.verb != vAccept
	case nGroup, nAtomic:
		return c.length(n.subs[0], depth+1)
	case nRepeat:
		l, ok := c.length(n.subs[0], depth+1)
		return l * n.min, ok && n.min == n.max && l*n.min <= maxRepeat
	case nCat:
		sum := 0
		for _, sub := range n.subs {
			l, ok := c.length(sub, depth+1)
			if !ok || sum+l > maxRepeat {
				return 0, false
			}
			sum += l
		}
		return sum, true
	case nRef, nCall:
		if n.kind == nRef && slices.Contains(c.open, n.group) && !c.writing {
			return 0, false // its end is not yet known
		}
		if len(n.groups) != 1 || n.kind == nRef && c.reused || c.groupN[n.group] == nil {
			return 0, false
		}
		return c.length(c.groupN[n.group], depth+16)
	case nAlt:
		return c.same(n.subs, depth)
	case nCond:
		if n.cond == cDefine {
			return 0, true
		}
		return c.same(n.subs[len(n.subs)-2:], depth)
	}
	return 0, false
}

// same is the length of alternatives that have the same.
func (c *compiler) same(subs []*node, depth int) (int, bool) {
	first, ok := c.length(subs[0], depth+1)
	for _, sub := range subs[1:] {
		l, fixed := c.length(sub, depth+1)
		ok = ok && fixed && l == first
	}
	return first, ok
}
