package attack

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// captives are the profiles of which a taken-over process is tried.
var captives = []string{"network", "client", "queue-only", "keys", "log-writer", "login"}

// drill is a mail system with a captive daemon of each profile.
type drill struct {
	t    *testing.T
	mail *testkit.Instance
	held string // a message in the hold queue
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	testkit.NeedRoot(t)
	mail := site(t, "smtpd_sender_restrictions = check_sender_access inline:{{held@remote.test = HOLD}}")
	bin := privateBin(t, mail)
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range captives {
		path := filepath.Join(bin, "captive-"+name)
		cmd := exec.Command("go", "build", "-o", path, "./test/attack/testdata/captive")
		if i > 0 {
			cmd = exec.Command("cp", filepath.Join(bin, "captive-"+captives[0]), path)
		}
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		chroot := "y"
		if name == "log-writer" {
			chroot = "n"
		}
		mail.Service(t, fmt.Sprintf("captive-%[1]s unix n - %[2]s - 1 captive-%[1]s", name, chroot))
	}
	mail.Start(t)
	d := &drill{t: t, mail: mail}
	d.held = hello(t, mail.Addr(), stranger).send("held@remote.test", "you@example.test", "Subject: secret\n\nx")
	testkit.Wait(t, "held message", func() bool { return len(mail.Queue(t, "hold")) == 1 })
	// Every daemon that the captives look at shall run.
	s := hello(t, mail.Addr(), stranger)
	s.send("a@remote.test", "you@example.test", "Subject: x\n\nx")
	s.startTLS()
	mail.WaitMailbox(t, "you", 1)
	mail.Must(t, "postqueue", "-p")
	return d
}

// captive is a conversation with a taken-over daemon.
type captive struct {
	conn net.Conn
	r    *bufio.Reader
}

func (d *drill) captive(profile string) *captive {
	d.t.Helper()
	conn, err := net.Dial("unix", d.mail.Spool("public/captive-"+profile))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	c := &captive{conn: conn, r: bufio.NewReader(conn)}
	return c
}

// try returns "yes", "no: reason", or "" when the captive is gone.
func (c *captive) try(words ...string) string {
	fmt.Fprintln(c.conn, strings.Join(words, " "))
	line, _ := c.r.ReadString('\n')
	return strings.TrimSpace(line)
}

// What a captured daemon can do, in one letter for each of the profiles in
// captives: y or n. docs/security.md has this table, and TestDocumentedDrill
// compares.
var drillTable = []struct {
	what  string
	probe string // words with @names that the test fills in
	can   string
}{
	{"read /etc/shadow", "read /etc/shadow", "nnnnnn"},
	{"read the passwd file", "read /etc/passwd", "nnnnnn"},
	{"read a user's mail", "read @mailbox", "nnnnnn"},
	{"read the TLS key", "read @key", "nnnnnn"},
	{"read the passwords of users", "read @userdb", "nnnnnn"},
	{"read main.cf", "read @maincf", "nnnnnn"},
	{"write the alias table", "write @aliases", "nnnnnn"},
	{"leave the root directory", "read /../../../../etc/passwd", "nnnnnn"},
	{"list a queue directory", "list hold", "nyynnn"},
	{"read a message in the queue", "read hold/@held", "nyynnn"},
	{"write a message in the queue", "write hold/@held", "nyynnn"},
	{"truncate a message in the queue", "truncate hold/@held", "nyynnn"},
	{"make a file in incoming", "create incoming/planted", "nyynnn"},
	{"make a file in active", "create active/planted", "nyynnn"},
	{"make a file in maildrop", "create maildrop/planted", "nyynnn"},
	{"remove a message", "unlink hold/@held", "n..nnn"},
	{"move a message", "rename hold/@held hold/moved", "n..nnn"},
	{"link a message", "link hold/@held hold/linked", "n..nnn"},
	{"make a directory", "mkdir incoming/dir", "n..nnn"},
	{"open a queue directory to others", "chmod incoming", "n..nnn"},
	{"change the mode of a message", "chmod hold/@held", "n..nnn"},
	{"change the group of a message", "chown hold/@held", "n..nnn"},
	{"change the time of a message", "utime hold/@held", "n..nnn"},
	{"set an attribute of a message", "setxattr hold/@held", "n..nnn"},
	{"watch a queue directory", "watch hold", "n..nnn"},
	{"wake qmgr", "write public/qmgr", "nyynnn"},
	{"put a socket in place of another", "bind private/planted", "nnnnnn"},
	{"make a FIFO", "mkfifo private/planted", "nnnnnn"},
	{"make a symbolic link", "symlink /etc/passwd private/planted", "nnnnnn"},
	{"make a device", "mknod private/planted", "nnnnnn"},

	{"signal master", "kill @master", "nnnnnn"},
	{"signal a sibling", "kill @qmgr", "nnnnnn"},
	{"signal a sibling's thread", "tgkill @qmgr", "nnnnnn"},
	{"signal a sibling by tkill", "tkill @qmgr", "nnnnnn"},
	{"queue a signal for a sibling", "queue @qmgr", "nnnnnn"},
	{"signal a sibling by pidfd", "pidfd @qmgr", "nnnnnn"},
	{"trace a sibling", "ptrace @qmgr", "nnnnnn"},
	{"read a sibling's memory", "peek @qmgr", "nnnnnn"},
	{"change a sibling's limits", "limits @qmgr", "nnnnnn"},
	{"change a sibling's priority", "nice @qmgr", "nnnnnn"},
	{"change a sibling's processors", "affinity @qmgr", "nnnnnn"},
	{"change a sibling's scheduling", "scheduler @qmgr", "nnnnnn"},
	{"change a sibling's disk priority", "ioprio @qmgr", "nnnnnn"},

	{"become root", "setuid", "nnnnnn"},
	{"take root's group", "setgid", "nnnnnn"},
	{"change groups", "setgroups", "nnnnnn"},
	{"mount", "mount", "nnnnnn"},
	{"make a namespace", "unshare", "nnnnnn"},
	{"change the root directory", "chroot", "nnnnnn"},
	{"execute a program", "exec /nonexistent", "nnnnnn"},
	{"execute memory", "memfd", "nnnnnn"},
	{"use bpf", "bpf", "nnnnnn"},
	{"use the kernel's keys", "keyctl", "nnnnnn"},
	{"use io_uring", "uring", "nnnnnn"},
	{"use userfaultfd", "userfault", "nnnnnn"},
	{"use perf", "perf", "nnnnnn"},
	{"fork", "fork", "yyyyyy"},

	{"raw socket", "socket 2 3", "nnnnnn"},
	{"packet socket", "socket 17 3", "nnnnnn"},
	{"internet socket", "socket 2 1", "yynnny"},
	{"connect to the internet", "tcp @smtp", "yynnny"},
	{"listen on a low port", "listen 127.0.0.1:99", "nnnnnn"},
	{"connect to cleanup", "connect public/cleanup", "yyynyn"},
	{"connect to trivial-rewrite", "connect private/rewrite", "yyynyn"},
	{"connect to tlsmgr", "connect private/tlsmgr", "yyynyy"},
	{"connect to proxymap", "connect private/proxymap", "yyynyn"},
	{"have a message bounced elsewhere", "connect private/bounce", "nyynnn"},
	{"have a delivery agent work", "connect private/local", "nyynnn"},
	{"have a message sent elsewhere", "connect private/smtp", "nyynnn"},
	{"connect to authd", "connect private/authd", "yyynyy"},
	{"connect to sessiond", "connect private/sessiond", "nnnnny"},
	{"connect to deposit", "connect private/deposit", "yyynyn"},
}

