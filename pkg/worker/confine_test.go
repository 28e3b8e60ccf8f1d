package worker

import (
	"os"
	"slices"
	"testing"
)

func TestConfine(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/home", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ dirs, want []string }{
		{[]string{dir + "/home/Maildir", dir + "/home"}, []string{dir + "/home"}},
		{[]string{dir + "/home", dir}, []string{dir + "/home", dir}},
		{[]string{dir + "/a/b/c", ""}, []string{dir}},
		{[]string{"/no-such-directory/x", "relative", "/"}, []string{"/no-such-directory/x", "relative", "/"}},
	} {
		if got := Confine(tt.dirs...); !slices.Equal(got, tt.want) {
			t.Errorf("Confine(%q) = %q, want %q", tt.dirs, got, tt.want)
		}
	}
}
