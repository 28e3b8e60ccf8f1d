package nowait

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLateTimers holds that each thread of the process has late timers, and each
// program that it starts. It runs in a process of its own, as this cannot be undone for all threads.
func TestLateTimers(t *testing.T) {
	const again = "LATE_TIMERS"
	if os.Getenv(again) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLateTimers$", "-test.v")
		cmd.Env = append(os.Environ(), again+"=yes")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if bytes.Contains(out, []byte("SKIP")) {
			t.Skipf("%s", out)
		}
		return
	}
	if err := LateTimers(3 * time.Millisecond); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("SKIP: built with cgo, where Go cannot make a call in all threads")
	} else if err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob("/proc/self/task/[0-9]*")
	if err != nil || len(threads) < 2 {
		t.Fatalf("threads: %q, %v", threads, err)
	}
	for _, thread := range threads {
		// Linux has the file for each thread, and shows it for the first only.
		b, err := os.ReadFile("/proc/" + filepath.Base(thread) + "/timerslack_ns")
		if os.IsNotExist(err) {
			continue // it has ended
		}
		if got := strings.TrimSpace(string(b)); err != nil || got != "3000000" {
			t.Errorf("thread %s: %q, %v", filepath.Base(thread), got, err)
		}
	}
	out, err := exec.Command("cat", "/proc/self/timerslack_ns").Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != "3000000" {
		t.Errorf("a program that is started: %q, %v", got, err)
	}
}
