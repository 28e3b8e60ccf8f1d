package main

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

// FuzzListing: a listing, whoever answers on the socket, ends in output or an
// error, and no control character reaches the terminal.
func FuzzListing(f *testing.F) {
	f.Add(stream, false)
	f.Add(stream, true)
	f.Add(strings.Replace(stream, "busy", "a\x1b[2Jb", 1), false)
	f.Add("protocol|x||", true)
	f.Fuzz(func(t *testing.T, in string, asJSON bool) {
		in = strings.ReplaceAll(in, "|", "\x00")
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		var p presenter = &table{w: w}
		if asJSON {
			p = &jsonLines{w: w}
		}
		if err := read(bufio.NewReader(strings.NewReader(in)), p); err != nil {
			return
		}
		w.Flush()
		for _, c := range out.Bytes() {
			if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
				t.Fatalf("control character %#x in %q", c, out.String())
			}
		}
	})
}
