package engine

import "unicode"

// rare does what is not in most expressions.
func (m *machine) rare(in *inst, pc, pos int) (int, int, bool) {
	switch in.op {
	case iNewline:
		w := m.bsr.at(m.s, pos, m.utf)
		return pc + 1, pos + w, w > 0
	case iGrapheme:
		w := m.grapheme(pos)
		return pc + 1, pos + w, w > 0
	case iAtomic:
		m.set(in.reg, len(m.stack))
		return pc + 1, pos, true
	case iCut:
		m.cut(int(m.regs[in.reg]))
		return pc + 1, pos, true
	case iLook:
		m.look(in, pc, pos)
		return pc + 1, pos, true
	case iLookEnd:
		f := m.frames[m.cur]
		if !in.free {
			m.cut(f.height)
			m.keep(f.begin)
		}
		m.setFrame(f.parent)
		return pc + 1, f.pos, true
	case iLookFail:
		f := m.frames[m.cur]
		m.unwind(f.height)
		return in.x, f.pos, in.x >= 0
	case iBack:
		for i := 0; i < in.x; i++ {
			_, w := m.previous(pos)
			if w == 0 {
				return pc, pos, false
			}
			pos -= w
		}
		return pc + 1, pos, true
	case iRef:
		w, ok := m.reference(in, pos)
		return pc + 1, pos + w, ok
	case iCall:
		return m.call(in, pc, pos), pos, m.err == nil
	case iReturn:
		// As in PCRE2, there is no way back into a recursion of the whole.
		return m.leave(in.x, pc, in.x == 0), pos, true
	case iCondGroup, iCondRecurse:
		if m.holds(in) {
			return pc + 1, pos, true
		}
		return in.x, pos, true
	case iKeep:
		m.keep(pos)
		return pc + 1, pos, true
	case iAssert:
		return pc + 1, pos, m.at(in.place, pos)
	}
	return pc, pos, false
}

// keep says where the match begins.
func (m *machine) keep(pos int) {
	m.push(entry{eKeep, 0, int32(m.begin), 0})
	m.begin = pos
}

// at reports whether a position is a place.
func (m *machine) at(p place, pos int) bool {
	switch p {
	case pStart:
		return pos == 0
	case pEnd:
		return pos == len(m.s)
	case pLastLine:
		return pos == len(m.s) || pos+m.nl.at(m.s, pos, m.utf) == len(m.s)
	case pLineStart:
		return pos == 0 || pos < len(m.s) && m.nl.before(m.s, pos, m.utf)
	case pLineEnd:
		return pos == len(m.s) || m.nl.at(m.s, pos, m.utf) > 0
	}
	before, bw := m.previous(pos)
	after, aw := m.next(pos)
	boundary := (bw > 0 && m.word(before)) != (aw > 0 && m.word(after))
	return boundary == (p == pWord)
}

func (m *machine) word(r rune) bool {
	if m.ucp {
		return isWordUnicode(r)
	}
	return inPairs(words, r)
}

// look begins a lookaround.
func (m *machine) look(in *inst, pc, pos int) {
	f := frame{parent: m.cur, height: len(m.stack), next: in.y, pos: pos, begin: m.begin, depth: m.depth()}
	if in.x >= 0 {
		m.push(entry{eChoice, int32(in.x), int32(pos), 0})
		f.keep = 1
	}
	m.frames = append(m.frames, f)
	m.setFrame(len(m.frames) - 1)
}

func (m *machine) depth() int {
	if m.cur < 0 {
		return 0
	}
	return m.frames[m.cur].depth
}

// call begins a recursion.
func (m *machine) call(in *inst, pc, pos int) int {
	for f := m.cur; f >= 0; f = m.frames[f].parent {
		m.steps++
		if m.frames[f].call && m.frames[f].group == in.y && m.frames[f].pos == pos {
			m.err = ErrLoop
			return pc
		}
	}
	f := frame{call: true, parent: m.cur, height: len(m.stack), next: pc + 1, group: in.y, pos: pos, depth: m.depth() + 1}
	if f.depth > maxCalls || len(m.frames)*len(m.regs) > 1<<23 {
		m.err = ErrLimit
		return pc
	}
	f.regs = append([]int32(nil), m.regs...)
	m.steps += len(m.regs)
	m.frames = append(m.frames, f)
	m.setFrame(len(m.frames) - 1)
	return in.x
}

// leave ends a recursion into a group, if that is where it is.
func (m *machine) leave(group, pc int, final bool) int {
	if m.cur < 0 || !m.frames[m.cur].call || m.frames[m.cur].group != group {
		return pc + 1
	}
	f := m.frames[m.cur]
	m.steps += len(f.regs)
	if final {
		m.cut(f.height)
	}
	for i, v := range f.regs {
		m.set(i, int(v))
	}
	m.setFrame(f.parent)
	return f.next
}

// holds tells whether a condition is true.
func (m *machine) holds(in *inst) bool {
	if in.op == iCondGroup {
		for _, g := range in.groups {
			if m.regs[2*g+1] >= 0 {
				return true
			}
		}
		return false
	}
	f := m.cur
	for f >= 0 && !m.frames[f].call {
		f = m.frames[f].parent
	}
	if f < 0 {
		return false
	}
	for _, g := range in.groups {
		if m.frames[f].group == g {
			return true
		}
	}
	return in.groups == nil
}

