package scenario

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/posthouse-mail/posthouse/etc"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestInstallHasAll: what is in etc/files, in the source tree's folders of
// programs and in the manual is in a package.
func TestInstallHasAll(t *testing.T) {
	t.Parallel()
	testkit.NeedTool(t, "make")
	bin := testkit.Bin(t)
	root := filepath.Dir(bin)
	dest := t.TempDir()
	cmd := exec.Command("make", "-s", "install", "DESTDIR="+dest)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	have := func(path string) bool {
		info, err := os.Lstat(filepath.Join(dest, path))
		return err == nil && (info.IsDir() || info.Size() > 0)
	}
	expand := strings.NewReplacer("$config_directory", "/etc/posthouse", "$daemon_directory", "/usr/lib/posthouse", "$command_directory", "/usr/sbin")
	for _, line := range strings.Split(etc.Files, "\n") {
		f := strings.Fields(line)
		// The queue and the data directory are made by set-permissions.
		if len(f) == 5 && f[0] != "#" && !strings.HasPrefix(f[0], "$queue") && !strings.HasPrefix(f[0], "$data") && !have(expand.Replace(f[0])) {
			t.Errorf("%s is not installed", f[0])
		}
	}
	mains, _ := filepath.Glob(filepath.Join(root, "*", "main.go"))
	commands, _ := filepath.Glob(filepath.Join(root, "cmd", "*", "main.go"))
	for _, m := range append(mains, commands...) {
		name := filepath.Base(filepath.Dir(m))
		dir, section := "/usr/lib/posthouse/", "8"
		if strings.Contains(m, "/cmd/") {
			dir, section = "/usr/sbin/", "1"
		}
		if !have(dir + name) {
			t.Errorf("%s%s is not installed", dir, name)
		}
		if !have("/usr/share/man/man8/"+name+".8") && !have("/usr/share/man/man"+section+"/"+name+"."+section) {
			t.Errorf("no manual page of %s", name)
		}
	}
	for _, path := range []string{"/usr/lib/posthouse/lmtp", "/usr/bin/mailq", "/usr/bin/newaliases", "/usr/sbin/postalias", "/usr/share/man/man5/postconf.5",
		"/usr/share/bash-completion/completions/posthouse", "/etc/posthouse/aliases", "/usr/lib/systemd/system/posthouse.service",
		"/usr/lib/sysusers.d/posthouse.conf", "/usr/lib/tmpfiles.d/posthouse.conf"} {
		if !have(path) {
			t.Errorf("%s is not installed", path)
		}
	}
	checkUnit(t, dest)
}

// checkUnit has systemd's own tools look at what is for systemd.
func checkUnit(t *testing.T, dest string) {
	t.Helper()
	testkit.NeedTool(t, "systemd-analyze", "systemd-sysusers", "systemd-tmpfiles")
	unit := filepath.Join(dest, "usr/lib/systemd/system/posthouse.service")
	out, _ := exec.Command("systemd-analyze", "verify", "--man=no", "--root="+dest, "posthouse.service").CombinedOutput()
	for _, line := range strings.Split(string(out), "\n") {
		// There are no other units under this root.
		if strings.Contains(line, "posthouse") && !strings.Contains(line, "sysinit.target not found") {
			t.Errorf("systemd-analyze verify: %s", line)
		}
	}
	text, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=40", unit).CombinedOutput()
	if m := regexp.MustCompile(`exposure level for \S+: ([0-9.]+)`).FindSubmatch(text); err != nil || m == nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, text)
	} else {
		t.Logf("exposure level %s", m[1])
	}
	for _, args := range [][]string{
		{"systemd-sysusers", "--root=" + dest, filepath.Join(dest, "usr/lib/sysusers.d/posthouse.conf")},
		{"systemd-tmpfiles", "--create", "--root=" + dest, filepath.Join(dest, "usr/lib/tmpfiles.d/posthouse.conf")},
	} {
		if os.Geteuid() != 0 {
			break
		}
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", args[0], err, out)
		}
	}
	for _, line := range strings.Split(etc.Files, "\n") {
		f := strings.Fields(line)
		if len(f) != 5 || !strings.HasPrefix(f[0], "$queue") && !strings.HasPrefix(f[0], "$data") || os.Geteuid() != 0 {
			continue
		}
		path := strings.NewReplacer("$queue_directory", "/var/spool/posthouse", "$data_directory", "/var/lib/posthouse").Replace(f[0])
		info, err := os.Stat(filepath.Join(dest, path))
		if err != nil {
			t.Errorf("tmpfiles.d: %v", err)
			continue
		}
		if want, _ := strconv.ParseUint(f[4], 8, 32); uint64(info.Mode().Perm()) != want {
			t.Errorf("tmpfiles.d: %s has mode %o, etc/files says %o", path, info.Mode().Perm(), want)
		}
	}
}

