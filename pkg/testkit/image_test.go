package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestImageAfterACut: what is mounted after a cut is alive, although a process
// in another mount namespace has kept the one before for a while.
func TestImageAfterACut(t *testing.T) {
	if err := CanMount(); err != nil {
		t.Skipf("SKIPPED: no file system to cut the power of: %v", err)
	}
	NeedTool(t, "unshare")
	i := NewImage(t, filepath.Join(t.TempDir(), "disk"), 16)
	holder := exec.Command("unshare", "-m", "sh", "-c", "echo; sleep 1")
	out, err := holder.StdoutPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Wait()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Skipf("SKIPPED: no mount namespace: %v", err)
	}
	Cut(t, i)
	i.Unmount(t)
	i.Mount(t)
	if err := os.WriteFile(filepath.Join(i.At, "file"), nil, 0o600); err != nil {
		t.Error(err)
	}
}
