package scenario

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// takeInotify has a process take all inotify instances that the kernel has for
// a uid, until the test ends.
func takeInotify(t *testing.T, uid, gid int) {
	t.Helper()
	const program = `
import ctypes, os, sys
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[1]))
libc = ctypes.CDLL(None)
n = 0
while libc.inotify_init() >= 0: n += 1
print(n, flush=True)
sys.stdin.read()
`
	cmd := exec.Command("python3", "-c", program, strconv.Itoa(uid), strconv.Itoa(gid))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line == "0\n" {
		t.Fatalf("no inotify instance was taken: %q, %v", line, err)
	}
}

// TestIMAPWithoutInotify: where the kernel watches nothing for the users' uid, a
// session in IDLE has the processes that deliver tell it, both in their jails.
func TestIMAPWithoutInotify(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "python3")
	uid, gid := testkit.BoxOwner(t)
	mail := testkit.New(t)
	mail.UserDB(t, "secret", []string{"you"})
	mail.Start(t)
	takeInotify(t, uid, gid)
	c := dialIMAP(t, mail, false)
	c.login("you")
	c.cmd("OK", "SELECT INBOX")
	c.raw("i IDLE\r\n")
	for !strings.HasPrefix(c.line(), "+ ") {
	}
	dir := filepath.Join(mail.Maildir("you"), "posthouse.notify")
	testkit.Wait(t, "the session's FIFO", func() bool {
		list, _ := os.ReadDir(dir)
		return len(list) == 1 && list[0].Type() == os.ModeNamedPipe
	})
	// Another one that waits: what is told to it is told to the session.
	mine := filepath.Join(dir, "test")
	if err := unix.Mkfifo(mine, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(mine, 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(mine, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := lmtpSend(t, mail, "you", 1000); !strings.HasPrefix(got, "250 ") {
		t.Fatal(got)
	}
	testkit.Wait(t, "the notice of the delivery", func() bool {
		var b [1]byte
		n, err := f.Read(b[:])
		return n == 1 && (err == nil || err == io.EOF)
	})
	for c.line() != "* 1 EXISTS" {
	}
	c.raw("DONE\r\n")
	c.until("i")
	f.Close()
	os.Remove(mine)
	c.cmd("OK", "LOGOUT")
	testkit.Wait(t, "the end of the directory", func() bool {
		_, err := os.Lstat(dir)
		return os.IsNotExist(err)
	})
}
