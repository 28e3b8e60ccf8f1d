package bench

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
)

// The options, which stand after -args.
var (
	full      = flag.Bool("full", false, "measure; without it only the arithmetic is tested")
	scenarios = flag.String("scenarios", "floor,discard,maildir,relay,latency,memory,deferred,pop3,imap,imapidle,auth,submission", "what to measure")
	rounds    = flag.Int("rounds", 3, "rounds; the medians of their figures are printed")
	sessions  = flag.String("sessions", "1,10,50", "numbers of parallel SMTP sessions")
	messages  = flag.Int("messages", 1500, "messages per measurement; a third of it with one session")
	deferred  = flag.Int("deferred", 20000, "messages in the deferred queue")
	idle      = flag.String("idle", "500,2000", "numbers of idle connections")
	mailWays  = flag.String("ways", "", "measure only these ways of the submission scenario, a regular expression")
	only      = flag.String("only", "", "measure only this system: Postfix or Posthouse")
)

func TestBench(t *testing.T) {
	if !*full {
		t.Skip("SKIPPED: measures only with -args -full, as `make bench` does")
	}
	refpostfix.Root(t)
	onServersDisk(t)
	fmt.Printf("Medians of %d rounds. A = Postfix, B = Posthouse.\n", *rounds)
	for _, s := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"floor", floor},
		{"discard", func(t *testing.T) { throughput(t, discard) }},
		{"maildir", func(t *testing.T) { throughput(t, maildir) }},
		{"relay", func(t *testing.T) { throughput(t, relay) }},
		{"latency", latency},
		{"memory", memory},
		{"deferred", deferredQueue},
		{"pop3", pop3},
		{"imap", imapScenario},
		{"imapidle", imapConnections},
	} {
		if slices.Contains(strings.Split(*scenarios, ","), s.name) {
			t.Run(s.name, s.run)
		}
	}
}

// numbers parses a list of positive numbers.
func numbers(t testing.TB, list string) []int {
	t.Helper()
	var out []int
	for _, word := range strings.Split(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 || n > 5000 {
			t.Fatalf("bad number %q in %q", word, list)
		}
		out = append(out, n)
	}
	return out
}

// table prints rows in columns, the first one to the left.
func table(title string, rows [][]string) {
	widths := map[int]int{}
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], len(cell))
		}
	}
	fmt.Fprintf(os.Stdout, "\n%s\n", title)
	for _, r := range rows {
		for i, cell := range r {
			if i == 0 {
				fmt.Fprintf(os.Stdout, "  %-*s", widths[i], cell)
				continue
			}
			fmt.Fprintf(os.Stdout, "  %*s", widths[i], cell)
		}
		fmt.Fprintln(os.Stdout)
	}
}
