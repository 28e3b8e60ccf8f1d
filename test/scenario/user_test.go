package scenario

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestMakeRun is the first of the README's two commands, as an ordinary user
// in a copy of the source tree; the programs are built already.
func TestMakeRun(t *testing.T) {
	testkit.NeedRoot(t) // to be somebody else
	testkit.NeedTool(t, "git", "make", "go")
	t.Parallel()
	bin := testkit.Bin(t)
	dir, err := os.MkdirTemp("", "ph")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	user := testkit.NewAccount(t, dir, "phreader")
	tree := filepath.Join(user.Home, "posthouse")
	copyTree(t, filepath.Dir(bin), tree, user)

	port := strconv.Itoa(testkit.FreePorts(t))
	as := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Dir = tree
		// A compiler cache of one's own would take minutes to fill.
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + user.Home}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user.UID), Gid: uint32(user.GID)}, Setpgid: true}
		return cmd
	}
	// The port of README is taken when the tests run twice at once.
	sed := as("sed", "-i", "s/--user you@example.test/& --base-port "+port+"/; s/^run: build/run:/", "Makefile")
	if out, err := sed.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := as("make", "run")
	var log bytes.Buffer
	run.Stdout, run.Stderr = &log, &log
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		syscall.Kill(-run.Process.Pid, syscall.SIGINT)
		done := make(chan error, 1)
		go func() { done <- run.Wait() }()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Error("make run does not end on ^C")
			syscall.Kill(-run.Process.Pid, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("make run says\n%s", log.String())
		}
	}()
	s := dialWhenUp(t, "127.0.0.1:"+port)
	s.Cmd("250", "EHLO c.test")
	s.Message("a@sender.test", "you@example.test", "Subject: by SMTP\n\nx\n")
	send := as("bin/sendmail", "-C", "run/etc", "you@example.test")
	send.Stdin = strings.NewReader("Subject: hello\n\nFirst mail.\n")
	if out, err := send.CombinedOutput(); err != nil {
		t.Fatalf("sendmail: %v\n%s", err, out)
	}
	box := filepath.Join(tree, "run/mail/example.test/you/new")
	testkit.Wait(t, "two messages in "+box, func() bool {
		entries, _ := os.ReadDir(box)
		return len(entries) == 2
	})
	// The rest of "first ten minutes".
	for _, words := range [][]string{{"bin/postqueue", "-c", "run/etc", "-p"}, {"bin/postconf", "-c", "run/etc", "-n"},
		{"bin/posthouse", "-c", "run/etc", "check"}, {"bin/posthouse", "-c", "run/etc", "status"}, {"bin/posthouse", "-c", "run/etc", "reload"}} {
		if out, err := as(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(words, " "), err, out)
		}
	}
}

// dialWhenUp connects to a server that is starting.
func dialWhenUp(t *testing.T, addr string) *testkit.SMTP {
	t.Helper()
	testkit.Wait(t, "server on "+addr, func() bool { return greets(addr) })
	return testkit.Dial(t, addr)
}

// copyTree gives a user the files that a clone has, and built programs that
// the user owns; a folder of root's would be the easier case.
func copyTree(t *testing.T, from, to string, user testkit.Account) {
	t.Helper()
	list := exec.Command("git", "-c", "safe.directory="+from, "ls-files", "Makefile", "etc", "README.md")
	list.Dir = from
	out, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	files := strings.Fields(string(out))
	programs, err := os.ReadDir(filepath.Join(from, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		files = append(files, "bin/"+p.Name())
	}
	for _, f := range files {
		dst := filepath.Join(to, f)
		if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-P", filepath.Join(from, f), dst).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	filepath.WalkDir(to, func(path string, _ fs.DirEntry, _ error) error { return os.Lchown(path, user.UID, user.GID) })
}

// TestOrdinaryUserOfRootsPrograms: an ordinary user makes an instance with
// programs of somebody else's.
func TestOrdinaryUserOfRootsPrograms(t *testing.T) {
	testkit.NeedRoot(t)
	t.Parallel()
	mail := testkit.New(t, testkit.AsUser(65534, 65534))
	mail.Start(t)
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	s.Message("a@sender.test", "you@example.test", "Subject: one\n\nx\n")
	mail.Send(t, "Subject: two\n\nx\n", "you@example.test")
	mail.WaitMailbox(t, "you", 2)
	control(t, mail, 0, "", "check")
	control(t, mail, 0, "", "set-permissions")
	if uid, _, _ := owner(t, filepath.Join(mail.Dir, "etc/main.cf")); uid != 65534 {
		t.Errorf("main.cf belongs to %d", uid)
	}
}

// TestRootLeavesTheBuildTree: an instance of root's changes no program.
func TestRootLeavesTheBuildTree(t *testing.T) {
	testkit.NeedRoot(t)
	t.Parallel()
	mail := testkit.New(t)
	bin := testkit.Bin(t)
	for _, name := range []string{"postdrop", "postqueue"} {
		info, err := os.Stat(filepath.Join(bin, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&fs.ModeSetgid != 0 {
			t.Errorf("bin/%s is setgid", name)
		}
		if info, err = os.Stat(filepath.Join(mail.Dir, "sbin", name)); err != nil || info.Mode()&fs.ModeSetgid == 0 {
			t.Errorf("sbin/%s of the instance is not setgid: %v", name, err)
		}
	}
	// Anybody can send through a root instance, with -C.
	mail.Start(t)
	cmd := exec.Command(filepath.Join(mail.Dir, "sbin/sendmail"), "-C", mail.Etc(""), "you@example.test")
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.Stdin = strings.NewReader("Subject: x\n\nx\n")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sendmail as nobody: %v\n%s", err, out)
	}
	mail.WaitLog(t, `: uid=65534 from=<nobody>`)
	mail.WaitMailbox(t, "you", 1)
}
