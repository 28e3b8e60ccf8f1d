package main

import (
	"strings"
	"testing"
)

// events is what go test writes for a package with a test of each outcome, one
// whose process ended, one that does not build and one that is skipped as a whole.
const events = `{"ImportPath":"github.com/posthouse-mail/posthouse/pkg/d","Action":"build-output","Output":"d.go:1: oops\n"}
{"Action":"start","Package":"github.com/posthouse-mail/posthouse/pkg/a"}
{"Action":"run","Package":"github.com/posthouse-mail/posthouse/pkg/a","Test":"TestGood"}
{"Action":"output","Package":"github.com/posthouse-mail/posthouse/pkg/a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"github.com/posthouse-mail/posthouse/pkg/a","Test":"TestGood","Output":"    a_test.go:3: chatter\n"}
{"Action":"pass","Package":"github.com/posthouse-mail/posthouse/pkg/a","Test":"TestGood","Elapsed":0}
{"Action":"output","Package":"github.com/posthouse-mail/posthouse/pkg/a","Test":"TestRoot","Output":"=== RUN   TestRoot\n"}
{"Action":"output","Package":"github.com/posthouse-mail/posthouse/pkg/a","Test":"TestRoot","Output":"    a_test.go:7: SKIPPED: needs root\n"}
{"Action":"output","Package":"github.com/posthouse-mail/posthouse/pkg/a","Test":"TestRoot","Output":"--- SKIP: TestRoot (0.00s)\n"}
{"Action":"skip","Package":"github.com/posthouse-mail/posthouse/pkg/a","Test":"TestRoot","Elapsed":0}
{"Action":"output","Package":"github.com/posthouse-mail/posthouse/pkg/a","Output":"PASS\n"}
{"Action":"pass","Package":"github.com/posthouse-mail/posthouse/pkg/a","Elapsed":1.234}
{"Action":"output","Package":"github.com/posthouse-mail/posthouse/pkg/b","Test":"TestBad","Output":"    b_test.go:9: wrong\n"}
{"Action":"fail","Package":"github.com/posthouse-mail/posthouse/pkg/b","Test":"TestBad","Elapsed":0}
{"Action":"output","Package":"github.com/posthouse-mail/posthouse/pkg/b","Test":"TestDied","Output":"panic: gone\n"}
{"Action":"output","Package":"github.com/posthouse-mail/posthouse/pkg/b","Output":"FAIL pkg/b\n"}
{"Action":"fail","Package":"github.com/posthouse-mail/posthouse/pkg/b","Elapsed":1}
{"Action":"output","Package":"github.com/posthouse-mail/posthouse/test/c","Output":"SKIPPED: crash tests: no loop devices\n"}
{"Action":"output","Package":"github.com/posthouse-mail/posthouse/test/c","Output":"ok x (cached)\n"}
{"Action":"pass","Package":"github.com/posthouse-mail/posthouse/test/c","Elapsed":0}
go: a word of its own
`

func TestReport(t *testing.T) {
	var out strings.Builder
	r := newReport(&out)
	if err := r.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	r.skips()
	want := `d.go:1: oops
ok    pkg/a 1.23s
pkg/b:     b_test.go:9: wrong
pkg/b: panic: gone
FAIL pkg/b
ok    test/c (as before)
go: a word of its own
SKIPPED: 2 tests did not run:
    pkg/a TestRoot: a_test.go:7: SKIPPED: needs root
    test/c: SKIPPED: crash tests: no loop devices
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNothingSkipped(t *testing.T) {
	var out strings.Builder
	newReport(&out).skips()
	if out.String() != "No test was skipped.\n" {
		t.Errorf("got %q", out.String())
	}
}
