package bench

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// deferredQueue measures what a large deferred queue costs.
func deferredQueue(t *testing.T) {
	both := systems(t, stuck, "")
	got := map[string]map[string][]float64{}
	for _, s := range both {
		got[s.name()] = map[string][]float64{}
		s.start(t)
		fill(t, s)
		s.stop(t)
	}
	for range *rounds {
		for _, s := range both {
			for what, v := range withDeferred(t, s) {
				got[s.name()][what] = append(got[s.name()][what], v)
			}
		}
	}
	rows := [][]string{{"", "A", "B", "B/A"}}
	for _, what := range []string{"start-up until a new message is delivered, s", "start-up until qmgr rests, s",
		"CPU s of start-up", "mailq, s", "msg/s accepted and discarded, 10 sessions kept", "PSS, KiB"} {
		a, b := median(got["Postfix"][what]), median(got["Posthouse"][what])
		rows = append(rows, []string{what, f2(a), f2(b), f2(ratio(b, a))})
	}
	table(fmt.Sprintf("with %d messages in the deferred queue", *deferred), rows)
}

// fill sends mail for a destination that nobody listens at.
func fill(t testing.TB, s system) {
	t.Helper()
	for sent := 0; sent < *deferred; {
		n := min(5000, *deferred-sent)
		deferSome(t, s, n)
		sent += n
	}
	if n := inDeferred(s); n != *deferred {
		t.Fatalf("%s: %d of %d messages in the deferred queue", s.name(), n, *deferred)
	}
}

// deferSome sends n messages and waits until they are deferred.
func deferSome(t testing.TB, s system, n int) {
	t.Helper()
	if out, err := source(t, s.addr(), stuck, cell{20, true}, n).CombinedOutput(); err != nil {
		t.Fatalf("%s: smtp-source: %v\n%s", s.name(), err, out)
	}
	drained(t, s)
}

func inDeferred(s system) int {
	n := 0
	filepath.WalkDir(filepath.Join(s.spool(), "deferred"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n
}

func withDeferred(t testing.TB, s system) map[string]float64 {
	t.Helper()
	m := map[string]float64{}
	begin := time.Now()
	s.start(t)
	c, err := dial(s.addr())
	if err == nil {
		_, err = c.message("sender@client.test", discard.recipient, body())
		c.Close()
	}
	if err != nil {
		t.Fatalf("%s: %v", s.name(), err)
	}
	drained(t, s)
	m["start-up until a new message is delivered, s"] = time.Since(begin).Seconds()
	m["start-up until qmgr rests, s"] = rests(t, s).Sub(begin).Seconds()
	m["CPU s of start-up"] = cpuSeconds(s.pid())
	begin = time.Now()
	out, err := s.mailq().Output()
	m["mailq, s"] = time.Since(begin).Seconds()
	if n := strings.Count(string(out), "someone@stuck.test"); err != nil || n != *deferred {
		t.Fatalf("%s: mailq shows %d messages, %v", s.name(), n, err)
	}
	m["msg/s accepted and discarded, 10 sessions kept"] = send(t, s, discard, cell{10, true}, *messages).rate
	m["PSS, KiB"] = pssKiB(s.pid())
	s.stop(t)
	return m
}

// rests waits until the processes have used no CPU time for a second, and
// returns when they last did. A tick now and then is their clock.
func rests(t testing.TB, s system) time.Time {
	t.Helper()
	quiet, used := time.Now(), cpuSeconds(s.pid())
	for deadline := time.Now().Add(time.Minute); time.Since(quiet) < time.Second; time.Sleep(50 * time.Millisecond) {
		if now := cpuSeconds(s.pid()); now > used+0.011 {
			quiet, used = time.Now(), now
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come to rest", s.name())
		}
	}
	return quiet
}
