package queue

// A hint tells the queue manager which message has come, so that it need not
// look for it in the incoming directory: the letter I of a plain request, then
// the queue id and a line feed, these with the highest bit set, which no letter of
// a request has.

const (
	hintBit = 0x80
	hintEnd = '\n' | hintBit
	// maxHint is the longest id in a hint. Trigger requests are read in pieces
	// of a KiB, of which one hint should not be a great part.
	maxHint = 64
)

// AppendHint appends a hint of a message to dst; nothing if its id is too long
// for one.
func AppendHint(dst []byte, id ID) []byte {
	if len(id) > maxHint {
		return dst
	}
	for i := range len(id) {
		dst = append(dst, id[i]|hintBit)
	}
	return append(dst, hintEnd)
}

// IsHint reports whether b is a byte of a hint.
func IsHint(b byte) bool { return b&hintBit != 0 }

// CutHint cuts the hint off with which p begins. The id is "" if there is none, or one
// of which a part is missing.
func CutHint(p []byte) (id ID, rest []byte) {
	n := 0
	for n < len(p) && IsHint(p[n]) && p[n] != hintEnd {
		n++
	}
	text := p[:n]
	if n == len(p) || p[n] != hintEnd {
		return "", p[n:]
	}
	if n == 0 || n > maxHint {
		return "", p[n+1:]
	}
	name := make([]byte, n)
	for i, b := range text {
		name[i] = b &^ hintBit
	}
	if !ValidID(string(name)) {
		return "", p[n+1:]
	}
	return ID(name), p[n+1:]
}
