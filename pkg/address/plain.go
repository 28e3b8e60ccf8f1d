package address

// Nearly all address lists have nothing in them but addresses without quotes,
// and display names. What is found in those needs no tokens: the same as
// [Tokenize] and its readers find, for a fraction of the time.

// maxPlain bounds the lists that are tried.
const maxPlain = 4096

// span is the place of an address in a list.
type span struct{ start, end int }

// text is what a list may be in.
type text interface{ string | []byte }

// Complete reports whether an address is its own standard form, whatever the
// configuration completes or rewrites: a plain one with a dot in its domain. false
// says nothing.
func Complete(addr string) bool { return isPlain(addr) && domainHasDot(addr) }

func domainHasDot[T text](addr T) bool {
	return indexByte(addr, indexByte(addr, 0, '@')+1, '.') > 0
}

// ListComplete reports whether a list has nothing but plain addresses, each with
// a dot in its domain: none of them needs to be completed, or rewritten in
// standard form. false says nothing.
func ListComplete(value []byte) bool {
	var room [8]span
	spans, ok := plainList(room[:0], value)
	for _, a := range spans {
		ok = ok && domainHasDot(value[a.start:a.end])
	}
	return ok
}

// plainList appends the places of the addresses of a list; false means that
// there is something else in it, and that nothing is known.
func plainList[T text](spans []span, value T) ([]span, bool) {
	if len(value) > maxPlain {
		return nil, false
	}
	for i := 0; ; i++ {
		a, ok := plainElement(value, i)
		if !ok || !isPlain(value[a.start:a.end]) {
			return nil, false
		}
		spans = append(spans, a)
		i = a.end
		if i < len(value) && value[i] == '>' {
			i++
		}
		if i = skipSpace(value, i); i == len(value) {
			return spans, true
		}
		if value[i] != ',' {
			return nil, false
		}
	}
}

// plainElement finds the address of the element that begins at i.
func plainElement[T text](value T, i int) (span, bool) {
	i = skipSpace(value, i)
	start := i
	for ; i < len(value); i++ {
		switch value[i] {
		case '<':
			end := indexByte(value, i+1, '>')
			return span{i + 1, end}, end > 0
		case ',':
			return bare(value, start, i), true
		case '"':
			end := indexByte(value, i+1, '"')
			if end < 0 || indexByte(value[:end], i+1, '\\') >= 0 {
				return span{}, false
			}
			i = end
		case '(', ')', '[', ']', '\\', ':', ';', '>':
			return span{}, false
		}
	}
	return bare(value, start, i), true
}

// indexByte finds a byte at start or behind it.
func indexByte[T text](value T, start int, c byte) int {
	for i := start; i < len(value); i++ {
		if value[i] == c {
			return i
		}
	}
	return -1
}

// bare is the place of an address without brackets.
func bare[T text](value T, start, end int) span {
	for end > start && isSpace(value[end-1]) {
		end--
	}
	return span{start, end}
}

func skipSpace[T text](s T, i int) int {
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	return i
}

// isPlain reports whether an address is one in external form and in internal
// form as it stands: two dot-atoms (RFC 5322 3.2.3) of ASCII with an '@'
// between them, without the routing operators '!' and '%'.
func isPlain[T text](s T) bool {
	at, dot := false, true // a dot may not come here
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.' && !dot:
			dot = true
			continue
		case c == '@' && !at && !dot:
			at, dot = true, true
			continue
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
		case !at && indexByte("#$&'*+/=?^_`{|}~", 0, c) >= 0:
		default:
			return false
		}
		dot = false
	}
	return at && !dot
}
