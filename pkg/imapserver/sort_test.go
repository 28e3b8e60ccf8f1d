package imapserver

import (
	"strings"
	"testing"
)

// TestBaseSubject: RFC 5256 2.1, and subjects that strangers made long: without
// a bound, each of these would take half a minute and more.
func TestBaseSubject(t *testing.T) {
	for _, tc := range []struct {
		subject, base string
		reply         bool
	}{
		{"Re: [list] Fwd: hello  world (fwd)", "hello world", true},
		{"[fwd: hello]", "hello", true},
		{"hello", "hello", false},
		{strings.Repeat("(fwd)", 13000), "", true},
		{strings.Repeat("[a]", 20000), "[", false},
		{strings.Repeat("re: ", 16000) + "x", "", true},
	} {
		if base, reply := baseSubject(tc.subject); base != tc.base || reply != tc.reply {
			t.Errorf("%.30s: %.30q %v", tc.subject, base, reply)
		}
	}
}
