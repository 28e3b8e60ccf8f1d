package fulltext

import (
	"encoding/binary"
	"io"
	"slices"
)

// Builder gathers messages for a segment, in ascending order of UID.
type Builder struct {
	docs  []doc
	words map[string]*posting
	size  int
}

// posting is where a word is.
type posting struct {
	header, body         []byte
	lastHeader, lastBody int
}

// A builder is full when it has so much.
const (
	fullSize = 8 << 20 // roughly, in bytes of memory
	fullDocs = 8192
)

// Len is the number of messages.
func (b *Builder) Len() int { return len(b.docs) }

// Full reports that it is time to write a segment.
func (b *Builder) Full() bool { return b.size >= fullSize || len(b.docs) >= fullDocs }

// Add adds a message. One with a UID that is not higher than the one before is
// left out.
func (b *Builder) Add(uid uint32, w *Words) {
	w.End()
	if n := len(b.docs); n > 0 && b.docs[n-1].uid >= uid {
		return
	}
	if b.words == nil {
		b.words = make(map[string]*posting)
	}
	d := doc{uid: uid, opaque: w.over}
	if !w.over {
		d.words = uint32(len(w.header) + len(w.body))
		n := len(b.docs)
		for word := range w.header {
			p := b.posting(word)
			p.header, p.lastHeader = b.pack(p.header, n, p.lastHeader), n
		}
		for word := range w.body {
			p := b.posting(word)
			p.body, p.lastBody = b.pack(p.body, n, p.lastBody), n
		}
	}
	b.docs = append(b.docs, d)
	b.size += 16
}

func (b *Builder) posting(word string) *posting {
	p := b.words[word]
	if p == nil {
		p = new(posting)
		b.words[word] = p
		b.size += 160 + len(word)
	}
	return p
}

func (b *Builder) pack(to []byte, n, last int) []byte {
	b.size += 2
	return binary.AppendUvarint(to, uint64(n-last))
}

// write writes the segment and empties the builder.
func (b *Builder) write(out io.Writer, h Header) error {
	words := make([]string, 0, len(b.words))
	for word := range b.words {
		words = append(words, word)
	}
	slices.Sort(words)
	w := newWriter(out)
	for _, word := range words {
		p := b.words[word]
		w.add([]byte(word), p.header, p.body)
	}
	return w.finish(h, b.docs)
}

// cursor goes through all words of a segment.
type cursor struct {
	entries
	seg   *segment
	block int
	at    []int // the new places of its messages; -1 for those that are left out
	done  bool
}

func (c *cursor) next() error {
	for {
		if c.b != nil {
			ok, err := c.entries.next()
			if ok || err != nil {
				return err
			}
		}
		if c.block == len(c.seg.blocks) {
			c.done = true
			return nil
		}
		if err := c.entries.read(c.seg, c.block); err != nil {
			return err
		}
		c.block++
	}
}

// merge writes the messages of segments that are to be kept as one segment.
func merge(out io.Writer, h Header, segments []*segment, keep func(uid uint32) bool) error {
	docs, cursors := mergeDocs(segments, keep)
	w := newWriter(out)
	for _, c := range cursors {
		if err := c.next(); err != nil {
			return err
		}
	}
	var header, body []byte
	var numbers []int
	var word []byte
	for {
		found := false
		for _, c := range cursors {
			if !c.done && (!found || string(c.word) < string(word)) {
				word, found = append(word[:0], c.word...), true
			}
		}
		if !found {
			return w.finish(h, docs)
		}
		var err error
		if header, body, err = gather(cursors, word, header[:0], body[:0], &numbers); err != nil {
			return err
		}
		if len(header)+len(body) > 0 {
			w.add(word, header, body)
		}
		for _, c := range cursors {
			if !c.done && string(c.word) == string(word) {
				if err := c.next(); err != nil {
					return err
				}
			}
		}
	}
}

// mergeDocs makes one table of messages. What two segments have is taken from
// the first.
func mergeDocs(segments []*segment, keep func(uid uint32) bool) ([]doc, []*cursor) {
	var docs []doc
	cursors := make([]*cursor, len(segments))
	next := make([]int, len(segments))
	for i, s := range segments {
		cursors[i] = &cursor{seg: s, at: make([]int, len(s.docs))}
	}
	for {
		best := -1
		for i, s := range segments {
			if next[i] < len(s.docs) && (best < 0 || s.docs[next[i]].uid < segments[best].docs[next[best]].uid) {
				best = i
			}
		}
		if best < 0 {
			return docs, cursors
		}
		d := segments[best].docs[next[best]]
		kept := keep(d.uid)
		for i, s := range segments {
			if next[i] == len(s.docs) || s.docs[next[i]].uid != d.uid {
				continue
			}
			cursors[i].at[next[i]] = -1
			if kept && i == best {
				cursors[i].at[next[i]] = len(docs)
			}
			next[i]++
		}
		if kept {
			docs = append(docs, d)
		}
	}
}

// gather packs where a word is in all segments.
func gather(cursors []*cursor, word, header, body []byte, numbers *[]int) (h, b []byte, err error) {
	for _, inHeader := range []bool{true, false} {
		list := (*numbers)[:0]
		for _, c := range cursors {
			if c.done || string(c.word) != string(word) {
				continue
			}
			post, inBody, err := c.postings()
			if err != nil {
				return nil, nil, err
			}
			if !inHeader {
				post = inBody
			}
			err = unpack(post, len(c.at), func(n int) {
				if c.at[n] >= 0 {
					list = append(list, c.at[n])
				}
			})
			if err != nil {
				return nil, nil, err
			}
		}
		slices.Sort(list)
		last := 0
		for _, n := range list {
			if inHeader {
				header = binary.AppendUvarint(header, uint64(n-last))
			} else {
				body = binary.AppendUvarint(body, uint64(n-last))
			}
			last = n
		}
		*numbers = list
	}
	return header, body, nil
}
