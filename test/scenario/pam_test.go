package scenario

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/pam"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// pamHelper builds authd-pam in a folder of its own, and skips where that
// cannot be done.
func pamHelper(t *testing.T) (dir string) {
	t.Helper()
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "gcc", "chpasswd", "chage")
	if _, err := os.Stat("/usr/include/security/pam_appl.h"); err != nil {
		t.Skip("SKIPPED: no header files of PAM (libpam0g-dev): ", err)
	}
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, pam.Helper), "./optional/authd-pam")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build authd-pam: %v\n%s", err, out)
	}
	return dir
}

// pamService makes a service of PAM for the length of a test.
func pamService(t *testing.T, name, text string) {
	t.Helper()
	file := "/etc/pam.d/" + name
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(file) })
}

// pamSite is an instance whose users are those of the system, checked by PAM,
// and a function that logs in by it.
func pamSite(t *testing.T, settings ...string) (mail *testkit.Instance, helper string, login func(service, login, password string) authclient.Outcome) {
	t.Helper()
	dir := pamHelper(t)
	mail = testkit.New(t)
	mail.Set(t, append([]string{"auth_sources = pam", "auth_failure_delay = 0", "auth_pam_service = posthouse-test"}, settings...)...)
	mail.Service(t, "pam unix - n n - 1 pamd -o client_limit=100 -o daemon_directory="+dir)
	mail.Start(t)
	c := authclient.New(mail.Spool(authclient.Endpoint))
	t.Cleanup(c.Close)
	return mail, filepath.Join(dir, pam.Helper), func(service, login, password string) authclient.Outcome {
		t.Helper()
		step, err := c.Plain(context.Background(), authclient.Peer{Service: service, RemoteIP: "192.0.2.1", TLS: true}, login, password)
		if err != nil {
			t.Logf("%s: %v", login, err)
		}
		return step.Outcome
	}
}

