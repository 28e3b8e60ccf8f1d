package fulltext

// Limits of words.
const (
	// A longer word is cut into pieces that overlap: maxWord long, every
	// stride bytes.
	maxWord = 64
	stride  = 32
	// sure is the longest text of which each occurrence in a word lies
	// within one piece.
	sure = maxWord - stride + 1
	// maxWords is how many different words of a message are kept.
	maxWords = 20000
)

// isWord reports bytes that words are made of. Text is folded, but what folding
// makes of letters of other widths can be in upper case.
func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 0x80 || c >= 'A' && c <= 'Z'
}

// Words are the words of one message.
type Words struct {
	header, body map[string]struct{}
	to           map[string]struct{} // one of these
	piece        []byte              // a word that may go on
	cut          bool                // piece is not its beginning
	over         bool
}

// NewWords returns an empty set.
func NewWords() *Words {
	w := &Words{header: make(map[string]struct{}), body: make(map[string]struct{})}
	w.to = w.body
	return w
}

// Reset empties the set for the next message.
func (w *Words) Reset() {
	for _, m := range []*map[string]struct{}{&w.header, &w.body} {
		if len(*m) > maxWords/4 {
			*m = make(map[string]struct{}) // clearing costs by what it once had
		} else {
			clear(*m)
		}
	}
	w.to, w.piece, w.cut, w.over = w.body, w.piece[:0], false, false
}

// Header makes what follows the words of the header, or of the body.
func (w *Words) Header(yes bool) {
	w.End()
	if w.to = w.body; yes {
		w.to = w.header
	}
}

// Over reports whether there were more words than are kept.
func (w *Words) Over() bool { return w.over }

// GiveUp notes that the words are not all of them.
func (w *Words) GiveUp() { w.over = true }

func (w *Words) add(word []byte) {
	if _, ok := w.to[string(word)]; ok {
		return
	}
	if len(w.header)+len(w.body) >= maxWords {
		w.over = true
		return
	}
	w.to[string(word)] = struct{}{}
}

// Write takes a piece of folded text. A word may go on in the next one.
func (w *Words) Write(p []byte) {
	for len(p) > 0 && !w.over {
		n := 0
		for n < len(p) && isWord(p[n]) {
			n++
		}
		switch {
		case n == len(p) || len(w.piece) > 0 || n > maxWord:
			w.long(p[:n])
			if n < len(p) {
				w.End()
			}
		case n > 0:
			w.add(p[:n])
		}
		for n < len(p) && !isWord(p[n]) {
			n++
		}
		p = p[n:]
	}
}

// long adds to a word that may be too long or go on.
func (w *Words) long(p []byte) {
	for len(p) > 0 {
		n := min(len(p), maxWord-len(w.piece))
		w.piece = append(w.piece, p[:n]...)
		p = p[n:]
		if len(w.piece) == maxWord {
			w.add(w.piece)
			w.piece = append(w.piece[:0], w.piece[stride:]...)
			w.cut = true
		}
	}
}

// End ends a text: what comes next is another one.
func (w *Words) End() {
	// Of a word that was cut, the last bytes have been in the piece before.
	if len(w.piece) > 0 && (!w.cut || len(w.piece) > maxWord-stride) {
		w.add(w.piece)
	}
	w.piece, w.cut = w.piece[:0], false
}

// how says where in a word a text must be.
type how int

const (
	within how = iota
	first
	last
	whole
)

// condition is one that a message must meet: it has a word with text in it.
type condition struct {
	how  how
	text string
}

// maxConditions bounds what is looked for at once.
const maxConditions = 16

// conditions returns what a message must have in its words if it has the text
// somewhere. exact tells that a message that meets them has the text.
func conditions(text []byte) (list []condition, exact bool) {
	for i := 0; i < len(text) && len(list) < maxConditions; {
		if !isWord(text[i]) {
			i++
			continue
		}
		j := i
		for j < len(text) && isWord(text[j]) {
			j++
		}
		word := text[i:j]
		switch {
		case i == 0 && j == len(text):
			return []condition{{within, string(word[:min(len(word), sure)])}}, len(word) <= sure
		case i == 0:
			list = append(list, condition{last, string(word[max(0, len(word)-sure):])})
		case j == len(text):
			list = append(list, condition{first, string(word[:min(len(word), sure)])})
		case len(word) <= maxWord:
			list = append(list, condition{whole, string(word)})
		default:
			list = append(list, condition{within, string(word[:sure])})
		}
		i = j
	}
	return list, false
}
