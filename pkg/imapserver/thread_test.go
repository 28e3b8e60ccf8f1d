package imapserver

import (
	"fmt"
	"testing"
)

// TestDeepThreads: chains of References that strangers wrote, growing downward
// and at the top, end in threads of bounded depth, and no message is lost.
func TestDeepThreads(t *testing.T) {
	const n = 5 * maxThreadDepth
	id := func(i int) string { return fmt.Sprint(i, "@x") }
	for name, step := range map[string]int{"down": -1, "up": 1} {
		msgs := make([]threadable, n)
		for i := range msgs {
			msgs[i] = threadable{number: uint32(i + 1), id: id(i), refs: []string{id(i + step)}, sent: int64(i)}
		}
		seen, deepest := 0, 0
		type at struct {
			n     *node
			depth int
		}
		var todo []at
		for _, root := range references(msgs, true) {
			todo = append(todo, at{root, 0})
		}
		for len(todo) > 0 {
			x := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if x.n.msg != nil {
				seen++
			}
			deepest = max(deepest, x.depth)
			for _, c := range x.n.children {
				todo = append(todo, at{c, x.depth + 1})
			}
		}
		if seen != n || deepest > maxThreadDepth+2 {
			t.Errorf("%s: %d of %d messages, %d deep", name, seen, n, deepest)
		}
	}
}
