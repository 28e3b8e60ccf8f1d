package attack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// localSite has two accounts and a mail spool directory like Debian's.
type localSite struct {
	*testkit.Instance
	alice, bob testkit.Account
	spool      string
}

func newLocalSite(t *testing.T, settings ...string) *localSite {
	t.Helper()
	testkit.NeedRoot(t)
	mail := site(t)
	s := &localSite{Instance: mail, alice: testkit.NewAccount(t, mail.Dir, "pheve"), bob: testkit.NewAccount(t, mail.Dir, "phvictim"),
		spool: filepath.Join(mail.Dir, "var-mail")}
	os.Mkdir(s.spool, 0o755)
	os.Chown(s.spool, 0, 8)
	os.Chmod(s.spool, 0o775|os.ModeSetgid)
	mail.Set(t, "mail_spool_directory = "+s.spool, "recipient_delimiter = +", "local_recipient_maps =", "relay_domains = remote.test",
		"transport_maps = inline:{{remote.test=discard:}}")
	mail.Set(t, settings...)
	s.Write(t, "aliases", "postmaster: you@example.test\n")
	return s
}

// to delivers a message and returns its queue id when it left the queue, or
// when it was deferred.
func (s *localSite) to(t *testing.T, rcpt, from, text string) string {
	t.Helper()
	id := hello(t, s.Addr(), "127.0.0.1").send(from, rcpt, text)
	s.WaitLog(t, id+`: to=<.*status=`)
	return id
}

// outcome is the last status of a message.
func (s *localSite) outcome(t *testing.T, id string) string {
	t.Helper()
	m := s.WaitLog(t, id+`: to=<.*, status=([a-z]+ .*)$`)
	return m[1]
}

// TestForward: a .forward that is not surely the user's own is not used (LD1).
func TestForward(t *testing.T) {
	s := newLocalSite(t)
	flag := filepath.Join(s.Dir, "ran")
	os.Mkdir(flag, 0o777)
	os.Chmod(flag, 0o777)
	evil := "|touch " + flag + "/x\n"
	s.Start(t)
	path := filepath.Join(s.alice.Home, ".forward")
	for _, tc := range []struct {
		name string
		make func()
	}{
		{"of another user", func() { s.alice.Write(t, ".forward", evil, 0o644); os.Chown(path, s.bob.UID, s.bob.GID) }},
		{"writable by all", func() { s.alice.Write(t, ".forward", evil, 0o666) }},
		{"symbolic link", func() {
			s.bob.Write(t, "f", evil, 0o644)
			os.Symlink(filepath.Join(s.bob.Home, "f"), path)
		}},
		{"hard link", func() {
			s.bob.Write(t, "g", evil, 0o644)
			os.Link(filepath.Join(s.bob.Home, "g"), path)
		}},
		{"FIFO", func() { syscall.Mkfifo(path, 0o644); os.Chown(path, s.alice.UID, s.alice.GID) }},
		{"directory", func() { os.Mkdir(path, 0o755); os.Chown(path, s.alice.UID, s.alice.GID) }},
		{"device", func() { syscall.Mknod(path, syscall.S_IFCHR|0o644, 1<<8|5); os.Chown(path, s.alice.UID, s.alice.GID) }},
		{"socket", func() { syscall.Mknod(path, syscall.S_IFSOCK|0o644, 0); os.Chown(path, s.alice.UID, s.alice.GID) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			os.RemoveAll(path)
			tc.make()
			id := s.to(t, "pheve@localhost", "a@remote.test", "Subject: "+tc.name+"\n\nx")
			if out := s.outcome(t, id); !strings.HasPrefix(out, "sent (delivered to mailbox)") && !strings.HasPrefix(out, "deferred") {
				t.Errorf("%s", out)
			}
		})
	}
	// 1 GB of recipients that do not exist: bounded in time and memory.
	os.RemoveAll(path)
	s.alice.Write(t, ".forward", "", 0o644)
	os.Truncate(path, 1<<30)
	id := s.to(t, "pheve@localhost", "a@remote.test", "Subject: huge\n\nx")
	t.Logf("huge .forward: %s", s.outcome(t, id))
	if left, _ := os.ReadDir(flag); len(left) != 0 {
		t.Error("a command of a .forward that is not safe ran")
	}
	alive(t, s.Instance)
}

