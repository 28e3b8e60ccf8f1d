package engine

import (
	"strings"
	"unicode/utf8"
)

// entry is something on the stack: a place to go back to, or what is undone on
// the way there.
type entry struct {
	kind    entryKind
	a, b, c int32
}

type entryKind uint8

const (
	eChoice  entryKind = iota // instruction a at position b
	eAlt                      // the same, -1 for none, for verbs of alternatives c
	eRun                      // instruction a; from position b back to c
	eRunLazy                  // run a, from b, c more at most
	eUndo                     // register a was b
	eFrame                    // the frame was b
	eKeep                     // the match began at b
	eVerb                     // instruction a at b
	eMark                     // the same
)

// frame is a recursion or a lookaround that is not over.
type frame struct {
	call         bool
	parent       int
	height, keep int // of the stack before it, and what stays there if a verb ends it
	next         int // instruction: behind the call, or at the end of a lookaround
	group, pos   int
	begin        int // of the match, to which \K in a lookaround does nothing
	depth        int
	regs         []int32
}

// machine is one match.
type machine struct {
	*Regexp
	s      string
	stack  []entry
	regs   []int32
	frames []frame
	cur    int // -1 without
	begin  int // of the match, by \K
	steps  int
	err    error

	skips, ignored int // (*SKIP:NAME) that were met, and how many of them do nothing
}

// outcome is how an attempt at one start ended.
type outcome int

const (
	oFailed outcome = -1 - iota
	oMatched
	oNever // others are useless
	oAgain // at the same place
)

// Match returns where groups begin and end, -1 for those that are not set.
func (re *Regexp) Match(s string) ([]int, error) {
	if re.utf && !utf8.ValidString(s) {
		return nil, ErrUTF
	}
	if len(s) > 1<<30 {
		return nil, ErrLimit
	}
	m := &machine{Regexp: re, s: s, regs: make([]int32, re.regs)}
	for start := 0; start <= len(s); {
		if re.first != nil {
			for start < len(s) && re.first[s[start]>>6]>>(s[start]&63)&1 == 0 {
				start++
			}
			if start == len(s) {
				return nil, nil
			}
		}
		end, o := m.attempt(start)
		switch {
		case m.err != nil:
			return nil, m.err
		case o == oMatched:
			return m.result(end), nil
		case o == oAgain:
			m.ignored = m.skips
			continue
		case o == oNever, re.anchored:
			return nil, nil
		case o >= 0 && int(o) > start:
			start, m.ignored = int(o), 0
			continue
		}
		m.ignored = 0
		start++
		for re.utf && start < len(s) && !utf8.RuneStart(s[start]) {
			start++
		}
	}
	return nil, nil
}

func (m *machine) result(end int) []int {
	out := make([]int, 2*m.groups+2)
	for i := range out {
		out[i] = int(m.regs[i])
	}
	out[0], out[1] = m.begin, max(m.begin, end)
	return out
}

// attempt tries to match at one place. An outcome that is not negative is where
// to try next.
func (m *machine) attempt(start int) (int, outcome) {
	m.stack, m.frames, m.cur, m.begin, m.skips = m.stack[:0], m.frames[:0], -1, start, 0
	for i := range m.regs {
		m.regs[i] = -1
	}
	pc, pos := 0, start
	for m.err == nil {
		m.steps++
		if m.steps > m.limit {
			m.err = ErrLimit
			break
		}
		in := &m.prog[pc]
		ok := true
		switch in.op {
		case iChar, iSet, iAny, iUnit:
			var w int
			if w, ok = m.step(in, in.op, pos); ok {
				pos += w
				pc++
			}
		case iSplit:
			m.push(entry{eChoice, int32(in.y), int32(pos), 0})
			pc = in.x
		case iAlt:
			m.push(entry{eAlt, int32(in.x), int32(pos), int32(in.y)})
			pc++
		case iJump:
			pc = in.x
		case iRun:
			pos, ok = m.run(in, pc, pos)
			pc++
		case iSave:
			m.set(in.reg, pos)
			pc++
		case iClose:
			m.set(2*in.x, int(m.regs[in.reg]))
			m.set(2*in.x+1, pos)
			pc++
		case iMatch:
			if !m.notEmpty || pos != start {
				return pos, oMatched
			}
			ok = false
		case iInit, iLoop, iEnter:
			pc, ok = m.loop(in, pc, pos), true
		case iVerb:
			var done bool
			if pc, pos, ok, done = m.verb(in, pc, pos); done {
				if !m.notEmpty || pos != start {
					return pos, oMatched
				}
				ok = false
			}
		default:
			pc, pos, ok = m.rare(in, pc, pos)
		}
		if !ok {
			var o outcome
			if pc, pos, o = m.back(); o != oMatched {
				return 0, o
			}
		}
	}
	return 0, oNever
}

func (m *machine) push(e entry) {
	if len(m.stack) >= maxStack {
		m.err = ErrLimit
		return
	}
	m.stack = append(m.stack, e)
}

// set sets a register, which is undone on the way back.
func (m *machine) set(reg, value int) {
	if m.regs[reg] != int32(value) {
		m.push(entry{eUndo, int32(reg), m.regs[reg], 0})
		m.regs[reg] = int32(value)
	}
}

func (m *machine) setFrame(f int) {
	m.push(entry{eFrame, 0, int32(m.cur), 0})
	m.cur = f
}

