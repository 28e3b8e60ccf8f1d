package imapserver

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

func isExpunged(err error) bool { return errors.Is(err, mailstore.ErrExpunged) }

// thread is THREAD (RFC 5256 3).
func (c *conn) thread() error {
	c.dec.SP()
	algorithm := c.dec.Word()
	c.dec.SP()
	r := &searchReader{c: c}
	r.charset = c.dec.AString()
	c.dec.SP()
	k := r.readKeys()
	if !c.dec.End() {
		return nil
	}
	if !knownCharset(r.charset) {
		return refuse("BADCHARSET (US-ASCII UTF-8)", "Unknown charset.")
	}
	switch algorithm {
	case "REFERENCES", "REFS", "ORDEREDSUBJECT":
	default:
		return badArgs("Unknown threading algorithm.")
	}
	found, err := c.find(k)
	if err != nil {
		return err
	}
	msgs, err := c.threadables(found)
	if err != nil {
		return err
	}
	var roots []*node
	if algorithm == "ORDEREDSUBJECT" {
		roots = orderedSubject(msgs)
	} else {
		roots = references(msgs, algorithm == "REFERENCES")
	}
	c.enc.Raw("* THREAD")
	if len(roots) > 0 {
		c.enc.SP()
	}
	for _, root := range roots {
		c.enc.Byte('(')
		c.tellThread(root)
		c.enc.Byte(')')
	}
	c.enc.CRLF()
	return c.ok("%s completed.", c.title())
}

// node is a message in a thread, or the place of one that is not here.
type node struct {
	msg      *threadable
	parent   *node
	children []*node
}

// threadable is a message with what threads are made of.
type threadable struct {
	number  uint32
	id      string
	refs    []string
	sent    int64
	subject string // base subject, folded
	reply   bool
}

func (c *conn) threadables(found []hit) ([]threadable, error) {
	out := make([]threadable, 0, len(found))
	keys := []sortKey{{name: "SUBJECT"}}
	for i, h := range found {
		if i&0xff == 0 && c.late() {
			return nil, c.lateError()
		}
		msg, ok := c.mb.Message(h.seq)
		if !ok {
			continue
		}
		info, err := c.sortInfo(&msg, keys)
		if err != nil {
			return nil, err
		}
		t := threadable{number: h.number(c.isUID()), sent: info.sent()}
		base, reply := baseSubject(info.field("subject"))
		t.subject, t.reply = foldString(base), reply
		if ids := messageIDs(info.field("message-id"), 1); len(ids) > 0 {
			t.id = ids[0]
		}
		t.refs = messageIDs(info.field("references"), maxReferences)
		if len(t.refs) == 0 {
			t.refs = messageIDs(info.field("in-reply-to"), 1)
		}
		out = append(out, t)
	}
	c.mb.FlushCache()
	return out, nil
}

// Bounds of what strangers may write into their References: maxReferences is of
// a message, maxThreadDepth of a thread. Chains that go on from message to
// message would else cost the square of their length, and a stack that ends the
// process with the sessions of all others in it.
const (
	maxReferences  = 100
	maxThreadDepth = 1000
)

// messageIDs takes message ids out of a field.
func messageIDs(s string, limit int) []string {
	var out []string
	for len(out) < limit {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			break
		}
		j := strings.IndexByte(s[i:], '>')
		if j < 0 {
			break
		}
		if id := s[i+1 : i+j]; id != "" {
			// A quoted local part is the same as one without.
			out = append(out, strings.ReplaceAll(id, `"`, ""))
		}
		s = s[i+j+1:]
	}
	return out
}

// orderedSubject is RFC 5256 3, ORDEREDSUBJECT: one level below the first of
// each subject.
func orderedSubject(msgs []threadable) []*node {
	order := make([]*threadable, len(msgs))
	for i := range msgs {
		order[i] = &msgs[i]
	}
	slices.SortStableFunc(order, func(a, b *threadable) int {
		return cmp.Or(strings.Compare(a.subject, b.subject), cmp.Compare(a.sent, b.sent), cmp.Compare(a.number, b.number))
	})
	var roots []*node
	for i, m := range order {
		n := &node{msg: m}
		if i > 0 && m.subject == order[i-1].subject {
			root := roots[len(roots)-1]
			root.children = append(root.children, n)
			continue
		}
		roots = append(roots, n)
	}
	slices.SortStableFunc(roots, compareNodes)
	return roots
}

// first is the message that stands for a node: its own, or that of its first
// child.
func (n *node) first() *threadable {
	for n.msg == nil && len(n.children) > 0 {
		n = n.children[0]
	}
	return n.msg
}

func compareNodes(a, b *node) int {
	x, y := a.first(), b.first()
	switch {
	case x == nil || y == nil:
		return 0
	}
	return cmp.Or(cmp.Compare(x.sent, y.sent), cmp.Compare(x.number, y.number))
}

