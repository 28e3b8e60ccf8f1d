package fulltext

import (
	"bytes"
	"context"
	"runtime"
	"sync"
)

// Found is what the index says about a text.
type Found struct {
	parts []part
	exact bool
}

// part is that of one segment.
type part struct {
	s    *segment
	hits []uint64 // a bit for each message
	bad  bool
}

// Verdict is what is known of a message.
type Verdict int

// Verdicts.
const (
	Unknown Verdict = iota // it has to be looked at
	Absent                 // the text is not there
	Present                // the text is there
)

// Verdict tells whether a message has the text.
func (f *Found) Verdict(uid uint32) Verdict {
	for i := range f.parts {
		p := &f.parts[i]
		n, ok := p.s.find(uid)
		switch {
		case !ok || p.bad:
			continue
		case p.s.docs[n].opaque:
			return Unknown
		case p.hits[n/64]&(1<<(n%64)) == 0:
			return Absent
		case f.exact:
			return Present
		}
		return Unknown
	}
	return Unknown
}

// Find looks for a folded text in the bodies, and in the headers if header is
// set. It returns nil if the index cannot help. A segment that is damaged
// counts as not there.
func (ix *Index) Find(ctx context.Context, text []byte, header bool) *Found {
	conds, exact := conditions(text)
	if len(conds) == 0 || len(ix.segments) == 0 {
		return nil
	}
	f := &Found{exact: exact, parts: make([]part, len(ix.segments))}
	met := make([][][]uint64, len(ix.segments)) // by segment and condition
	for i, s := range ix.segments {
		f.parts[i].s = s
		met[i] = make([][]uint64, len(conds))
		for c := range conds {
			met[i][c] = make([]uint64, (len(s.docs)+63)/64)
		}
	}
	bad := ix.scan(ctx, func(e *entries, take func(f func()), seg int) error {
		for c := range conds {
			if !conds[c].meets(e.word) {
				continue
			}
			inHeader, inBody, err := e.postings()
			if err != nil {
				return err
			}
			take(func() {
				err = mark(met[seg][c], inBody, len(e.s.docs))
				if header && err == nil {
					err = mark(met[seg][c], inHeader, len(e.s.docs))
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for i := range f.parts {
		f.parts[i].bad = bad[i]
		f.parts[i].hits = met[i][0]
		for _, other := range met[i][1:] {
			for n := range other {
				f.parts[i].hits[n] &= other[n]
			}
		}
	}
	return f
}

func mark(bits []uint64, postings []byte, docs int) error {
	return unpack(postings, docs, func(n int) { bits[n/64] |= 1 << (n % 64) })
}

// meets reports whether a word meets the condition.
func (c *condition) meets(word []byte) bool {
	switch c.how {
	case first:
		return len(word) >= len(c.text) && string(word[:len(c.text)]) == c.text
	case last:
		return len(word) >= len(c.text) && string(word[len(word)-len(c.text):]) == c.text
	case whole:
		return string(word) == c.text
	}
	return bytes.Contains(word, []byte(c.text))
}

// blocksAtOnce is how many blocks a goroutine takes.
const blocksAtOnce = 16

// scan goes over all words of all segments on all cores. try is called for each
// word; what it does to common data it does in take. The result tells which
// segments could not be read to their end.
func (ix *Index) scan(ctx context.Context, try func(e *entries, take func(f func()), seg int) error) []bool {
	type job struct{ seg, from, to int }
	var jobs []job
	for i, s := range ix.segments {
		for n := 0; n < len(s.blocks); n += blocksAtOnce {
			jobs = append(jobs, job{i, n, min(n+blocksAtOnce, len(s.blocks))})
		}
	}
	bad := make([]bool, len(ix.segments))
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := 0
	take := func(f func()) {
		mu.Lock()
		defer mu.Unlock()
		f()
	}
	for range min(runtime.GOMAXPROCS(0), len(jobs)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var e entries
			for {
				var j job
				mu.Lock()
				more := next < len(jobs)
				if more {
					j = jobs[next]
					next++
				}
				mu.Unlock()
				if !more {
					return
				}
				err := ctx.Err()
				for n := j.from; n < j.to && err == nil; n++ {
					err = e.each(ix.segments[j.seg], n, func() error { return try(&e, take, j.seg) })
				}
				if err != nil {
					take(func() { bad[j.seg] = true })
				}
			}
		}()
	}
	wg.Wait()
	return bad
}

// each calls f for each word of a block.
func (e *entries) each(s *segment, n int, f func() error) error {
	if err := e.read(s, n); err != nil {
		return err
	}
	for {
		ok, err := e.next()
		if !ok || err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
	}
}