// asAccount prepares a command of an installation for an ordinary user.
func asAccount(mail *testkit.Instance, a testkit.Account, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(mail.Dir, "usr/sbin", program), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + a.Home, "MAIL_CONFIG=" + mail.Etc("")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.UID), Gid: uint32(a.GID)}}
	return cmd
}

// TestInstalled runs an installation as root made it: each process has the
// rights of the design, and an ordinary user can send and look at the queue by
// way of the setgid commands, and no more.
func TestInstalled(t *testing.T) {
	testkit.NeedRoot(t)
	t.Parallel()
	mail := testkit.Installed(t)
	mail.UserDB(t, "secret", []string{"you"})
	user := testkit.NewAccount(t, mail.Dir, "phuser")
	mail.Set(t, "transport_maps = inline:{ discard.test=discard:, {error.test=error:5.1.1 no}, pipe.test=pp: }", "relay_domains = discard.test, error.test, pipe.test",
		"smtpd_client_event_limit_exceptions =", "defer_transports = later")
	mail.Service(t, "pp unix - n n - 1 pipe user=nobody argv=/bin/true")
	mail.Service(t, mail.LMTPAddr()+" inet n - y - 1 lmtpd")
	control(t, mail, 0, "", "check")
	mail.Start(t)
	s := startAll(t, mail)
	defer s.Conn.Close()
	atRest(t, mail, func(report reporter) {
		seen := 0
		for _, p := range processes(t, mail) {
			if want, ok := expected()[p.name]; ok {
				compare(t, mail, p, want, report)
				seen++
			}
		}
		if seen < 15 {
			report("only %d processes were looked at", seen)
		}
	})

	send := asAccount(mail, user, "sendmail", "you@example.test")
	send.Stdin = strings.NewReader("Subject: from a user\n\nx\n")
	if out, err := send.CombinedOutput(); err != nil {
		t.Fatalf("sendmail: %v\n%s", err, out)
	}
	// The session of startAll has seen new mail and moved it, so that the
	// Maildir does not tell what arrived.
	id := mail.WaitLog(t, `pickup\[\d+\]: ([0-9A-F]+): uid=`+strconv.Itoa(user.UID)+` from=<phuser>`)[1]
	mail.WaitLog(t, id+`: to=<you@example\.test>, relay=virtual, .*status=sent`)
	for _, words := range [][]string{{"sendmail", "-bp"}, {"postqueue", "-c", mail.Etc(""), "-p"}} {
		out, err := asAccount(mail, user, words[0], words[1:]...).CombinedOutput()
		if err != nil || !regexp.MustCompile(`Mail queue is empty|-- \d+ Kbytes in \d+ Request`).Match(out) {
			t.Errorf("%v: %v\n%s", words, err, out)
		}
	}
	for _, dir := range []string{"maildrop", "incoming", "private", "hold"} {
		ls := exec.Command("ls", mail.Spool(dir))
		ls.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user.UID), Gid: uint32(user.GID)}}
		if out, err := ls.CombinedOutput(); err == nil {
			t.Errorf("an ordinary user lists %s: %s", dir, out)
		}
	}
	// A setgid command takes orders from nobody's own configuration, nor
	// from a link to the command in a folder of the user's.
	own := filepath.Join(user.Home, "etc")
	if out, err := exec.Command("cp", "-r", mail.Etc(""), own).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	os.Chown(own, user.UID, user.GID)
	if out, err := asAccount(mail, user, "postqueue", "-c", own, "-p").CombinedOutput(); err == nil || !strings.Contains(string(out), "unauthorized configuration directory") {
		t.Errorf("postqueue with a user's configuration: %v\n%s", err, out)
	}
	if out, err := asAccount(mail, user, "postsuper", "-c", mail.Etc(""), "-d", "ALL").CombinedOutput(); err == nil {
		t.Errorf("postsuper for an ordinary user: %s", out)
	}
	if out, err := asAccount(mail, user, "posthouse", "stop").CombinedOutput(); err == nil {
		t.Errorf("posthouse stop for an ordinary user: %s", out)
	}
}