// fill replaces the names in a probe.
func (d *drill) fill(probe string, unjailed bool) []string {
	pids := pidsOf(d.t, d.mail)
	pid := func(name string) string {
		if len(pids[name]) == 0 {
			d.t.Fatalf("%s does not run", name)
		}
		return fmt.Sprint(pids[name][0])
	}
	boxes, _ := filepath.Glob(filepath.Join(d.mail.Dir, "mail", testkit.Domain, "you", "new", "*"))
	return strings.Fields(strings.NewReplacer("@mailbox", boxes[0], "@key", d.mail.Etc("tls/key.pem"),
		"@userdb", d.mail.Etc("userdb/"+testkit.Domain),
		"@maincf", d.mail.Etc("main.cf"), "@aliases", d.mail.Etc("aliases"), "@held", d.held,
		"@master", pid("master"), "@qmgr", pid("qmgr"), "@smtp", d.mail.Addr()).Replace(probe))
}

// TestCompromisedDaemon is the drill: what does an intruder in a daemon get
// to? Rows with "." are rights that the daemon needs and that would spoil the
// next rows.
func TestCompromisedDaemon(t *testing.T) {
	d := newDrill(t)
	for i, profile := range captives {
		c := d.captive(profile)
		for _, row := range drillTable {
			if row.can[i] == '.' {
				continue
			}
			answer := c.try(d.fill(row.probe, profile == "log-writer")...)
			got := map[bool]byte{true: 'y', false: 'n'}[answer == "yes"]
			if answer == "" {
				t.Fatalf("%s: the captive died of %q", profile, row.probe)
			}
			if got != row.can[i] {
				t.Errorf("%s: %s (%s): %s", profile, row.what, row.probe, answer)
			}
			for _, made := range []string{"incoming", "active", "maildrop"} {
				os.Remove(d.mail.Spool(made + "/planted"))
			}
		}
	}
	qmgr := pidsOf(t, d.mail)["qmgr"][0]
	for _, profile := range captives {
		d.captive(profile).try("owner", fmt.Sprint(qmgr))
	}
	if after := pidsOf(t, d.mail)["qmgr"]; len(after) != 1 || after[0] != qmgr {
		t.Error("a captive had the kernel kill qmgr")
	}
	alive(t, d.mail)
}

// TestDocumentedDrill: docs/security.md shows the table above.
func TestDocumentedDrill(t *testing.T) {
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	text := readFile(t, filepath.Join(root, "docs", "security.md"))
	for _, row := range drillTable {
		words := []string{row.what}
		for _, c := range row.can {
			words = append(words, map[rune]string{'y': "yes", 'n': "-", '.': "yes"}[c])
		}
		line := "| " + strings.Join(words, " | ") + " |"
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("docs/security.md lacks\n%s", line)
		}
	}
}
