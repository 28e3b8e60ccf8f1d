package crash

import (
	"fmt"
	"os"
	"testing"
)

// maxFindings bounds what a failed run prints.
const maxFindings = 20

// reportLine prints a figure line, and keeps it if that is wanted.
func reportLine(t testing.TB, line string) {
	t.Helper()
	// Not t.Log: the line has to be seen without -v too.
	fmt.Println(line)
	if *results == "" {
		return
	}
	out, err := os.OpenFile(*results, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = fmt.Fprintln(out, line)
		out.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

// report prints the figures of a run, and what was found wrong.
func report(t testing.TB, f *figures) {
	t.Helper()
	reportLine(t, f.String())
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
