package walls

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestMake: `make` alone builds what needs no C compiler, and `make help` shows
// every target that has a word of help.
func TestMake(t *testing.T) {
	testkit.NeedTool(t, "make")
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		cmd := exec.Command("make", args...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("make %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if plan := run("-n"); !strings.Contains(plan, "./qmgr") || strings.Contains(plan, "CGO_ENABLED=1") {
		t.Errorf("make alone does\n%s", plan)
	}
	help := run("-s", "help")
	for _, target := range []string{"all", "run", "test", "check", "install", "pam", "install-pam", "bench", "help"} {
		if !strings.Contains("\n"+help, "\n"+target+" ") {
			t.Errorf("make help says nothing of %s:\n%s", target, help)
		}
	}
}
