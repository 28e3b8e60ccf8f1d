package fulltext

import (
	"bytes"
	"context"
	"math/bits"
)

// Fuzzy is a text that is looked for by its words, spelt about so (RFC 6203).
type Fuzzy struct {
	words  [][]byte
	header bool // header counts
}

// maxFuzzy is how many words of a text count.
const maxFuzzy = 8

// NewFuzzy takes the words of a folded text. Without words it matches nothing.
func NewFuzzy(text []byte, header bool) *Fuzzy {
	q := &Fuzzy{header: header}
	for i := 0; i < len(text) && len(q.words) < maxFuzzy; i++ {
		j := i
		for j < len(text) && isWord(text[j]) {
			j++
		}
		if word := plain(text[i:j]); len(word) > 0 && len(word) <= maxWord {
			q.words = append(q.words, bytes.Clone(word))
		}
		i = j
	}
	return q
}

// Words is the number of words that count.
func (q *Fuzzy) Words() int { return len(q.words) }

// plain leaves out the accents, which folded text has as characters behind
// letters (U+0300 to U+036F).
func plain(word []byte) []byte {
	if bytes.IndexByte(word, 0xcc) < 0 && bytes.IndexByte(word, 0xcd) < 0 {
		return word
	}
	out := make([]byte, 0, len(word))
	for i := 0; i < len(word); i++ {
		if i+1 < len(word) && (word[i] == 0xcc || word[i] == 0xcd && word[i+1] <= 0xaf) {
			i++
			continue
		}
		out = append(out, word[i])
	}
	return out
}

// quality is how well a word is the one looked for, from 0 to 100.
func quality(want, word []byte) int {
	if len(word) == 0 || word[0] != want[0] {
		return 0 // who misspells does not do so with the first letter
	}
	longer, shorter := word, want
	if len(longer) < len(shorter) {
		longer, shorter = want, word
	}
	if bytes.HasPrefix(longer, shorter) {
		switch {
		case len(longer) == len(shorter):
			return 100
		case len(word) > len(want) && len(want) >= 3, len(shorter) >= 4 && len(longer)-len(shorter) <= 3:
			return 50 + 40*len(shorter)/len(longer)
		}
		return 0
	}
	limit := 0
	if len(want) >= 4 {
		limit = 1
	}
	if len(want) >= 8 {
		limit = 2
	}
	if limit == 0 || len(longer)-len(shorter) > limit {
		return 0
	}
	if d := distance(want, word, limit); d <= limit {
		return 80 - 20*d
	}
	return 0
}

// distance is the number of letters that are wrong, missing, too many, or
// swapped with their neighbour; more than limit need not be exact.
func distance(a, b []byte, limit int) int {
	var rows [3][maxWord + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
			least = min(least, d)
		}
		if least > limit {
			return least
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// score makes a score of the qualities of the words in a message that has so
// many words; 0 if it does not match.
func (q *Fuzzy) score(qualities []uint8, words uint32) int {
	if len(q.words) == 0 {
		return 0
	}
	total, met := 0, 0
	for _, n := range qualities {
		if n > 0 {
			met++
		}
		total += int(n)
	}
	if met < len(q.words)-len(q.words)/4 {
		return 0
	}
	// In a short message a word says more.
	return max(1, total/len(q.words)*16/(16+bits.Len32(words/64)))
}

// inBody is what a word in the body counts where the header counts as well.
func (q *Fuzzy) inBody(quality int) uint8 {
	if q.header {
		quality = quality * 85 / 100
	}
	return uint8(quality)
}

// Score returns how well a message matches: 1 to 100, or 0 if it does not.
func (q *Fuzzy) Score(w *Words) int {
	w.End()
	qualities := make([]uint8, len(q.words))
	for i, want := range q.words {
		if q.header {
			for word := range w.header {
				qualities[i] = max(qualities[i], uint8(quality(want, plain([]byte(word)))))
			}
		}
		for word := range w.body {
			qualities[i] = max(qualities[i], q.inBody(quality(want, plain([]byte(word)))))
		}
	}
	return q.score(qualities, uint32(len(w.header)+len(w.body)))
}

// Scores are what the index says about a fuzzy text.
type Scores struct {
	q     *Fuzzy
	parts []scorePart
}

type scorePart struct {
	s         *segment
	qualities []uint8 // for each message those of all words
	bad       bool
}

// Fuzzy looks for a text by its words.
func (ix *Index) Fuzzy(ctx context.Context, q *Fuzzy) *Scores {
	f := &Scores{q: q, parts: make([]scorePart, len(ix.segments))}
	for i, s := range ix.segments {
		f.parts[i] = scorePart{s: s, qualities: make([]uint8, len(s.docs)*len(q.words))}
	}
	bad := ix.scan(ctx, func(e *entries, take func(f func()), seg int) error {
		word := plain(e.word)
		for i, want := range q.words {
			found := quality(want, word)
			if found == 0 {
				continue
			}
			header, body, err := e.postings()
			if err != nil {
				return err
			}
			p := &f.parts[seg]
			put := func(postings []byte, value uint8) error {
				return unpack(postings, len(e.s.docs), func(n int) {
					at := &p.qualities[n*len(q.words)+i]
					*at = max(*at, value)
				})
			}
			take(func() {
				err = put(body, q.inBody(found))
				if q.header && err == nil {
					err = put(header, uint8(found))
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
	}
	return f
}

// Score returns how well a message matches: 1 to 100, or 0 if it does not. ok
// is false if the index does not know.
func (f *Scores) Score(uid uint32) (score int, ok bool) {
	for i := range f.parts {
		p := &f.parts[i]
		n, in := p.s.find(uid)
		if !in || p.bad {
			continue
		}
		if p.s.docs[n].opaque {
			return 0, false
		}
		k := len(f.q.words)
		return f.q.score(p.qualities[n*k:(n+1)*k], p.s.docs[n].words), true
	}
	return 0, false
}
