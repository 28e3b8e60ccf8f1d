package attack

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestConfigurationFiles: files that others may write, values that expand
// without end, and nonsense (CF1, P17).
func TestConfigurationFiles(t *testing.T) {
	testkit.NeedRoot(t)
	mail := site(t)
	check := func() (string, int) {
		cmd := mail.Command("posthouse", "check")
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := check(); code != 0 {
		t.Fatalf("a fresh instance: %d %s", code, out)
	}
	for _, name := range []string{"main.cf", "master.cf", "aliases", "hosteddomains.map"} {
		path := mail.Etc(name)
		for _, mode := range []os.FileMode{0o666, 0o664} {
			os.Chmod(path, mode)
			if out, _ := check(); !strings.Contains(out, name) && mode == 0o666 {
				t.Errorf("%s with mode %o: check says nothing: %s", name, mode, out)
			} else if n := strings.Count(out, "/"+name+": "); n > 1 {
				t.Errorf("%s with mode %o: check says it %d times: %s", name, mode, n, out)
			}
		}
		os.Chmod(path, 0o644)
	}
	os.Chmod(mail.Etc("tls/key.pem"), 0o644)
	if out, _ := check(); !strings.Contains(out, "key.pem") {
		t.Errorf("a key that all can read: check says nothing: %s", out)
	}
	os.Chmod(mail.Etc("tls/key.pem"), 0o600)

	main := readFile(t, mail.Etc("main.cf"))
	for name, text := range map[string]string{
		"recursion": "a_x = $b_x\nb_x = $a_x\nmyhostname = $a_x\n", "self": "myhostname = $myhostname\n",
		"growth": "g0 = xxxxxxxxxx\ng1 = $g0$g0$g0$g0$g0$g0$g0$g0$g0$g0\ng2 = $g1$g1$g1$g1$g1$g1$g1$g1$g1$g1\ng3 = $g2$g2$g2$g2$g2$g2$g2$g2$g2$g2\ng4 = $g3$g3$g3$g3$g3$g3$g3$g3$g3$g3\ng5 = $g4$g4$g4$g4$g4$g4$g4$g4$g4$g4\ng6 = $g5$g5$g5$g5$g5$g5$g5$g5$g5$g5\ng7 = $g6$g6$g6$g6$g6$g6$g6$g6$g6$g6\ng8 = $g7$g7$g7$g7$g7$g7$g7$g7$g7$g7\nmyhostname = $g8\n",
		"nul":    "myhostname = a\x00b\n", "no name": "= x\n", "negative": "message_size_limit = -5\n", "overflow": "message_size_limit = 99999999999999999999\n",
		"open brace": "myhostname = ${x\n", "line": "x" + strings.Repeat("y", 1<<20) + "\n",
	} {
		mail.Write(t, "main.cf", main+text)
		cmd := mail.Command("posthouse", "check")
		out, _ := cmd.CombinedOutput()
		code := cmd.ProcessState.ExitCode()
		if used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); used > 5*time.Second {
			t.Errorf("%s: took %v", name, used)
		}
		if strings.Contains(string(out), "panic") || strings.Contains(string(out), "goroutine") {
			t.Errorf("%s: %.300s", name, out)
		}
		if code == 0 && name != "line" {
			t.Errorf("%s: check finds nothing: %.200s", name, out)
		}
	}
	mail.Write(t, "main.cf", main)
}

// TestTableReplacedWhileRead: lookups see the old file or the new one (CF1).
func TestTableReplacedWhileRead(t *testing.T) {
	mail := site(t, "virtual_alias_domains = v.test")
	mail.Set(t, "virtual_alias_maps = texthash:"+mail.Etc("valias"))
	table := func(n int) string {
		return fmt.Sprintf("x@v.test you@example.test\n%s", strings.Repeat(fmt.Sprintf("k%d@v.test you@example.test\n", n), 1))
	}
	mail.Write(t, "valias", table(0))
	mail.Start(t)
	for n := range 10 {
		mail.Write(t, "valias.new", table(n))
		os.Rename(mail.Etc("valias.new"), mail.Etc("valias"))
		c := hello(t, mail.Addr(), stranger)
		for range 5 {
			c.must("250", "MAIL FROM:<a@b.test>")
			if reply := c.ask("RCPT TO:<x@v.test>"); reply[0] == '5' {
				t.Errorf("%q", reply)
			}
			c.ask("RSET")
		}
		c.ask("QUIT")
	}
	alive(t, mail)
}

