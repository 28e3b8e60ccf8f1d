package structure

import (
	"strings"
	"testing"
)

// TestManyFields: a header of nothing but To costs no more than another one of
// its length.
func TestManyFields(t *testing.T) {
	h := ParseFields([]byte(strings.Repeat("To: a@b\r\n", 30000)))
	if n := strings.Count(h.Envelope.To, "a@b"); n != maxJoined+1 {
		t.Errorf("%d addresses", n)
	}
}
