package imapwire

import (
	"slices"
	"strings"
)

// Capabilities applies the parameter imap_capability to a list: words with
// '+' or '-' change it, others replace it.
func Capabilities(has, words []string) []string {
	caps := slices.Clone(has)
	for i, w := range words {
		switch {
		case strings.HasPrefix(w, "+"):
			if !slices.Contains(caps, w[1:]) {
				caps = append(caps, w[1:])
			}
		case strings.HasPrefix(w, "-"):
			caps = slices.DeleteFunc(caps, func(c string) bool { return strings.EqualFold(c, w[1:]) })
		default:
			if i == 0 {
				caps = nil
			}
			caps = append(caps, w)
		}
	}
	return caps
}
