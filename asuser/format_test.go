package main

import (
	"bytes"
	"io"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

func TestFormatted(t *testing.T) {
	const text = "From s  Thu\nX: 1\n\n.dot\n..\nFrom here\nFro\nF\n>From x\nFrom\nFromage\n\nlast\n"
	for _, tc := range []struct {
		name string
		req  ipc.List
		want string
	}{
		{"plain", nil, text},
		{"eol", ipc.List{}.Str("eol", "\r\n"), "From s  Thu\r\nX: 1\r\n\r\n.dot\r\n..\r\nFrom here\r\nFro\r\nF\r\n>From x\r\nFrom\r\nFromage\r\n\r\nlast\r\n"},
		{"from", ipc.List{}.Bool("from", true), "From s  Thu\nX: 1\n\n.dot\n..\n>From here\nFro\nF\n>From x\nFrom\nFromage\n\nlast\n"},
		{"dots", ipc.List{}.Bool("dots", true), "From s  Thu\nX: 1\n\n..dot\n...\nFrom here\nFro\nF\n>From x\nFrom\nFromage\n\nlast\n"},
		{"all", ipc.List{}.Bool("dots", true).Bool("from", true).Bool("blank", true).Str("eol", "|"),
			"From s  Thu|X: 1||..dot|...|>From here|Fro|F|>From x|From|Fromage||last||"},
	} {
		for _, piece := range []int{1, 2, 3, 7, 1000} {
			var out bytes.Buffer
			err := formatted(tc.req, func(w io.Writer) error {
				for rest := []byte(text); len(rest) > 0; {
					n := min(piece, len(rest))
					if _, err := w.Write(rest[:n]); err != nil {
						return err
					}
					rest = rest[n:]
				}
				return nil
			})(&out)
			if err != nil || out.String() != tc.want {
				t.Errorf("%s in pieces of %d: %v\n%q, want\n%q", tc.name, piece, err, out.String(), tc.want)
			}
		}
	}
}