// references is RFC 5256 3, REFERENCES; without subjects it is REFS.
func references(msgs []threadable, subjects bool) []*node {
	table := map[string]*node{}
	var order []*node // all nodes, so that nothing depends on the map's order
	get := func(id string) *node {
		n := table[id]
		if n == nil {
			n = &node{}
			table[id] = n
			order = append(order, n)
		}
		return n
	}
	for i := range msgs {
		m := &msgs[i]
		var n *node
		if m.id != "" {
			n = get(m.id)
		}
		if n == nil || n.msg != nil {
			// No id, or one that another message has: a node of its own.
			n = &node{}
			order = append(order, n)
		}
		n.msg = m
		var prev *node
		for _, id := range m.refs {
			ref := get(id)
			if prev != nil && ref.parent == nil && ref != prev && !ref.above(prev) {
				ref.join(prev)
			}
			prev = ref
		}
		if prev != nil && prev != n && !n.above(prev) {
			if n.parent != nil {
				n.leave()
			}
			n.join(prev)
		}
	}
	var roots []*node
	for _, n := range order {
		if n.parent == nil {
			roots = append(roots, n)
		}
	}
	roots = prune(roots, 0)
	sortLevel(roots)
	if subjects {
		roots = joinSubjects(roots)
		sortLevel(roots)
	}
	return roots
}

// above reports whether n is an ancestor of o, or o so deep in a thread that
// nothing may be put below it.
func (n *node) above(o *node) bool {
	depth := 0
	for p := o; p != nil; p = p.parent {
		if depth++; p == n || depth > maxThreadDepth {
			return true
		}
	}
	return false
}

func (n *node) join(parent *node) {
	n.parent = parent
	parent.children = append(parent.children, n)
}

func (n *node) leave() {
	p := n.parent
	p.children = slices.DeleteFunc(p.children, func(c *node) bool { return c == n })
	n.parent = nil
}

// prune takes out nodes without a message; their children move up, but at the
// top only a single one does. What is too deep becomes one level: a thread may
// have grown at its top.
func prune(level []*node, depth int) []*node {
	var out []*node
	top := depth == 0
	for _, n := range level {
		if depth < maxThreadDepth {
			n.children = prune(n.children, depth+1)
		} else {
			n.children = flat(n.children)
		}
		for _, c := range n.children {
			c.parent = n
		}
		switch {
		case n.msg != nil:
			out = append(out, n)
		case len(n.children) == 0:
		case !top || len(n.children) == 1:
			for _, c := range n.children {
				c.parent = nil
			}
			out = append(out, n.children...)
		default:
			out = append(out, n)
		}
	}
	return out
}

// flat returns all nodes below that have a message, without children.
func flat(level []*node) []*node {
	var out []*node
	for todo := slices.Clone(level); len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = append(todo[:len(todo)-1], n.children...)
		if n.children = nil; n.msg != nil {
			out = append(out, n)
		}
	}
	return out
}

func sortLevel(level []*node) {
	for _, n := range level {
		sortLevel(n.children)
	}
	slices.SortStableFunc(level, compareNodes)
}

// joinSubjects joins threads with the same subject (RFC 5256 3, REFERENCES,
// step 5).
func joinSubjects(roots []*node) []*node {
	table := map[string]*node{}
	for _, n := range roots {
		first := n.first()
		if first == nil || first.subject == "" {
			continue
		}
		old := table[first.subject]
		if old == nil || n.msg == nil && old.msg != nil || old.msg != nil && old.msg.reply && n.msg != nil && !n.msg.reply {
			table[first.subject] = n
		}
	}
	var out []*node
	moved := map[*node]bool{}
	for _, n := range roots {
		first := n.first()
		if first == nil || first.subject == "" {
			out = append(out, n)
			continue
		}
		other := table[first.subject]
		if other == n || moved[other] {
			out = append(out, n)
			continue
		}
		moved[n] = true
		switch {
		case other.msg == nil && n.msg == nil:
			for _, c := range n.children {
				c.join(other)
			}
		case other.msg == nil, n.msg != nil && n.msg.reply && !other.msg.reply:
			n.join(other)
		default:
			both := &node{children: []*node{}}
			copied := *other
			*other = *both
			kept := &copied
			for _, c := range kept.children {
				c.parent = kept
			}
			kept.parent = nil
			kept.join(other)
			n.join(other)
		}
	}
	return out
}

// tellThread appends a thread: a chain as numbers, branches in parentheses.
func (c *conn) tellThread(n *node) {
	first := true
	for depth := 0; n != nil; depth++ {
		if n.msg != nil {
			if !first {
				c.enc.SP()
			}
			first = false
			c.enc.Number(uint64(n.msg.number))
		}
		switch len(n.children) {
		case 0:
			return
		case 1:
			n = n.children[0]
			continue
		}
		if !first {
			c.enc.SP()
		}
		for _, child := range n.children {
			c.enc.Byte('(')
			c.tellThread(child)
			c.enc.Byte(')')
		}
		return
	}
}
