package engine

import (
	"slices"
	"strings"
	"testing"
)

// TestRandomUTFAgainstPCRE2 makes expressions up that are about characters, and
// such as take bytes for letters of Latin 1.
func TestRandomUTFAgainstPCRE2(t *testing.T) {
	n := 4000
	if testing.Short() {
		n = 300
	}
	list := madeUp(21, n)
	letters := []string{"b", "\u00e4", "\u00c4", "\u4e2d", "\u0301", "\u00df", "\u212a"}
	for i := range list {
		e := &list[i]
		start := []string{"(*UTF)", "(*UTF)(*UCP)", "(*UCP)"}[i%3]
		letter := letters[i/3%len(letters)]
		if start == "(*UCP)" {
			letter = "\xe4"
		} else {
			// Not in \b, nor in words.
			e.pattern = strings.NewReplacer(`\b`, `\b`, "b", letter).Replace(e.pattern)
		}
		e.pattern = start + e.pattern
		for j := range e.subjects {
			e.subjects[j] = strings.ReplaceAll(e.subjects[j], "b", letter)
		}
	}
	for part := range slices.Chunk(list, 200) {
		agree(t, part, false)
	}
}
