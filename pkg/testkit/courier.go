package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Courier returns where Debian's Courier tools are unpacked, to compare ours
// with them.
func Courier(t testing.TB) string {
	t.Helper()
	root := os.Getenv("POSTHOUSE_COURIER_ROOT")
	if root == "" {
		root = "/var/cache/posthouse-test/courier"
	}
	if _, err := os.Stat(filepath.Join(root, "usr/sbin/userdbpw")); err != nil {
		t.Skipf("SKIPPED: no Courier tools in %s; tools/scripts/test-deps unpacks them: %v", root, err)
	}
	NeedTool(t, "perl")
	return root
}

// CourierTool returns a command of Courier's, with its libraries.
func CourierTool(t testing.TB, program string, args ...string) *exec.Cmd {
	t.Helper()
	root := Courier(t)
	cmd := exec.Command(filepath.Join(root, program), args...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(root, "usr/lib"))
	return cmd
}