// next reads one character.
func (m *machine) next(pos int) (rune, int) {
	if pos >= len(m.s) {
		return 0, 0
	}
	if c := m.s[pos]; !m.utf || c < 0x80 {
		return rune(c), 1
	}
	return utf8.DecodeRuneInString(m.s[pos:])
}

// previous reads the character in front.
func (m *machine) previous(pos int) (rune, int) {
	if pos <= 0 {
		return 0, 0
	}
	if c := m.s[pos-1]; !m.utf || c < 0x80 {
		return rune(c), 1
	}
	return utf8.DecodeLastRuneInString(m.s[:pos])
}

// step matches one character.
func (m *machine) step(in *inst, o op, pos int) (int, bool) {
	r, w := m.next(pos)
	if w == 0 {
		return 0, false
	}
	switch o {
	case iChar:
		return w, r == in.r || in.caseless && sameFold(in.r, r, m.utf || m.ucp)
	case iSet:
		return w, in.set.has(r)
	case iUnit:
		return 1, true
	}
	if n := m.nl.at(m.s, pos, m.utf); n > 0 {
		return w, false
	}
	return w, true
}

// run repeats one character, and remembers where else it could have stopped.
func (m *machine) run(in *inst, pc, pos int) (int, bool) {
	o := op(in.x)
	most := in.max
	if in.lazy {
		most = in.min
	}
	n, least := 0, pos
	for most < 0 || n < most {
		w, ok := m.step(in, o, pos)
		if !ok {
			break
		}
		pos += w
		if n++; n <= in.min {
			least = pos
		}
	}
	m.steps += n >> 3
	switch {
	case n < in.min:
		return pos, false
	case in.lazy && in.max != in.min:
		more := -1
		if in.max >= 0 {
			more = in.max - in.min
		}
		m.push(entry{eRunLazy, int32(pc), int32(pos), int32(more)})
	case n > in.min:
		m.push(entry{eRun, int32(pc + 1), int32(pos), int32(least)})
	}
	return pos, true
}

// loop does what begins a round of a loop, or ends the last.
func (m *machine) loop(in *inst, pc, pos int) int {
	count := int(m.regs[in.reg])
	switch in.op {
	case iInit:
		m.set(in.reg, 0)
		m.set(in.reg+1, -1)
		return pc + 1
	case iEnter:
		m.set(in.reg, count+1)
		m.set(in.reg+1, pos)
		return pc + 1
	}
	// PCRE writes a bounded repetition out, and goes on after an empty round.
	empty := in.max < 0 && count > 0 && int(m.regs[in.reg+1]) == pos
	switch {
	case count < in.min:
		return in.x
	case empty, in.max >= 0 && count >= in.max:
		return in.y
	case in.lazy:
		m.push(entry{eChoice, int32(in.x), int32(pos), 0})
		return in.y
	}
	m.push(entry{eChoice, int32(in.y), int32(pos), 0})
	return in.x
}

// back goes back to the last place where there was a choice.
func (m *machine) back() (pc, pos int, o outcome) {
	for len(m.stack) > 0 {
		m.steps++
		e := m.pop()
		switch e.kind {
		case eChoice:
			return int(e.a), int(e.b), oMatched
		case eAlt:
			if e.a >= 0 {
				return int(e.a), int(e.b), oMatched
			}
		case eRun:
			if pos, ok := m.shorter(e); ok {
				return int(e.a), pos, oMatched
			}
		case eRunLazy:
			in := &m.prog[e.a]
			if e.c == 0 {
				continue
			}
			if w, ok := m.step(in, op(in.x), int(e.b)); ok {
				m.push(entry{eRunLazy, e.a, e.b + int32(w), max(e.c-1, -1)})
				return int(e.a) + 1, int(e.b) + w, oMatched
			}
		case eVerb:
			if o, over := m.verbBack(e); over {
				return 0, 0, o
			}
		}
	}
	return 0, 0, oFailed
}

// shorter takes a character off a run.
func (m *machine) shorter(e entry) (int, bool) {
	pos, least := int(e.b), int(e.c)
	if in := &m.prog[e.a]; in.op == iChar && !in.caseless && in.r < 0x80 {
		// Only before this character it can go on.
		i := strings.LastIndexByte(m.s[least:pos], byte(in.r))
		m.steps += (pos - least - i) >> 4
		if i < 0 {
			return 0, false
		}
		pos = least + i
	} else {
		pos--
		for m.utf && op(m.prog[e.a-1].x) != iUnit && pos > least && !utf8.RuneStart(m.s[pos]) {
			pos--
		}
	}
	if pos > least {
		m.push(entry{eRun, e.a, int32(pos), e.c})
	}
	return pos, true
}

// pop takes an entry off the stack and undoes it.
func (m *machine) pop() entry {
	e := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	switch e.kind {
	case eUndo:
		m.regs[e.a] = e.b
	case eKeep:
		m.begin = int(e.b)
	case eFrame:
		if m.cur > int(e.b) {
			m.frames = m.frames[:m.cur]
		}
		m.cur = int(e.b)
	}
	return e
}

// unwind forgets all choices above a height.
func (m *machine) unwind(height int) {
	for len(m.stack) > height {
		m.pop()
	}
}

// cut forgets the choices above a height, but not what is to be undone.
func (m *machine) cut(height int) {
	kept := m.stack[:height]
	m.steps += (len(m.stack) - height) >> 3
	for _, e := range m.stack[height:] {
		if e.kind == eUndo || e.kind == eKeep || e.kind == eFrame {
			kept = append(kept, e)
		}
	}
	m.stack = kept
}
