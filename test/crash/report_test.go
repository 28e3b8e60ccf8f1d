package crash

import (
	"fmt"
	"os"
	"testing"
)

// maxFindings bounds what a failed run prints.
const maxFindings = 20

// report prints a figure line, and what was found wrong.
func report(t testing.TB, f *figures) {
	t.Helper()
	// Not t.Log: the line has to be seen without -v too.
	fmt.Println(f)
	if *results != "" {
		out, err := os.OpenFile(*results, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = fmt.Fprintln(out, f)
			out.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}
	if f.Dup > 0 {
		t.Logf("duplicates by kind of recipient: %v", f.DupBy)
	}
	for n, text := range f.Findings {
		if n == maxFindings {
			t.Logf("... and %d more", len(f.Findings)-n)
			break
		}
		t.Log(text)
	}
}
