package scenario

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestUsageOfDaemons: each program that master.cf can name says with --help what
// it is and who starts it, and refuses what it does not know.
func TestUsageOfDaemons(t *testing.T) {
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob(filepath.Join(root, "*/main.go"))
	if err != nil {
		t.Fatal(err)
	}
	etc := t.TempDir()
	if err := os.WriteFile(filepath.Join(etc, "master.cf"), []byte("# comment\n"+
		"25 inet n - y - 2 smtpd\n587 inet n - y - 1 smtpd\n  -o a=b\nx unix - - y - 1 lmtp\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	names := []string{"lmtp"}
	for _, path := range sources {
		if text, err := os.ReadFile(path); err != nil {
			t.Fatal(err)
		} else if strings.Contains(string(text), "service.Main(") {
			names = append(names, filepath.Base(filepath.Dir(path)))
		}
	}
	if len(names) < 20 {
		t.Fatalf("daemons: %s", names)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			program := filepath.Join(testkit.Bin(t), name)
			out, err := exec.Command(program, "-c", etc, "--help").Output()
			started := "master starts it, for lines of master.cf that name it; " + etc + "/master.cf has none"
			switch name {
			case "smtpd":
				started = "master starts it, for these services:\n  " + etc + "/master.cf:2: 25 inet\n  " + etc + "/master.cf:3: 587 inet\n"
			case "lmtp":
				started = "for these services:\n  " + etc + "/master.cf:5: x unix\n"
			}
			for _, want := range []string{"usage: " + name + " [generic daemon options]", "\n" + name + " ", started,
				"\n  --listen PLACE ", "Manual pages: " + name + "(8), "} {
				if err != nil || !strings.Contains(string(out), want) {
					t.Fatalf("%v\n%s\nwant: %s", err, out, want)
				}
			}
			for line := range strings.Lines(string(out)) {
				if len(line) > 140 && !strings.Contains(line, etc) {
					t.Errorf("long line: %s", line)
				}
			}
			wrong := []string{"--bogus"}
			if name == "pipe" {
				wrong = []string{"-g", "x"}
			}
			for _, args := range [][]string{nil, wrong, {"-o", "nonsense"}} {
				out, err := exec.Command(program, args...).CombinedOutput()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.HasPrefix(string(out), name+": fatal: ") ||
					!strings.Contains(string(out), "\nusage: "+name+" ") {
					t.Errorf("%q: %v\n%s", args, err, out)
				}
			}
		})
	}
}
