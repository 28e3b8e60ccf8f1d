package index

// cursor walks through a table.
type cursor struct {
	t    *Table
	k, i int
	recs []Record // of chunk k, once read
}

func (c *cursor) end() bool { return c.k == len(c.t.chunks) }

// whole returns the chunk if the cursor is at its start.
func (c *cursor) whole() *Chunk {
	if c.i == 0 {
		return c.t.chunks[c.k]
	}
	return nil
}

func (c *cursor) skip() { c.k, c.i, c.recs = c.k+1, 0, nil }

func (c *cursor) get() (*Record, error) {
	if c.recs == nil {
		recs, err := c.t.chunks[c.k].records()
		if err != nil {
			return nil, err
		}
		c.recs = recs
	}
	return &c.recs[c.i], nil
}

func (c *cursor) next() {
	c.i++
	if c.i == c.t.chunks[c.k].N {
		c.skip()
	}
}

// Diff calls f for each message in which two tables differ, in order of UID:
// with before nil for a new one, with after nil for one that is gone. i is its
// index in the table that has it, in both if it has not changed place.
func Diff(before, after *Table, f func(a, b *Record)) error {
	x, y := cursor{t: before}, cursor{t: after}
	for !x.end() && !y.end() {
		if c := x.whole(); c != nil && c == y.whole() {
			x.skip()
			y.skip()
			continue
		}
		a, err := x.get()
		if err != nil {
			return err
		}
		b, err := y.get()
		if err != nil {
			return err
		}
		switch {
		case a.UID < b.UID:
			f(a, nil)
			x.next()
		case a.UID > b.UID:
			f(nil, b)
			y.next()
		default:
			if *a != *b {
				f(a, b)
			}
			x.next()
			y.next()
		}
	}
	for ; !x.end(); x.next() {
		a, err := x.get()
		if err != nil {
			return err
		}
		f(a, nil)
	}
	for ; !y.end(); y.next() {
		b, err := y.get()
		if err != nil {
			return err
		}
		f(nil, b)
	}
	return nil
}