// TestInclude: files and commands in included lists are refused, and lists
// that include each other end (LD2, P9).
func TestInclude(t *testing.T) {
	s := newLocalSite(t)
	flag := filepath.Join(s.Dir, "ran")
	os.Mkdir(flag, 0o777)
	os.Chmod(flag, 0o777)
	s.alice.Write(t, "list", "|touch "+flag+"/cmd\n", 0o644)
	s.alice.Write(t, "files", flag+"/file\n", 0o644)
	s.alice.Write(t, "self", ":include:"+filepath.Join(s.alice.Home, "self")+"\nphvictim\n", 0o644)
	var chain strings.Builder
	for i := range 300 {
		os.WriteFile(s.Etc(fmt.Sprintf("chain%d", i)), []byte(fmt.Sprintf(":include:%s\n", s.Etc(fmt.Sprintf("chain%d", i+1)))), 0o644)
		fmt.Fprintf(&chain, "c%d: c%d\n", i, i+1)
	}
	s.Write(t, "aliases", fmt.Sprintf("postmaster: you@example.test\ncmds: :include:%[1]s/list\nfiles: :include:%[1]s/files\nself: :include:%[1]s/self\ndeep: :include:%[2]s\nshadow: :include:/etc/shadow\n%[3]sc300: phvictim\n",
		s.alice.Home, s.Etc("chain0"), chain.String()))
	s.Start(t)
	for _, name := range []string{"cmds", "files"} {
		if out := s.outcome(t, s.to(t, name+"@localhost", "a@remote.test", "S: x\n\nx")); !strings.HasPrefix(out, "bounced") && !strings.HasPrefix(out, "deferred") {
			t.Errorf("%s: %s", name, out)
		}
	}
	if left, _ := os.ReadDir(flag); len(left) != 0 {
		t.Errorf("ran: %v", left)
	}
	for _, name := range []string{"self", "deep", "c0", "shadow"} {
		t.Logf("%s: %s", name, s.outcome(t, s.to(t, name+"@localhost", "a@remote.test", "S: x\n\nx")))
	}
	text, _ := os.ReadFile(filepath.Join(s.spool, "phvictim"))
	if strings.Contains(string(text), "root:") {
		t.Error("the password file became mail")
	}
	alive(t, s.Instance)
}

// TestCommandExpansion: what the network says cannot become shell (LD3), and
// the command gets exactly this environment (LD10).
func TestCommandExpansion(t *testing.T) {
	s := newLocalSite(t, `mailbox_command = echo "S=$SENDER" "E=$EXTENSION" "R=$RECIPIENT" "U=$USER" >> $HOME/args; env > $HOME/env; ls -l /proc/self/fd > $HOME/fds; pwd > $HOME/pwd; umask > $HOME/umask; id > $HOME/id; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status > $HOME/caps; ps -o sid=,pid= -p $$ > $HOME/sid; cat > /dev/null`, "allow_min_user = yes")
	s.Start(t)
	for _, from := range []string{"`id>$HOME/pwned`@remote.test", "$(id>pwned)@remote.test", "a;id>pwned@remote.test", "a|id@remote.test", "-froot@remote.test", "a&id@remote.test", `"a\"b"@remote.test`, `"a b"@remote.test`, "'a'@remote.test", "a%n$HOME@remote.test", "{x}*?~@remote.test"} {
		for _, ext := range []string{"", "+`id`", "+$(id)", "+-rf", "+a;b", "+../../x", "+'", "+%s"} {
			c := hello(t, s.Addr(), "127.0.0.1")
			if c.ask("MAIL FROM:<%s>", from)[0] != '2' || c.ask("RCPT TO:<pheve%s@localhost>", ext)[0] != '2' {
				c.conn.Close()
				continue
			}
			c.must("354", "DATA")
			c.say("S: x\r\n\r\nx\r\n.\r\n")
			s.WaitLog(t, queueID(t, c.reply())+`: to=<.*status=`)
			c.conn.Close()
		}
	}
	args := readFile(t, filepath.Join(s.alice.Home, "args"))
	if n := strings.Count(args, "\n"); n < 40 {
		t.Errorf("%d commands ran only", n)
	}
	if i := strings.IndexAny(args, "`$;|&\"'<>(){}*?~\\"); i >= 0 {
		t.Errorf("not filtered: %q", args[max(0, i-40):min(len(args), i+20)])
	}
	for _, home := range []string{s.alice.Home, "/", s.Dir, s.Spool("")} {
		if _, err := os.Stat(filepath.Join(home, "pwned")); err == nil {
			t.Error("a command of the sender ran")
		}
	}
	s.commandRights(t)
}

