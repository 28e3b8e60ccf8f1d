package index

import "sort"

// Edit makes a new table from one. It is used by one goroutine, once.
type Edit struct {
	base   *Table
	chunks []*Chunk
	own    map[int][]Record // chunks that this edit has copied, by position
	tail   []Record
	err    error
}

// Edit begins a change of t, which stays as it is.
func (t *Table) Edit() *Edit {
	return &Edit{base: t, chunks: t.chunks, own: make(map[int][]Record)}
}

// find returns the own copy of the chunk that has uid, and where; ok is false
// if no message has it.
func (e *Edit) find(uid uint32) (k, i int, ok bool) {
	k = sort.Search(len(e.chunks), func(k int) bool { return e.chunks[k].Last >= uid })
	if k == len(e.chunks) || e.err != nil {
		return 0, 0, false
	}
	recs, mine := e.own[k]
	if !mine {
		if uid < e.chunks[k].First {
			return 0, 0, false
		}
		shared, err := e.chunks[k].records()
		if err != nil {
			e.err = err
			return 0, 0, false
		}
		recs = shared
	}
	i = sort.Search(len(recs), func(i int) bool { return recs[i].UID >= uid })
	if i == len(recs) || recs[i].UID != uid {
		return 0, 0, false
	}
	if !mine {
		e.own[k] = append(make([]Record, 0, len(recs)), recs...)
	}
	return k, i, true
}

// Record returns the record with this UID for changing, or nil. The pointer
// is good until the next call of a method.
func (e *Edit) Record(uid uint32) *Record {
	if n := len(e.tail); n > 0 && uid >= e.tail[0].UID {
		i := sort.Search(n, func(i int) bool { return e.tail[i].UID >= uid })
		if i < n && e.tail[i].UID == uid {
			return &e.tail[i]
		}
		return nil
	}
	k, i, ok := e.find(uid)
	if !ok {
		return nil
	}
	return &e.own[k][i]
}

// Remove takes a message out and reports whether it was there.
func (e *Edit) Remove(uid uint32) bool {
	if n := len(e.tail); n > 0 && uid >= e.tail[0].UID {
		i := sort.Search(n, func(i int) bool { return e.tail[i].UID >= uid })
		if i == n || e.tail[i].UID != uid {
			return false
		}
		e.tail = append(e.tail[:i], e.tail[i+1:]...)
		return true
	}
	k, i, ok := e.find(uid)
	if !ok {
		return false
	}
	e.own[k] = append(e.own[k][:i], e.own[k][i+1:]...)
	return true
}

// Last returns the highest UID.
func (e *Edit) Last() uint32 {
	if n := len(e.tail); n > 0 {
		return e.tail[n-1].UID
	}
	return e.base.sum.Last
}

// Append adds a message, whose UID must be higher than all others.
func (e *Edit) Append(r Record) { e.tail = append(e.tail, r) }

// Done returns the new table.
func (e *Edit) Done() (*Table, error) {
	if e.err != nil {
		return nil, e.err
	}
	if len(e.own) == 0 && len(e.tail) == 0 {
		return e.base, nil
	}
	out := make([]*Chunk, 0, len(e.chunks)+1+len(e.tail)/ChunkSize)
	for k, c := range e.chunks {
		recs, mine := e.own[k]
		switch {
		case !mine:
			out = append(out, c)
		case len(recs) > 0:
			out = append(out, newChunk(recs))
		}
	}
	return e.addTail(out)
}

// addTail puts the new messages behind the others; the last chunk is filled
// up first.
func (e *Edit) addTail(out []*Chunk) (*Table, error) {
	tail := e.tail
	if n := len(out); n > 0 && len(tail) > 0 && out[n-1].N < ChunkSize {
		last, err := out[n-1].records()
		if err != nil {
			return nil, err
		}
		room := min(ChunkSize-len(last), len(tail))
		recs := make([]Record, 0, len(last)+room)
		recs = append(append(recs, last...), tail[:room]...)
		out[n-1] = newChunk(recs)
		tail = tail[room:]
	}
	for len(tail) > 0 {
		n := min(len(tail), ChunkSize)
		out = append(out, newChunk(tail[:n:n]))
		tail = tail[n:]
	}
	return newTable(out), nil
}
