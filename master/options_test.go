package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestUsage: who asks for help gets it, and a wrong option comes with it.
func TestUsage(t *testing.T) {
	program := filepath.Join(testkit.Bin(t), "master")
	out, err := exec.Command(program, "--help").Output()
	if err != nil || string(out) != usage+"\n" {
		t.Errorf("--help: %v, %q", err, out)
	}
	for arg, problem := range map[string]string{"--nonsense": "unknown flag: --nonsense", "word": `unexpected argument "word"`} {
		out, err := exec.Command(program, arg).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || string(out) != "master: fatal: "+problem+"\n"+usage+"\n" {
			t.Errorf("%s: %v, %q", arg, err, out)
		}
	}
}
