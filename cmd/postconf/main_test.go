package main

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets many comparisons run at once: Postfix's tools sleep for
// seconds before each fatal error, and do nothing meanwhile.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