// commandRights looks at what the command wrote down.
func (s *localSite) commandRights(t *testing.T) {
	t.Helper()
	read := func(name string) string { return readFile(t, filepath.Join(s.alice.Home, name)) }
	allowed := " CLIENT_ADDRESS CLIENT_HELO CLIENT_HOSTNAME CLIENT_PROTOCOL DOMAIN EXTENSION HOME LOCAL LOGNAME MAIL_CONFIG ORIGINAL_RECIPIENT PATH RECIPIENT SASL_METHOD SASL_SENDER SASL_USERNAME SENDER SHELL USER PWD OLDPWD SHLVL _ TZ LANG "
	for line := range strings.Lines(read("env")) {
		name, _, _ := strings.Cut(line, "=")
		if !strings.Contains(allowed, " "+name+" ") {
			t.Errorf("environment: %s", line)
		}
	}
	// ls itself has /proc/self/fd open as the next one.
	if fds := strings.Count(read("fds"), " -> "); fds != 4 {
		t.Errorf("descriptors:\n%s", read("fds"))
	}
	if id := read("id"); !strings.Contains(id, "(pheve)") || strings.Contains(id, "(root)") || strings.Count(id, ",") > 0 {
		t.Errorf("id: %s", id)
	}
	if strings.TrimSpace(read("umask")) != "0077" {
		t.Errorf("umask: %s", read("umask"))
	}
	if caps := read("caps"); !strings.Contains(caps, "CapEff:\t0000000000000000") {
		t.Errorf("capabilities:\n%s", caps)
	}
	if f := strings.Fields(read("sid")); len(f) != 2 || f[0] != f[1] {
		t.Errorf("the command is in a session with others: %v", f)
	}
	if wd := strings.TrimSpace(read("pwd")); strings.HasPrefix(wd, s.Spool("private")) {
		t.Errorf("working directory %s", wd)
	}
}

// TestCommandTimeLimit: a command that hangs is killed with its children.
func TestCommandTimeLimit(t *testing.T) {
	s := newLocalSite(t, "command_time_limit = 2s", "mailbox_command = sleep 978 & sleep 979")
	s.Start(t)
	begin := time.Now()
	id := s.to(t, "pheve@localhost", "a@remote.test", "S: x\n\nx")
	if d := time.Since(begin); d > time.Minute {
		t.Errorf("took %v", d)
	}
	t.Log(s.outcome(t, id))
	testkit.Wait(t, "the end of the command's children", func() bool {
		return exec.Command("pgrep", "-r", "R,S,D", "-u", "pheve", "sleep").Run() != nil
	})
}

// TestAliasToFile: files are opened with few rights (LD4).
func TestAliasToFile(t *testing.T) {
	s := newLocalSite(t)
	link := filepath.Join(s.Dir, "link")
	os.Symlink("/etc/shadow", link)
	s.bob.Write(t, "theirs", "old\n", 0o600)
	s.Write(t, "aliases", fmt.Sprintf("postmaster: you@example.test\npasswd: /etc/passwd\nnull: /dev/null\nlink: %s\ntheirs: %s/theirs\nmem: /dev/mem\n", link, s.bob.Home))
	s.Start(t)
	const mark = "X-Mark: this is mail"
	for name, sent := range map[string]bool{"passwd": false, "link": false, "theirs": false, "mem": false, "null": true} {
		out := s.outcome(t, s.to(t, name+"@localhost", "a@remote.test", mark+"\n\nx"))
		if strings.HasPrefix(out, "sent") != sent {
			t.Errorf("%s: %s", name, out)
		}
	}
	// Tests of other packages add users meanwhile.
	for _, file := range []string{"/etc/shadow", "/etc/passwd"} {
		if strings.Contains(readFile(t, file), mark) {
			t.Fatalf("%s was changed", file)
		}
	}
}

