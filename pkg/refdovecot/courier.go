package refdovecot

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Courier runs one session of Courier's IMAP or POP3 server, with its client
// logged in, over the Maildir of a home directory, as the given user: input is
// what the client sends, and what the server sent comes back. The programs are
// unpacked from Debian's packages.
func Courier(t testing.TB, protocol, home string, uid, gid int, input string) string {
	t.Helper()
	root := os.Getenv("POSTHOUSE_COURIER_ROOT")
	if root == "" {
		root = "/var/cache/posthouse-test/courier"
	}
	program := map[string]string{"imap": "usr/bin/imapd", "pop3": "usr/lib/courier/courier/courierpop3d"}[protocol]
	program = filepath.Join(root, program)
	if _, err := os.Stat(program); err != nil {
		t.Skipf("SKIPPED: no reference Courier: %v; tools/scripts/test-deps unpacks it", err)
	}
	cmd := exec.Command(program, "Maildir")
	cmd.Dir = home
	cmd.Env = []string{"LD_LIBRARY_PATH=" + filepath.Join(root, "usr/lib/x86_64-linux-gnu"), "PATH=/usr/bin:/bin", "HOME=" + home, "IMAP_KEYWORDS=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	cmd.Stdin = bytes.NewReader([]byte(input))
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("Courier %s: %v\n%s\n%s", protocol, err, out.String(), log.String())
	}
	return out.String()
}