// reference matches what a group matched.
func (m *machine) reference(in *inst, pos int) (int, bool) {
	for _, g := range in.groups {
		from, to := int(m.regs[2*g]), int(m.regs[2*g+1])
		if to < 0 {
			continue
		}
		want := m.s[from:to]
		m.steps += len(want) >> 4
		if !in.caseless {
			return len(want), len(want) <= len(m.s)-pos && m.s[pos:pos+len(want)] == want
		}
		at := pos
		for from < to {
			a, aw := m.next(from)
			b, bw := m.next(at)
			if bw == 0 || !sameFold(a, b, m.utf || m.ucp) {
				return 0, false
			}
			from += aw
			at += bw
		}
		return at - pos, true
	}
	return 0, false
}

// verb does a verb. done tells that the match is over.
func (m *machine) verb(in *inst, pc, pos int) (nextPC, nextPos int, ok, done bool) {
	switch in.verb {
	case vFail:
		return pc, pos, false, false
	case vMark:
		m.push(entry{eMark, int32(pc), int32(pos), 0})
	case vAccept:
		for i := 0; i+1 < len(in.groups); i += 2 {
			m.set(2*in.groups[i], int(m.regs[in.groups[i+1]]))
			m.set(2*in.groups[i]+1, pos)
		}
		if m.cur < 0 {
			return pc, pos, false, true
		}
		if f := m.frames[m.cur]; f.call {
			return m.leave(f.group, pc, true), pos, true, false
		}
		return m.frames[m.cur].next, pos, true, false
	case vSkip:
		if in.name != "" {
			m.skips++
			if m.skips <= m.ignored {
				break
			}
		}
		m.push(entry{eVerb, int32(pc), int32(pos), 0})
	default:
		m.push(entry{eVerb, int32(pc), int32(pos), 0})
	}
	return pc + 1, pos, true, false
}

// verbBack does what a verb says when it is gone back to. over tells that the
// attempt is. The effect of a verb ends at a recursion, a negative lookaround or
// a condition, that of (*THEN) at any lookaround, as PCRE has it.
func (m *machine) verbBack(e entry) (o outcome, over bool) {
	in := &m.prog[e.a]
	f := m.cur
	if in.verb != vThen {
		for f >= 0 && !m.frames[f].call && (m.frames[f].keep == 0 || in.name != "" && in.verb == vSkip) {
			f = m.frames[f].parent
		}
	}
	bound := 0
	if f >= 0 {
		bound = m.frames[f].height + m.frames[f].keep
	}
	next := oFailed
	switch in.verb {
	case vCommit:
		next = oNever
	case vThen:
		for i := len(m.stack) - 1; i >= bound && in.x >= 0; i-- {
			m.steps++
			if m.stack[i].kind == eAlt && int(m.stack[i].c) == in.x {
				m.unwind(i + 1)
				return 0, false
			}
		}
	case vSkip:
		next = outcome(e.b)
		if in.name != "" && f < 0 {
			i := len(m.stack) - 1
			for i >= 0 && (m.stack[i].kind != eMark || m.prog[m.stack[i].a].name != in.name) {
				i--
				m.steps++
			}
			if i < 0 {
				// PCRE2 begins anew as if none so far were there.
				m.unwind(0)
				return oAgain, true
			}
			next = outcome(m.stack[i].b)
			f = m.cur // to where the mark is, and on as from there
			for f >= 0 && (m.frames[f].height > i || !m.frames[f].call && m.frames[f].keep == 0) {
				f = m.frames[f].parent
			}
		}
	}
	if f >= 0 {
		m.unwind(m.frames[f].height + m.frames[f].keep)
		return 0, false
	}
	m.unwind(0)
	return next, true
}

// grapheme is the length of an extended grapheme cluster, roughly by UAX 29.
func (m *machine) grapheme(pos int) int {
	r, w := m.next(pos)
	end := pos + w
	switch {
	case w == 0:
		return 0
	case r == '\r' && end < len(m.s) && m.s[end] == '\n':
		return 2
	case !m.utf || unicode.Is(unicode.Cc, r) || r == 0x2028 || r == 0x2029:
		return w
	}
	flags := one(regional(r))
	for prev := r; ; prev = r {
		if r, w = m.next(end); w == 0 || !joins(prev, r, flags) {
			return end - pos
		}
		flags += one(regional(r))
		end += w
	}
}

func regional(r rune) bool { return r >= 0x1f1e6 && r <= 0x1f1ff }

// joins reports whether two characters are in one cluster.
func joins(a, b rune, flags int) bool {
	switch {
	case unicode.In(b, unicode.Mn, unicode.Me, unicode.Mc), b == 0x200c, b == 0x200d, b >= 0x1f3fb && b <= 0x1f3ff:
		return true
	case a == 0x200d:
		return unicode.Is(unicode.So, b)
	case regional(a) && regional(b):
		return flags%2 == 1
	}
	const l, v, t = 0x1100, 0x1160, 0x11a8
	syllable := b >= 0xac00 && b <= 0xd7a3
	isL, isV, isT := b >= l && b < v, b >= v && b < t, b >= t && b < 0x1200
	switch {
	case a >= l && a < v:
		return isL || isV || syllable
	case a >= 0xac00 && a <= 0xd7a3 && (a-0xac00)%28 == 0, a >= v && a < t:
		return isV || isT
	case a >= 0xac00 && a <= 0xd7a3, a >= t && a < 0x1200:
		return isT
	}
	return false
}