// TestMailboxThatIsNot: links, foreign files and other things in place of the
// mailbox are not written to (LD5), nor is a held dot lock waited for without
// end (LD12).
func TestMailboxThatIsNot(t *testing.T) {
	s := newLocalSite(t, "deliver_lock_attempts = 2", "deliver_lock_delay = 1s", "mailbox_delivery_lock = fcntl, dotlock")
	s.Start(t)
	box := filepath.Join(s.spool, "pheve")
	other := filepath.Join(s.spool, "other")
	for _, tc := range []struct {
		name string
		make func()
	}{
		{"symbolic link to shadow", func() { os.Symlink("/etc/shadow", box) }},
		{"symbolic link to another's", func() { os.Symlink(other, box) }},
		{"hard link to another's", func() { os.Link(other, box) }},
		{"file of another", func() { os.WriteFile(box, nil, 0o600); os.Chown(box, s.bob.UID, s.bob.GID) }},
		{"file of root", func() { os.WriteFile(box, nil, 0o666) }},
		{"directory", func() { os.Mkdir(box, 0o777); os.Chown(box, s.alice.UID, s.alice.GID) }},
		{"FIFO", func() { syscall.Mkfifo(box, 0o666); os.Chown(box, s.alice.UID, s.alice.GID) }},
		{"dangling link", func() { os.Symlink(filepath.Join(s.Dir, "made"), box) }},
		{"lock file that stays", func() { os.WriteFile(box+".lock", []byte("1"), 0o600) }},
		{"lock file that is a link", func() { os.Symlink(filepath.Join(s.Dir, "made"), box+".lock") }},
	} {
		os.RemoveAll(box)
		os.Remove(box + ".lock")
		os.WriteFile(other, []byte("other's\n"), 0o600)
		os.Chown(other, s.bob.UID, 8)
		tc.make()
		out := s.outcome(t, s.to(t, "pheve@localhost", "a@remote.test", "S: x\n\nx"))
		if strings.HasPrefix(out, "sent") {
			t.Errorf("%s: %s", tc.name, out)
		}
		if readFile(t, other) != "other's\n" {
			t.Fatalf("%s: another's mailbox was changed", tc.name)
		}
		if _, err := os.Lstat(filepath.Join(s.Dir, "made")); err == nil {
			t.Errorf("%s: the link's target was made", tc.name)
			os.Remove(filepath.Join(s.Dir, "made"))
		}
	}
	if strings.Contains(readFile(t, "/etc/shadow"), "S: x") {
		t.Fatal("shadow was changed")
	}
}

// TestMaildirLinks: a user who swaps parts of his Maildir for links gains
// nothing that he could not write himself (LD6).
func TestMaildirLinks(t *testing.T) {
	s := newLocalSite(t, "home_mailbox = Maildir/")
	victim := filepath.Join(s.bob.Home, "Maildir")
	s.Start(t)
	s.to(t, "phvictim@localhost", "a@remote.test", "S: own\n\nx")
	own := filepath.Join(s.alice.Home, "Maildir")
	run := func(script string) {
		if out, err := exec.Command("setpriv", "--reuid", "pheve", "--regid", "pheve", "--clear-groups", "sh", "-c", script).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for name, script := range map[string]string{
		"Maildir": "ln -s " + victim + " " + own, "new": fmt.Sprintf("mkdir -p %[1]s/tmp %[1]s/cur; ln -s %[2]s/new %[1]s/new", own, victim),
		"tmp":  fmt.Sprintf("mkdir -p %[1]s/new %[1]s/cur; ln -s /root %[1]s/tmp", own),
		"loop": fmt.Sprintf("ln -s %[1]s %[1]s", own),
	} {
		os.RemoveAll(own)
		run(script)
		out := s.outcome(t, s.to(t, "pheve@localhost", "a@remote.test", "S: link\n\nx"))
		t.Logf("%s: %s", name, out)
	}
	// The race: new is swapped all the time while mail comes.
	os.RemoveAll(own)
	run(fmt.Sprintf("mkdir -p %[1]s/tmp %[1]s/cur %[1]s/new", own))
	racer := exec.Command("setpriv", "--reuid", "pheve", "--regid", "pheve", "--clear-groups", "sh", "-c",
		fmt.Sprintf("cd %s; while :; do mv new n2; ln -s %s/new new; rm new; mv n2 new; done 2>/dev/null", own, victim))
	if err := racer.Start(); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		s.to(t, "pheve@localhost", "a@remote.test", "S: race\n\nx")
	}
	racer.Process.Kill()
	racer.Wait()
	files, _ := filepath.Glob(filepath.Join(victim, "*", "*"))
	if len(files) != 1 {
		t.Errorf("the victim has %d messages", len(files))
	}
}

