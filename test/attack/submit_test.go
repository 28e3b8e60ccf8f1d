package attack

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// submitSite is an instance whose set-gid commands an ordinary user may use:
// they run in a mount namespace in which the instance's configuration is the
// installed one.
type submitSite struct {
	*testkit.Instance
	bin      string
	uid, gid int
}

func newSubmitSite(t *testing.T, settings ...string) *submitSite {
	t.Helper()
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "unshare", "setpriv", "mount", "prlimit")
	mail := site(t, settings...)
	s := &submitSite{Instance: mail, bin: privateBin(t, mail)}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	s.uid, _ = strconv.Atoi(u.Uid)
	s.gid, _ = strconv.Atoi(u.Gid)
	// A place for the overlay, whose file system allows set-gid files.
	for _, d := range []string{"upper/posthouse", "work"} {
		os.MkdirAll(filepath.Join(mail.Dir, "overlay", d), 0o755)
	}
	s.Start(t)
	return s
}

// user prepares a shell script that runs as an ordinary user; "$B" is the
// directory of the programs.
func (s *submitSite) user(script string, args ...string) *exec.Cmd {
	o := filepath.Join(s.Dir, "overlay")
	setup := fmt.Sprintf("mount -t overlay overlay -o lowerdir=/etc,upperdir=%[1]s/upper,workdir=%[1]s/work /etc && mount --bind %[2]s /etc/posthouse && "+
		"cd / && B=%[3]s exec setpriv --reuid %[4]d --regid %[5]d --clear-groups sh -c \"$@\"", o, s.Etc(""), s.bin, s.uid, s.gid)
	cmd := exec.Command("unshare", append([]string{"-m", "sh", "-c", setup, "sh", script, "sh"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Dir = "/"
	return cmd
}

func (s *submitSite) run(t *testing.T, stdin, script string) (string, int) {
	t.Helper()
	cmd := s.user(script)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	code := exitCode(cmd)
	return out.String(), code
}

// TestSubmitAsUser proves the fixture: an ordinary user submits by the set-gid
// postdrop, and postqueue lists the mail.
func TestSubmitAsUser(t *testing.T) {
	s := newSubmitSite(t)
	if out, code := s.run(t, "Subject: user\n\nx\n", "$B/sendmail -f a@b.test you@example.test"); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	s.WaitMailbox(t, "you", 1)
	s.WaitLog(t, fmt.Sprintf(`pickup\[\d+\]: [0-9A-F]+: uid=%d from=<a@b\.test>`, s.uid))
	if _, code := s.run(t, "", "$B/postqueue -p"); code != 0 {
		t.Errorf("postqueue -p: exit %d", code)
	}

	t.Run("closed descriptors", s.closedDescriptors)
	t.Run("environment", s.environment)
	t.Run("limits", s.limits)
	t.Run("signals", s.signals)
	t.Run("maildrop", s.maildrop)
	t.Run("options", s.options)
	t.Run("not dumpable", s.notDumpable)
	t.Run("public sockets", s.publicSockets)
	alive(t, s.Instance)
}

// closedDescriptors: whatever is closed, no queue file lands on 0 to 2 (SG1).
func (s *submitSite) closedDescriptors(t *testing.T) {
	before := len(s.Mailbox(t, "you"))
	good := 0
	for mask := range 8 {
		redirect := ""
		for fd, text := range []string{" <&-", " >&-", " 2>&-"} {
			if mask&(1<<fd) != 0 {
				redirect += text
			}
		}
		for _, program := range []string{"sendmail -f a@b.test you@example.test", "postdrop -r", "postqueue -p", "postqueue -f"} {
			_, code := s.run(t, "Subject: closed\n\nerror text must not be in here\n", "$B/"+program+redirect)
			if code == 0 && strings.HasPrefix(program, "sendmail") {
				good++
			}
			if code < 0 || code > 128 {
				t.Errorf("%s%s: exit %d", program, redirect, code)
			}
		}
	}
	for _, m := range s.WaitMailbox(t, "you", before+good) {
		if strings.Contains(m, "fatal:") || strings.Contains(m, "postdrop:") {
			t.Errorf("diagnostics in a message:\n%s", m)
		}
	}
	s.empty(t)
}

// empty waits until all that was accepted is delivered. Nothing else may be in the
// queue.
func (s *submitSite) empty(t *testing.T) {
	t.Helper()
	testkit.Wait(t, "an empty queue", func() bool { return len(s.Queue(t, "maildrop", "incoming", "active", "deferred")) == 0 })
}

// environment: what the caller sets means nothing to set-gid programs (SG2).
func (s *submitSite) environment(t *testing.T) {
	evil := filepath.Join(s.Dir, "evil")
	os.MkdirAll(evil, 0o777)
	os.Chmod(evil, 0o777)
	os.WriteFile(filepath.Join(evil, "main.cf"), []byte("queue_directory = "+evil+"\nmail_owner = nobody\n"), 0o644)
	before := len(s.Mailbox(t, "you"))
	envs := []string{"MAIL_CONFIG=" + evil, "LD_PRELOAD=/nonexistent.so", "GODEBUG=inittrace=1,gctrace=1", "GOTRACEBACK=crash", "GOMAXPROCS=1",
		"GOGC=1", "GOMEMLIMIT=1", "TMPDIR=/nonexistent", "LANG=%s%n", "LC_ALL=../../x", "TZ=/etc/shadow", "IFS=/", "PATH=" + evil, "HOME=" + evil,
		"MALLOC_CHECK_=3", "GOCOVERDIR=" + evil, "BIG=" + strings.Repeat("x", 100000), "ZONEINFO=" + evil, "GOFIPS140=on"}
	for _, env := range envs {
		cmd := s.user("$B/postdrop >/dev/null")
		cmd.Env = append(cmd.Env, env)
		cmd.Stdin = bytes.NewReader(records("Sa@b.test", "Ryou@example.test", "M", "NSubject: env", "N", "Nx", "X", "E"))
		if env[:4] == "PATH" || env[:3] == "LD_" {
			cmd = s.user("env '" + env + "' $B/postdrop >/dev/null")
			cmd.Stdin = bytes.NewReader(records("Sa@b.test", "Ryou@example.test", "M", "NSubject: env", "N", "Nx", "X", "E"))
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%.40s: %v %s", env, err, out)
		}
	}
	s.WaitMailbox(t, "you", before+len(envs))
	if left, _ := os.ReadDir(evil); len(left) != 1 {
		t.Errorf("the caller's directory was used: %v", left)
	}
	for _, program := range []string{"postdrop", "postqueue -p"} {
		if out, code := s.run(t, "", "$B/"+program+" -c "+evil); code == 0 {
			t.Errorf("%s -c: %s", program, out)
		}
	}
}

// records makes postdrop's input.
func records(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = queue.AppendRecord(b, p[0], []byte(p[1:]))
	}
	return b
}

// limits: under tight limits a message is whole or not there (SG3).
func (s *submitSite) limits(t *testing.T) {
	before := len(s.Mailbox(t, "you"))
	accepted := 0
	body := strings.Repeat("0123456789\n", 1000)
	for _, limit := range []string{"--fsize=10", "--fsize=1000", "--nofile=3", "--nofile=4", "--nofile=5", "--nofile=6", "--nofile=8", "--nofile=12",
		"--as=100000000", "--nproc=1", "--cpu=1", "--data=1000000", "--stack=100000", "--memlock=0"} {
		_, code := s.run(t, "Subject: limits\n\n"+body+"end of message\n", "prlimit "+limit+" nice -n 19 $B/sendmail -f a@b.test you@example.test")
		if code == 0 {
			accepted++
		}
	}
	s.WaitMailbox(t, "you", before+accepted)
	testkit.Wait(t, "the last delivery", func() bool { return len(s.Queue(t, "incoming", "active")) == 0 })
	got := s.Mailbox(t, "you")
	if len(got) != before+accepted {
		t.Errorf("%d messages, %d were accepted", len(got)-before, accepted)
	}
	for _, m := range got {
		if strings.Contains(m, "Subject: limits") && !strings.HasSuffix(m, "end of message\n") {
			t.Errorf("a message was cut: %d bytes", len(m))
		}
	}
	if left := s.Queue(t, "maildrop"); len(left) > 8 {
		t.Errorf("left in maildrop: %v", left)
	}
	t.Logf("%d accepted, left in maildrop %v", accepted, s.Queue(t, "maildrop"))
	for _, id := range s.Queue(t, "maildrop") {
		if info, err := os.Stat(s.Spool("maildrop/" + id)); err == nil && info.Mode().Perm() == 0o744 {
			t.Errorf("%s looks complete", id)
		}
		os.Remove(s.Spool("maildrop/" + id))
	}
}

// signals: a submission that a signal ends is not there (SG3).
func (s *submitSite) signals(t *testing.T) {
	before := len(s.Mailbox(t, "you"))
	for _, signal := range []string{"TERM", "INT", "HUP", "QUIT", "ALRM", "XFSZ", "PIPE", "USR1"} {
		_, code := s.run(t, "", "( printf 'Subject: half\\n\\nx\\n'; sleep 0.2 ) | $B/sendmail -f a@b.test you@example.test & P=$!; sleep 0.05; pkill -"+signal+" -P $$ postdrop; kill -"+signal+" $P; wait $P")
		if code == 0 {
			before++ // it came through
		}
	}
	s.empty(t)
	if n := len(s.Mailbox(t, "you")); n != before {
		t.Errorf("%d messages, %d were accepted", n, before)
	}
}

// maildrop: what a user, or a captured postdrop, can put there (SG4).
func (s *submitSite) maildrop(t *testing.T) {
	secret := filepath.Join(s.Dir, "secret")
	os.WriteFile(secret, records("T1", "Sa@b.test", "Ryou@example.test", "M", "Nsecret of root", "X", "E"), 0o744)
	for _, script := range []string{"ls " + s.Spool("maildrop"), "cat " + s.Spool("maildrop") + "/*", "ls " + s.Spool("incoming"), "echo > " + s.Spool("maildrop/x"),
		"ln " + secret + " " + s.Spool("maildrop/AAAAA"), "ls " + s.Spool("private"), "ls " + s.Spool("public"), "echo W > " + s.Spool("public/pickup")} {
		if out, code := s.run(t, "", script); code == 0 {
			t.Errorf("an ordinary user could %s: %s", script, out)
		}
	}
	// With the group of postdrop, by force of root.
	drop := func(name string) string { return s.Spool("maildrop/" + name) }
	before := len(s.Mailbox(t, "you"))
	os.Link(secret, drop("AAAA1"))
	os.Symlink(secret, drop("AAAA2"))
	syscall.Mkfifo(drop("AAAA3"), 0o744)
	os.Mkdir(drop("AAAA4"), 0o700)
	os.WriteFile(drop("AAAA5"), nil, 0o744)
	os.WriteFile(drop("AAAA6"), []byte("garbage\xff\xff\xff\xff\xff"), 0o744)
	os.WriteFile(drop("AAAA7"), records("T1", "Sa@b.test", "Ryou@example.test", "M", "Nwrong mode", "X", "E"), 0o600)
	os.WriteFile(drop("AAAA8"), append([]byte{0, 5}, records("T1", "Sa@b.test")...), 0o744)
	os.WriteFile(drop("AAAA9"), records("T1", "Aclient_name=localhost", "Asasl_username=root", "Acreate_time=1", "Aflags=512", "Awarn_message_time=1", "Atrace_flags=1", "Sa@b.test", "Ryou@example.test", "M", "NSubject: attributes", "X", "E"), 0o744)
	os.WriteFile(drop("AAAAA"), append(records("C9", "p0"), records("T1", "Sa@b.test", "Ryou@example.test", "M", "Npointer", "p1", "X", "E")...), 0o744)
	os.Truncate(drop("AAAA7"), 1<<40) // sparse
	os.Chown(drop("AAAA9"), s.uid, s.gid)
	os.WriteFile(drop("..."), nil, 0o744)
	os.WriteFile(drop(strings.Repeat("F", 200)), nil, 0o744)
	s.Must(t, "postqueue", "-f")
	s.run(t, "Subject: wake\n\nx\n", "$B/sendmail -f a@b.test you@example.test")
	testkit.Wait(t, "wake-up message", func() bool {
		return strings.Contains(strings.Join(s.Mailbox(t, "you"), ""), "Subject: wake")
	})
	testkit.Wait(t, "the last delivery", func() bool { return len(s.Queue(t, "incoming", "active")) == 0 })
	for _, m := range s.Mailbox(t, "you")[before:] {
		for _, bad := range []string{"secret of root", "wrong mode", "pointer"} {
			if strings.Contains(m, bad) {
				t.Errorf("%s was taken:\n%s", bad, m)
			}
		}
	}
	if log := s.Log(); strings.Contains(log, ", sasl_username=root") || strings.Contains(log, "client=localhost, ") {
		t.Error("an attribute of a drop file was believed")
	}
	if text := readFile(t, secret); !strings.Contains(text, "secret of root") {
		t.Error("the linked file was changed")
	}
	entries, _ := os.ReadDir(s.Spool("maildrop"))
	for _, e := range entries {
		os.RemoveAll(drop(e.Name()))
	}
}

// options that only the administrator may use (SG7). What anybody may do with
// -bs is in test/scenario.
func (s *submitSite) options(t *testing.T) {
	testkit.Wait(t, "the last delivery", func() bool { return len(s.Queue(t, "incoming", "active")) == 0 })
	before := len(s.Queue(t, "hold", "incoming", "active", "deferred"))
	for _, script := range []string{"$B/sendmail -bd", "$B/sendmail -bl", "$B/sendmail -C /tmp/evil.cf you@example.test </dev/null",
		"$B/postsuper -d ALL", "$B/posthouse stop", "$B/posthouse reload", "$B/newaliases", "$B/postalias /etc/posthouse/aliases", "$B/postconf -e mail_owner=root", "$B/postcat -q AAAAA", "$B/smtpd -n smtp -t unix --listen " + s.Spool("public/x")} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		cmd := s.user(script)
		cmd = exec.CommandContext(ctx, cmd.Args[0], cmd.Args[1:]...)
		if code := exitCode(cmd); code == 0 {
			t.Errorf("%s: exit 0", script)
		}
		cancel()
	}
	if after := len(s.Queue(t, "hold", "incoming", "active", "deferred")); after != before {
		t.Errorf("%d files in the queue, were %d", after, before)
	}
}

// notDumpable: no core file of a set-gid program, no access to its memory
// (SG8).
func (s *submitSite) notDumpable(t *testing.T) {
	// postdrop waits for its input, which comes to an end with the script.
	in, open, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	cmd := s.user("exec 3<&0; $B/postdrop <&3 >/dev/null 2>&1 & P=$!; I=0; while test \"$(cat /proc/$P/comm)\" != postdrop -a $I -lt 3000; do I=$((I+1)); sleep 0.02; done; ( cat /proc/$P/environ || echo denied1; cat /proc/$P/maps || echo denied2; ls -l /proc/$P/fd/0 || echo denied3; dd if=/proc/$P/mem of=/dev/null count=1 || echo denied4 ) 2>/dev/null; kill $P")
	cmd.Stdin = in
	text, err := cmd.CombinedOutput()
	in.Close()
	if err != nil {
		t.Errorf("%v", err)
	}
	out := string(text)
	for _, want := range []string{"denied1", "denied2", "denied3", "denied4"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in %q", want, out)
		}
	}
}

// publicSockets: with the group postdrop, garbage and many connections end no
// daemon (SG6; test/scenario has garbage of more kinds).
func (s *submitSite) publicSockets(t *testing.T) {
	before := pidsOf(t, s.Instance)
	for range 30 {
		s.Command("postqueue", "-f").Run()
		s.Command("postqueue", "-i", "AAAAA").Run()
		s.Command("postqueue", "-s", "x.test").Run()
	}
	after := pidsOf(t, s.Instance)
	for _, name := range []string{"master", "qmgr", "pickup"} {
		if len(after[name]) != 1 || after[name][0] != before[name][0] {
			t.Errorf("%s: %v, was %v", name, after[name], before[name])
		}
	}
}