func run(t *testing.T, stdin, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// TestPAM: system accounts log in with the passwords that pam_unix has, unless
// they are locked, have expired, or belong to the system.
func TestPAM(t *testing.T) {
	pamService(t, "posthouse-test", "auth required pam_unix.so\naccount required pam_unix.so\n")
	mail, _, login := pamSite(t)
	testkit.NewAccount(t, mail.Dir, "phpam1")
	testkit.NewAccount(t, mail.Dir, "phpam2")
	run(t, "phpam1:secret\nphpam2:secret\n", "chpasswd")
	expect := func(name, password string, want authclient.Outcome) {
		t.Helper()
		if got := login("imap", name, password); got != want {
			t.Errorf("%s %s: %v, want %v", name, password, got, want)
		}
	}
	expect("phpam1", "secret", authclient.OK)
	expect("PhPam1", "secret", authclient.OK)
	expect("phpam1", "wrong", authclient.Failed)
	expect("phpam1", "", authclient.Failed)
	expect("nobody-there", "secret", authclient.Failed)
	expect("root", "secret", authclient.Failed)
	expect("phpam2", "secret", authclient.OK)
	run(t, "", "chage", "-E", "1970-01-02", "phpam2")
	expect("phpam2", "secret", authclient.Failed)
	mail.WaitLog(t, `pamd.*login <phpam2>: the account may not log in`)
	run(t, "", "chage", "-E", "-1", "phpam2")
	run(t, "", "usermod", "-L", "phpam2")
	expect("phpam2", "secret", authclient.Failed)
	run(t, "phpam1:another\n", "chpasswd")
	expect("phpam1", "secret", authclient.Failed)
	expect("phpam1", "another", authclient.OK)
	if log := mail.Log(); strings.Contains(strings.ReplaceAll(log, "wrong secret", ""), "secret") || strings.Contains(log, "another") {
		t.Error("a password is in the log")
	}
}

// TestPAMService: the service of the client chooses that of PAM where the setting
// says so; a module that hangs makes a temporary failure; one that is missing, too.
func TestPAMService(t *testing.T) {
	pamService(t, "posthouse-test-imap", "auth required pam_permit.so\naccount required pam_permit.so\n")
	pamService(t, "posthouse-test-pop3", "auth required pam_permit.so\naccount required pam_deny.so\n")
	pamService(t, "posthouse-test-smtp", "auth required pam_exec.so quiet /bin/sleep 300\naccount required pam_permit.so\n")
	pamService(t, "posthouse-test-other", "auth required pam_deny.so\naccount required pam_permit.so\n")
	mail, helper, login := pamSite(t, "auth_pam_service = posthouse-test-%s", "auth_pam_time_limit = 10s")
	testkit.NewAccount(t, mail.Dir, "phpam3")
	for service, want := range map[string]authclient.Outcome{
		"imap": authclient.OK, "pop3": authclient.Failed, "smtp": authclient.Temporary, "../su": authclient.Failed,
	} {
		if got := login(service, "phpam3", "secret"); got != want {
			t.Errorf("%s: %v, want %v", service, got, want)
		}
	}
	testkit.Wait(t, "the helper that hung to be gone", func() bool { return !runs(t, helper) })
	if got := login("imap", "phpam3", "secret"); got != authclient.OK {
		t.Errorf("after that: %v", got)
	}
	askPAMAs(t, mail)
}

// runs tells whether there is a process of a program.
func runs(t *testing.T, program string) bool {
	t.Helper()
	running, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(running, func(link string) bool {
		exe, _ := os.Readlink(link)
		return exe == program
	})
}

// TestPAMLeavesNothing: what a module starts, in its helper's session or in one of
// its own, ends with the helper, whether that says yes or takes too long.
func TestPAMLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	program, told := filepath.Join(dir, "stays"), filepath.Join(dir, "told")
	script := func(name, last string) string {
		path := filepath.Join(dir, name)
		text := fmt.Sprintf("#!/bin/sh\n%[1]s 300 &\nsetsid %[1]s 300 &\nsetsid sh -c '%[1]s 300 & %[1]s 300 & exit' &\n"+
			"while [ $(pgrep -cf '^%[1]s 300') -lt 4 ]; do sleep 0.1; done\necho >>%[2]s\n%[3]s\n", program, told, last)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.WriteFile(program, sleep, 0o755); err != nil {
		t.Fatal(err)
	}
	testkit.NeedTool(t, "setsid", "pgrep")
	pamService(t, "posthouse-test-imap", "auth required pam_exec.so quiet "+script("ends", "exit 0")+"\naccount required pam_permit.so\n")
	pamService(t, "posthouse-test-pop3", "auth required pam_exec.so quiet "+script("hangs", program+" 300")+"\naccount required pam_permit.so\n")
	mail, _, login := pamSite(t, "auth_pam_service = posthouse-test-%s", "auth_pam_time_limit = 20s")
	testkit.NewAccount(t, mail.Dir, "phpam4")
	for n, try := range []struct {
		service string
		want    authclient.Outcome
	}{{"imap", authclient.OK}, {"pop3", authclient.Temporary}} {
		if got := login(try.service, "phpam4", "secret"); got != try.want {
			t.Errorf("%s: %v, want %v", try.service, got, try.want)
		}
		// Else there was nothing to end.
		if text, err := os.ReadFile(told); err != nil || len(text) != n+1 {
			t.Fatalf("%s: the module started nothing: %q, %v", try.service, text, err)
		}
		testkit.Wait(t, try.service+": what the module started to be gone", func() bool { return !runs(t, program) })
	}
}

// askPAMAs: no other part of the mail system may ask pamd, since it would guess
// without delays.
func askPAMAs(t *testing.T, mail *testkit.Instance) {
	t.Helper()
	testkit.NeedTool(t, "setpriv", "/usr/bin/python3")
	script := fmt.Sprintf(`import socket
s = socket.socket(socket.AF_UNIX)
s.settimeout(30)
s.connect(%q)
try:
    s.sendall(b"request\0check\0service\0posthouse-test-imap\0login\0phpam3\0rip\0\0password\0c2VjcmV0\0\0")
    print(s.recv(1000))
except (BrokenPipeError, ConnectionResetError):
    print(b"")  # hung up on, before or after it has asked`, mail.Spool(pam.Endpoint))
	for who, want := range map[string]string{"posthouse-auth": `status\x00ok`, "posthouse": "b''"} {
		out, err := exec.Command("setpriv", "--reuid="+who, "--clear-groups", "--regid=posthouse", "/usr/bin/python3", "-c", script).CombinedOutput()
		if !strings.Contains(string(out), want) {
			t.Errorf("%s: %v %s, want %s", who, err, out, want)
		}
	}
}