// TestUserNames that are paths, options or privileged (LD7, LD8).
func TestUserNames(t *testing.T) {
	s := newLocalSite(t, "home_mailbox =", "forward_path = $home/.forward${recipient_delimiter}${extension}, $home/.forward")
	s.alice.Write(t, "etc", "|touch /tmp/never\n", 0o644)
	s.Start(t)
	for _, name := range []string{"../x", ".", "..", "a/b", "/etc/passwd", "-rf", strings.Repeat("u", 60), "|id", ":include:/etc/passwd", "~root", "pheve/", "./pheve", "%s", "$HOME"} {
		c := hello(t, s.Addr(), "127.0.0.1")
		c.must("250", "MAIL FROM:<a@remote.test>")
		for _, form := range []string{name, `"` + name + `"`} {
			if reply := c.ask("RCPT TO:<%s@localhost>", form); reply[0] == '2' {
				c.must("354", "DATA")
				c.say("S: x\r\n\r\nx\r\n.\r\n")
				if out := s.outcome(t, queueID(t, c.reply())); strings.HasPrefix(out, "sent") {
					t.Errorf("%s: %s", form, out)
				}
				c.must("250", "MAIL FROM:<a@remote.test>")
			}
		}
		c.conn.Close()
	}
	for _, ext := range []string{"../../etc", "a/b", "/etc/passwd", "..", "."} {
		id := s.to(t, "pheve+"+ext+"@localhost", "a@remote.test", "S: x\n\nx")
		if out := s.outcome(t, id); !strings.HasPrefix(out, "sent (delivered to mailbox)") {
			t.Errorf("+%s: %s", ext, out)
		}
	}
	if _, err := os.Stat("/tmp/never"); err == nil {
		os.Remove("/tmp/never")
		t.Error("a file beside .forward ran")
	}
	// root's own mail is not written by root.
	id := s.to(t, "root@localhost", "a@remote.test", "S: root\n\nx")
	t.Logf("root: %s", s.outcome(t, id))
	if info, err := os.Stat(filepath.Join(s.spool, "root")); err == nil && info.Sys().(*syscall.Stat_t).Uid == 0 {
		t.Error("a mailbox of root was written by root")
	}
	entries, _ := os.ReadDir(s.spool)
	for _, e := range entries {
		if n := e.Name(); n != "pheve" && n != "root" && !strings.HasSuffix(n, ".lock") {
			t.Errorf("%s was made", n)
		}
	}
}

// TestVirtualTables that return nonsense (LD9).
func TestVirtualTables(t *testing.T) {
	testkit.NeedRoot(t)
	outside := "/tmp/posthouse-attack-outside"
	mail := site(t, "virtual_minimum_uid = 100", "virtual_mailbox_domains = v.test")
	box := testkit.NewAccount(t, mail.Dir, "pheve")
	mail.Set(t, "virtual_mailbox_maps = inline:{{up@v.test=../../../../../../..%[1]s/}, {abs@v.test=/%[1]s/}, {dots@v.test=a/../../../../../../../..%[1]s}, {slash@v.test=/}, {ok@v.test=v/ok/}, {uid0@v.test=v/uid0/}, {gid0@v.test=v/gid0/}, {low@v.test=v/low/}, {text@v.test=v/text/}, {none@v.test=v/none/}, {neg@v.test=v/neg/}, {dir@v.test=v/dir/}}",
		fmt.Sprintf("virtual_uid_maps = inline:{{uid0@v.test=0}, {low@v.test=99}, {text@v.test=root}, {neg@v.test=-1}, {gid0@v.test=%[1]d}, {up@v.test=%[1]d}, {abs@v.test=%[1]d}, {dots@v.test=%[1]d}, {slash@v.test=%[1]d}, {ok@v.test=%[1]d}, {dir@v.test=4294967296}}", box.UID),
		fmt.Sprintf("virtual_gid_maps = inline:{{gid0@v.test=0}, {low@v.test=100}, {@v.test=%d}}", box.GID))
	text := readFile(t, mail.Etc("main.cf"))
	mail.Write(t, "main.cf", strings.ReplaceAll(text, "%[1]s", outside))
	base := filepath.Join(mail.Dir, "mail", "v")
	os.Mkdir(base, 0o755)
	os.Chown(base, box.UID, box.GID)
	mail.Start(t)
	defer os.RemoveAll(outside)
	c := hello(t, mail.Addr(), stranger)
	for name, sent := range map[string]bool{"up": false, "dots": false, "slash": false, "uid0": false, "gid0": false, "low": false, "text": false, "none": false, "neg": false, "dir": false, "ok": true, "abs": false} {
		c.must("250", "MAIL FROM:<a@remote.test>")
		if reply := c.ask("RCPT TO:<%s@v.test>", name); reply[0] != '2' {
			t.Logf("%s: %q", name, reply)
			c.must("250", "RSET")
			continue
		}
		c.must("354", "DATA")
		c.say("S: x\r\n\r\nx\r\n.\r\n")
		id := queueID(t, c.reply())
		m := mail.WaitLog(t, id+`: to=<.*, status=([a-z]+ .*)$`)
		if strings.HasPrefix(m[1], "sent") != sent {
			t.Errorf("%s: %s", name, m[1])
		} else {
			t.Logf("%s: %s", name, m[1])
		}
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("mail outside of virtual_mailbox_base")
	}
}
