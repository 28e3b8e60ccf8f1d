package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// imageMB is the size of the file system that is made for the benchmark.
const imageMB = 4096

// onServersDisk lets temporary folders be on a file system with a journal, as
// servers have it. Some virtual machines have an ext4 without one, which walks
// over all inodes that were deleted in the last minutes whenever a file is
// made: there, each system pays for what the other one did before.
func onServersDisk(t *testing.T) {
	t.Helper()
	if journal(t, os.TempDir()) {
		return
	}
	if err := testkit.CanMount(); err != nil {
		fmt.Printf("On a file system without a journal (%v): do not compare with other runs.\n", err)
		return
	}
	dir, err := os.MkdirTemp("", "benchfs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	i := testkit.NewImage(t, filepath.Join(dir, "disk"), imageMB, "-i", "8192")
	occupy(t, i)
	os.Chmod(i.At, 0o1777)
	t.Setenv("TMPDIR", i.At)
	fmt.Println("On an ext4 in a file, since the one below has no journal.")
}

// occupy gives the image all of its blocks, so that nobody pays for them while
// it is measured.
func occupy(t *testing.T, i *testkit.Image) {
	t.Helper()
	path := filepath.Join(i.At, "zeros")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for range imageMB {
		if _, err = f.Write(block); err != nil {
			break // full, as it should be
		}
	}
	f.Sync()
	f.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// journal reports whether a directory is on something other than an ext4
// without a journal.
func journal(t *testing.T, dir string) bool {
	t.Helper()
	var fs unix.Statfs_t
	var st unix.Stat_t
	if unix.Statfs(dir, &fs) != nil || fs.Type != unix.EXT4_SUPER_MAGIC || unix.Stat(dir, &st) != nil {
		return true
	}
	device, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return true
	}
	found, _ := filepath.Glob("/proc/fs/jbd2/" + filepath.Base(device) + "-*")
	return len(found) > 0
}