// TestIndexInForeignDirectory: newaliases and postmap, run by root, write with
// the rights of the directory's owner or not at all, and follow no link (P15,
// LD14).
func TestIndexInForeignDirectory(t *testing.T) {
	testkit.NeedRoot(t)
	mail := site(t)
	eve := testkit.NewAccount(t, mail.Dir, "pheve")
	target := filepath.Join(mail.Dir, "root-file")
	os.WriteFile(target, []byte("precious\n"), 0o600)
	for _, program := range []string{"postmap", "postalias"} {
		text := map[string]string{"postmap": "a b\n", "postalias": "a: b\n"}[program]
		eve.Write(t, "map", text, 0o644)
		index := filepath.Join(eve.Home, "map.cdb")
		for _, name := range []string{"map.cdb", "map.cdb.tmp", "map.cdb.new", ".map.cdb"} {
			os.Remove(filepath.Join(eve.Home, name))
			os.Symlink(target, filepath.Join(eve.Home, name))
		}
		out, err := mail.Command(program, "hash:"+filepath.Join(eve.Home, "map")).CombinedOutput()
		t.Logf("%s: %v %s", program, err, out)
		if readFile(t, target) != "precious\n" {
			t.Fatal("a file of root was written through a link")
		}
		if info, lerr := os.Lstat(index); lerr == nil && info.Mode().IsRegular() && info.Sys().(*syscall.Stat_t).Uid == 0 {
			t.Errorf("%s left a file of root in a user's directory", program)
		}
		// A foreign file with a secret as the source.
		os.Remove(filepath.Join(eve.Home, "map"))
		os.Symlink("/etc/shadow", filepath.Join(eve.Home, "map"))
		os.Remove(index)
		mail.Command(program, "hash:"+filepath.Join(eve.Home, "map")).Run()
		if text, err := os.ReadFile(index); err == nil && strings.Contains(string(text), "$") {
			t.Errorf("%s indexed the shadow file for a user", program)
		}
		os.Remove(filepath.Join(eve.Home, "map"))
	}
}

// TestPrivateSockets: who is not one of ours gets no answer there, and extra
// descriptors are closed (IP1; test/scenario has the garbage).
func TestPrivateSockets(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "setpriv")
	mail := site(t)
	mail.Start(t)
	alive(t, mail)
	os.Chmod(mail.Spool("private"), 0o777) // as if an administrator had erred
	defer os.Chmod(mail.Spool("private"), 0o700)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(mail.Dir, "role")
	if out, err := exec.Command("cp", exe, copied).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	for _, service := range []string{"rewrite", "bounce", "local", "virtual", "tlsmgr", "proxymap", "anvil"} {
		for _, id := range []string{"65534", "posthouse-box"} {
			cmd := exec.Command("setpriv", "--reuid", id, "--regid", "65534", "--clear-groups", copied, mail.Spool("private/"+service))
			cmd.Env, cmd.Dir = []string{"POSTHOUSE_TEST_ROLE=ask"}, "/"
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s as %s: %v %s", service, id, err, out)
			}
		}
	}
	mail.WaitLog(t, `refused connection from process \d+ of uid 65534`)
	before := descriptors(t, mail, "trivial-rewrite")
	for range 50 {
		passDescriptors(t, mail.Spool("private/rewrite"))
	}
	testkit.Wait(t, "descriptors closed", func() bool { return descriptors(t, mail, "trivial-rewrite") <= before+2 })
	alive(t, mail)
}

func descriptors(t *testing.T, mail *testkit.Instance, program string) int {
	t.Helper()
	n := 0
	for _, pid := range pidsOf(t, mail)[program] {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		n += len(fds)
	}
	return n
}

// passDescriptors sends open files along with a request.
func passDescriptors(t *testing.T, path string) {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := int(f.Fd())
	conn.WriteMsgUnix([]byte("request\x00rewrite\x00rule\x00local\x00address\x00a\x00\x00"), syscall.UnixRights(fd, fd, fd, fd, fd, fd, fd, fd), nil)
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	conn.Read(make([]byte, 100))
}

