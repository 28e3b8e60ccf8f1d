package getopt

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestEach(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", "[]"},
		{"-a -b x y", "a b=x [y]"},
		{"-abx -c y z", "a b=x c [y z]"},
		{"-ca x -a", "c a [x -a]"},
		{"-a -- -c", "a [-c]"},
		{"-a - -c", "a [- -c]"},
		{"-b -- c", "b=-- [c]"},
		{"-b", "option requires an argument -- 'b'"},
		{"-cb", "c option requires an argument -- 'b'"},
		{"-cx", "c invalid option -- 'x'"},
		{"-:", "invalid option -- ':'"},
		{"--long", "invalid option -- '-'"},
		{"-c stop", "c [stop]"},
		{"-cs", "c stop"},
	} {
		var got []string
		rest, err := Each(strings.Fields(tt.args), "ab:cs", func(c byte, value string) error {
			if c == 's' {
				return errors.New("stop")
			}
			if value != "" {
				value = "=" + value
			}
			got = append(got, string(rune(c))+value)
			return nil
		})
		if err != nil {
			got = append(got, err.Error())
			if _, ok := errors.AsType[*Error](err); ok != (err.Error() != "stop") {
				t.Errorf("%q: %T", tt.args, err)
			}
		} else {
			got = append(got, fmt.Sprint(rest))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%q: got %q, want %q", tt.args, s, tt.want)
		}
	}
}

// FuzzEach: whatever the words are, options come in their order, and what is left is
// the end of the command line.
func FuzzEach(f *testing.F) {
	f.Add("-abx\n-c\ny")
	f.Add("-b\n--\n--")
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\n")
		rest, err := Each(args, "ab:c", func(c byte, value string) error {
			if c != 'b' && value != "" {
				t.Errorf("%c has the value %q", c, value)
			}
			return nil
		})
		if err == nil && !strings.HasSuffix(text, strings.Join(rest, "\n")) {
			t.Errorf("%q leaves %q", args, rest)
		}
	})
}
