package address

import "strings"

// Open tells what has no end in a list.
type Open struct{ Quote, Comment bool }

// Items cuts a list at those bytes of separators that are not within quotes,
// comments or angle brackets (RFC 5322 3.4), however long it is. Items may be
// empty, and have their blanks.
func Items(list, separators string) ([]string, Open) {
	var items []string
	start, depth := 0, 0
	quoted, angle := false, false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\':
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case !angle && strings.IndexByte(separators, c) >= 0:
			items = append(items, list[start:i])
			start = i + 1
		}
	}
	return append(items, list[start:]), Open{Quote: quoted, Comment: depth > 0}
}