// TestNothingInherited: commands of users and daemons have no password in
// their arguments or environment (ID1) and none of master's descriptors (FD1;
// test/scenario compares each daemon's with a table).
func TestNothingInherited(t *testing.T) {
	testkit.NeedRoot(t)
	mail := site(t)
	mail.Start(t)
	alive(t, mail)
	allowed := regexp.MustCompile(`^(PATH|TZ|LANG|MAIL_CONFIG|MAIL_LOGTAG|LC_ALL|GODEBUG|GOMEMLIMIT|GOGC|GOTRACEBACK|HOME|GENERATION|POSTHOUSE_[A-Z_]*|NOTIFY_SOCKET|LISTEN_[A-Z]*)=`)
	for name, list := range pidsOf(t, mail) {
		if name == "master" {
			continue
		}
		for _, pid := range list {
			env := readFile(t, fmt.Sprintf("/proc/%d/environ", pid))
			for _, v := range strings.Split(strings.Trim(env, "\x00"), "\x00") {
				if v != "" && !allowed.MatchString(v) {
					t.Errorf("%s has %q in its environment", name, v)
				}
			}
			limits := readFile(t, fmt.Sprintf("/proc/%d/limits", pid))
			if !regexp.MustCompile(`Max core file size\s+0\s+0 `).MatchString(limits) {
				t.Errorf("%s may leave core files", name)
			}
			fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
			if len(fds) > 40 {
				t.Errorf("%s has %d descriptors", name, len(fds))
			}
		}
	}
}

// TestUnicodeAddresses: invalid UTF-8 is refused, and letters that look alike
// are not the same (I18).
func TestUnicodeAddresses(t *testing.T) {
	mail := site(t, "virtual_mailbox_domains = example.test, xn--bcher-kva.test", "virtual_alias_maps = inline:{{user@xn--bcher-kva.test=you@example.test}, {admin@example.test=you@example.test}}")
	mail.Start(t)
	c := hello(t, mail.Addr(), stranger)
	ask := func(addr string) string {
		c.must("250", "MAIL FROM:<a@b.test> SMTPUTF8")
		reply := c.ask("RCPT TO:<%s>", addr)
		c.must("250", "RSET")
		return reply
	}
	for _, good := range []string{"user@xn--bcher-kva.test", "USER@xn--bcher-kva.test"} {
		if reply := ask(good); reply[0] != '2' {
			t.Errorf("%s: %q", good, reply)
		}
	}
	for _, bad := range []string{
		"аdmin@example.test" /* Cyrillic a */, "admın@example.test" /* dotless i */, "ADMİN@example.test", "\u212Aou@example.test", "ﬀ@example.test", "you@exаmple.test", "you\u200d@example.test",
		"you@exam\u200dple.test", "you\u202e@example.test", "you@example\uff0etest.other", "you@xn--.test", "you@xn--a.test", "you@" + strings.Repeat("ü", 64) + ".test", "you@" + strings.Repeat("a", 64) + ".test", "you\xff@example.test", "you@\xc0\xaf.test", "\xed\xa0\x80@example.test", "you@example.test\xf5",
	} {
		if reply := ask(bad); reply[0] == '2' {
			t.Errorf("%q: %q", bad, reply)
		}
	}
	// In content, bytes are bytes (8B).
	body := "\xff\xfe\x80 \xc0\xaf \xed\xa0\x80\r\n\x00nul\x00\r\n"
	c.must("250", "MAIL FROM:<a@b.test> BODY=8BITMIME")
	c.must("250", "RCPT TO:<you@example.test>")
	c.must("354", "DATA")
	c.say("Subject: \xff\r\n\r\n" + body + ".\r\n")
	waitRemoved(t, mail, queueID(t, c.reply()))
	if m := mail.WaitMailbox(t, "you", 1)[0]; !strings.HasSuffix(m, strings.ReplaceAll(body, "\r\n", "\n")) {
		t.Errorf("the body is %q", m)
	}
	alive(t, mail)
}
