// Gotest runs go test and says at the end which tests were skipped, and why.
//
// # Synopsis
//
//	go run ./tools/gotest [arguments of go test]
//
// # Description
//
// Without -v, go test says nothing of tests that are skipped, and with it nobody
// finds them among all the others. Here each package has its line, a failed test
// what it printed, and the list of skipped ones with their reasons comes last.
// The exit status is that of go test.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(2)
	}
	r := newReport(os.Stdout)
	readErr := r.read(out)
	err = cmd.Wait()
	r.skips()
	var status *exec.ExitError
	switch {
	case errors.As(err, &status):
		os.Exit(max(1, status.ExitCode()))
	case err != nil || readErr != nil:
		fmt.Fprintln(os.Stderr, "gotest:", errors.Join(err, readErr))
		os.Exit(2)
	}
}

// event is one line of `go test -json` (see `go doc test2json`).
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of a package that is built
	Elapsed                       float64
}

// report takes events and prints what somebody wants to read.
type report struct {
	w io.Writer
	// output is what a test has printed that has not ended, by package and
	// test; what belongs to no test has the name "".
	output map[[2]string]*strings.Builder
	list   []string // of skipped tests
}

func newReport(w io.Writer) *report {
	return &report{w: w, output: map[[2]string]*strings.Builder{}}
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			r.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the events of go test: %w", err)
		}
	}
}

func (r *report) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		io.WriteString(r.w, line) // go itself has something to say
		return
	}
	key := [2]string{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		io.WriteString(r.w, e.Output)
	case "output":
		if r.output[key] == nil {
			r.output[key] = new(strings.Builder)
		}
		r.output[key].WriteString(e.Output)
	case "pass", "fail", "skip":
		r.end(e, key)
	}
}

// end is the end of a test or of a package.
func (r *report) end(e event, key [2]string) {
	text := ""
	if b := r.output[key]; b != nil {
		text = b.String()
		delete(r.output, key)
	}
	switch {
	case e.Test != "" && e.Action == "fail":
		fmt.Fprintf(r.w, "%s: %s", short(e.Package), text)
	case e.Test != "" && e.Action == "skip":
		r.list = append(r.list, fmt.Sprintf("%s %s: %s", short(e.Package), e.Test, reason(text)))
	case e.Test == "":
		took := time.Duration(e.Elapsed * float64(time.Second)).Round(10 * time.Millisecond)
		switch {
		case e.Action == "fail":
			r.unfinished(e.Package)
			io.WriteString(r.w, text)
		case e.Action == "skip":
			// It has no tests, which go test says of some, not of others.
		case strings.Contains(text, "(cached)"):
			fmt.Fprintf(r.w, "ok    %s (as before)\n", short(e.Package))
		default:
			fmt.Fprintf(r.w, "ok    %s %v\n", short(e.Package), took)
		}
		r.outside(e.Package, text)
	}
}

// unfinished prints what tests said that never ended, because the process did.
func (r *report) unfinished(pkg string) {
	var names []string
	for key := range r.output {
		if key[0] == pkg && key[1] != "" {
			names = append(names, key[1])
		}
	}
	slices.Sort(names)
	for _, name := range names {
		key := [2]string{pkg, name}
		fmt.Fprintf(r.w, "%s: %s", short(pkg), r.output[key].String())
		delete(r.output, key)
	}
}

// outside finds what a package skipped as a whole, by TestMain.
func (r *report) outside(pkg, text string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "SKIPPED") {
			r.list = append(r.list, short(pkg)+": "+strings.TrimSpace(line))
		}
	}
}

// reason is what t.Skip printed, in one line.
func reason(output string) string {
	var words []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		words = append(words, line)
	}
	text := strings.Join(words, " ")
	if text == "" {
		return "no reason given"
	}
	return text
}

// short is a package without what all have.
func short(pkg string) string {
	return strings.TrimPrefix(pkg, "github.com/posthouse-mail/posthouse/")
}

func (r *report) skips() {
	if len(r.list) == 0 {
		fmt.Fprintln(r.w, "No test was skipped.")
		return
	}
	slices.Sort(r.list)
	fmt.Fprintf(r.w, "SKIPPED: %d tests did not run:\n", len(r.list))
	for _, line := range r.list {
		fmt.Fprintln(r.w, "   ", line)
	}
}
