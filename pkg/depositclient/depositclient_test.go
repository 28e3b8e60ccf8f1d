package depositclient

import (
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/status"
)

func TestParseResult(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want status.Status
		ok   bool
	}{
		{"250 2.0.0 saved here", status.New(250, "2.0.0", "saved here"), true},
		{"452 4.2.2 full", status.New(452, "4.2.2", "full"), true},
		{"250 2.0.0", status.New(250, "2.0.0", ""), true},
		{"250 2.0.0 a\r\n250 b", status.New(250, "2.0.0", "a??250 b"), true},
		{"250 5.0.0 contradiction", status.Status{}, false},
		{"250", status.Status{}, false},
		{"", status.Status{}, false},
		{"999 9.0.0 x", status.Status{}, false},
	} {
		got, err := ParseResult(tc.in)
		if (err == nil) != tc.ok || got != tc.want {
			t.Errorf("%q: got %v, %v", tc.in, got, err)
		}
	}
}

func FuzzParseResult(f *testing.F) {
	f.Add("250 2.0.0 saved")
	f.Fuzz(func(t *testing.T, in string) {
		st, err := ParseResult(in)
		if err != nil {
			return
		}
		if strings.ContainsAny(st.Text, "\r\n\x00") {
			t.Errorf("text %q", st.Text)
		}
		if again, err := ParseResult(Result(st)); err != nil || again != st {
			t.Errorf("%q reads as %v, and that as %v, %v", in, st, again, err)
		}
	})
}
