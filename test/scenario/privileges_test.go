package scenario

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// rights is what a process may have. Capabilities are hexadecimal masks as
// the kernel shows them.
type rights struct {
	owner    string // user name; "box" is the owner of the mailboxes
	jailed   bool   // the root directory is the queue directory
	caps     string // effective and permitted
	bounding string
	locked   bool   // no_new_privs and a seccomp filter
	files    string // expression for the files that may be open
}

// The capabilities of root's processes: master's and those of the parents of
// workers. See pkg/jail for what each is for.
const (
	noCaps     = "0000000000000000"
	masterCaps = "00000000000405ef"
	parentCaps = "00000000000000ef"
)

// expected is the privilege design, one line for each program.
func expected() map[string]rights {
	daemon := rights{owner: "posthouse", jailed: true, caps: noCaps, bounding: noCaps, locked: true}
	unjailed := daemon
	unjailed.jailed = false
	with := func(r rights, files string) rights { r.files = files; return r }
	tls := daemon
	tls.owner = "posthouse-tls"
	auth := unjailed
	auth.owner = "posthouse-auth"
	login := daemon
	login.owner = "posthouse-login"
	submission := daemon
	submission.owner = "posthouse-submit"
	worker := rights{owner: "box", caps: noCaps, bounding: noCaps, locked: true}
	parent := rights{owner: "root", caps: parentCaps, bounding: parentCaps}
	return map[string]rights{
		"master":          {owner: "root", caps: masterCaps, bounding: masterCaps, files: `/data/master\.lock|/spool/pid/master\.pid|/spool/public/(pickup|qmgr)|/memfd:posthouse-kept`},
		"smtpd":           with(daemon, `/spool|/etc/aliases|/etc/passwd`),
		"submission":      with(submission, `/spool|/etc/aliases|/etc/passwd`),
		"cleanup":         withFiles(daemon, `/spool/public/qmgr`),
		"trivial-rewrite": with(daemon, `/etc/hosteddomains\.map`),
		"qmgr":            with(daemon, `/spool/public/qmgr`),
		"pickup":          with(daemon, `/spool/public/pickup`),
		"bounce":          daemon,
		"error":           daemon,
		"discard":         daemon,
		"smtp":            daemon,
		"anvil":           with(daemon, `/data/anvil_usage\.[01]`),
		"showq":           daemon,
		"flush":           daemon,
		"tlsmgr":          with(tls, `/etc/tls/(cert|key)\.pem`),
		"authgate":        daemon,
		"authd":           with(auth, `/etc/userdb|/etc/hosteddomains\.map|/memfd:posthouse-kept`),
		"proxymap":        with(unjailed, `/etc/aliases|/etc/passwd`),
		"postlogd":        with(unjailed, `/log/mail\.log`),
		"local":           with(parent, `/etc/aliases|/etc/passwd`),
		"virtual":         parent,
		"lmtpd":           daemon,
		"deposit":         parent,
		"imapd":           login,
		"pipe":            parent,
		"pop3d":           login,
		"sessiond":        parent,
		"mailuser":        with(worker, `/mail/example\.test/you/posthouse.*`),
		"asuser":          {owner: "box", caps: noCaps, bounding: noCaps},
	}
}

// TestPrivileges starts all daemons and compares each process with the
// privilege design.
func TestPrivileges(t *testing.T) {
	testkit.NeedRoot(t)
	mail := testkit.New(t)
	mail.Set(t, "transport_maps = inline:{ discard.test=discard:, {error.test=error:5.1.1 no}, pipe.test=pp: }", "relay_domains = discard.test, error.test, pipe.test",
		"smtpd_client_event_limit_exceptions =")
	mail.Service(t, "pp unix - n n - 1 pipe user=nobody argv=/bin/true")
	// What the caller has open is no business of the mail system.
	if fd, err := syscall.Dup(1); err == nil {
		defer syscall.Close(fd)
	}
	mail.UserDB(t, "secret", []string{"you"})
	mail.Start(t)
	s := startAll(t, mail)
	defer s.Conn.Close()

	atRest(t, mail, func(report reporter) {
		seen := map[string]bool{}
		for _, p := range processes(t, mail) {
			want, ok := expected()[p.name]
			if !ok {
				if p.name != "posthouse" {
					report("process %s is not in the table", p.name)
				}
				continue
			}
			seen[p.name] = true
			compare(t, mail, p, want, report)
		}
		for name := range expected() {
			if !seen[name] {
				report("%s did not run", name)
			}
		}
	})
}

// reporter takes what is wrong with a process.
type reporter func(format string, args ...any)

// atRest looks at the processes until nothing is wrong, for a minute: one that is
// starting still has the rights that it will give up, and a worker ends when it
// has had nothing to do for some seconds.
func atRest(t *testing.T, mail *testkit.Instance, look func(report reporter)) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		var wrong []string
		look(func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) })
		if len(wrong) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Error(strings.Join(wrong, "\n"))
			return
		}
		// For the workers. The queue must be empty again: who delivers has a
		// file open.
		session(t, mail).Message("sender@example.test", "you@example.test", "Subject: x\n\nx\n")
		testkit.Wait(t, "an empty queue", func() bool { return len(mail.Queue(t, "maildrop", "incoming", "active")) == 0 })
	}
}

// startAll sends mail that has every daemon started, and keeps a session with
// TLS open.
func startAll(t *testing.T, mail *testkit.Instance) *testkit.SMTP {
	t.Helper()
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	for _, to := range []string{"you@example.test", "x@discard.test", "x@[127.0.0.9]", "root@localhost", "x@pipe.test"} {
		s.Message("sender@example.test", to, "Subject: x\n\nx\n")
	}
	mail.Send(t, "Subject: y\n\ny\n", "you@example.test", "x@error.test")
	mail.WaitMailbox(t, "you", 2)
	mail.WaitLog(t, `to=<x@error\.test>, .*status=bounced`)
	mail.WaitLog(t, `to=<root@localhost>`)
	mail.Must(t, "postqueue", "-p")
	mail.Must(t, "postqueue", "-s", "discard.test")
	// Who delivers a notice at this moment has its file open.
	testkit.Wait(t, "an empty queue", func() bool { return len(mail.Queue(t, "maildrop", "incoming", "active")) == 0 })
	// It stays logged in, and with it its worker.
	c := dialPOP3(t, pop3Addr(mail, 5), false)
	c.login("you")
	dialIMAP(t, mail, true).login("you")
	testkit.Dial(t, submissionAddr(mail)).Cmd("250", "EHLO c.test")
	lmtp := testkit.Dial(t, mail.LMTPAddr())
	lmtp.Cmd("250", "LHLO c.test")
	lmtp.Cmd("250", "MAIL FROM:<>")
	lmtp.Cmd("", "RCPT TO:<you@example.test>")
	if c, err := net.Dial("unix", mail.Spool("private/auth")); err == nil {
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		c.Read(make([]byte, 100))
	}
	s.Cmd("220", "STARTTLS")
	conn := tls.Client(s.Conn, &tls.Config{InsecureSkipVerify: true})
	conn.SetDeadline(time.Now().Add(time.Minute))
	if err := conn.Handshake(); err != nil {
		t.Fatalf("STARTTLS: %v", err)
	}
	s.Conn = net.Conn(conn)
	return s
}

// process is what the kernel says of a process.
type process struct {
	name   string
	pid    int
	status map[string]string
}

// processes returns master and all that descend from it. What has its parent's
// name is on the way to become another program.
func processes(t *testing.T, mail *testkit.Instance) []process {
	t.Helper()
	text, err := os.ReadFile(mail.Spool("pid/master.pid"))
	if err != nil {
		t.Fatal(err)
	}
	master, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	children := map[int][]process{}
	dirs, _ := filepath.Glob("/proc/[0-9]*/status")
	var list []process
	for _, d := range dirs {
		p, ok := readProcess(d)
		if !ok {
			continue
		}
		ppid, _ := strconv.Atoi(p.status["PPid"])
		children[ppid] = append(children[ppid], p)
		if p.pid == master {
			list = append(list, p)
		}
	}
	for i := 0; i < len(list); i++ {
		for _, p := range children[list[i].pid] {
			if p.name != list[i].name {
				list = append(list, p)
			}
		}
	}
	return list
}

func readProcess(statusFile string) (process, bool) {
	text, err := os.ReadFile(statusFile)
	if err != nil {
		return process{}, false
	}
	p := process{status: map[string]string{}}
	for _, line := range strings.Split(string(text), "\n") {
		name, value, _ := strings.Cut(line, ":")
		p.status[name] = strings.TrimSpace(value)
	}
	p.name = p.status["Name"]
	p.pid, _ = strconv.Atoi(p.status["Pid"])
	return p, p.status["State"] != "" && !strings.HasPrefix(p.status["State"], "Z")
}

// parentName is the program that started a process.
func parentName(p process) string {
	name, _ := os.ReadFile("/proc/" + p.status["PPid"] + "/comm")
	return strings.TrimSpace(string(name))
}

func compare(t *testing.T, mail *testkit.Instance, p process, want rights, report reporter) {
	t.Helper()
	name := want.owner
	if name == "box" {
		name = "posthouse-box"
		// A worker for root@localhost has the rights of default_privs.
		if u, err := user.LookupId(strings.Fields(p.status["Uid"])[0]); err == nil && (u.Username == "nobody" || u.Username == "posthouse") {
			name = u.Username
		}
	}
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	four := func(id string) string { return strings.Join([]string{id, id, id, id}, "\t") }
	check := func(what, got, want string) {
		if got != want {
			report("%s: %s is %q, must be %q", p.name, what, got, want)
		}
	}
	check("uid", p.status["Uid"], four(u.Uid))
	switch {
	case p.name == "pop3d", p.name == "imapd", p.name == "submission":
		// The mail owner's group lets it reach private sockets.
		check("gid", p.status["Gid"], four(strconv.Itoa(jail.StrangersGID)))
		owner, err := user.Lookup("posthouse")
		if err != nil {
			t.Fatal(err)
		}
		groups := []string{u.Gid, owner.Gid}
		if p.name == "submission" {
			// And this one lets it reach cleanup's.
			public, err := user.LookupGroup("postdrop")
			if err != nil {
				t.Fatal(err)
			}
			groups = append(groups, public.Gid)
		}
		slices.Sort(groups)
		have := strings.Fields(p.status["Groups"])
		slices.Sort(have)
		check("groups", strings.Join(have, " "), strings.Join(groups, " "))
	case p.name == "smtpd" || p.name == "lmtpd" || p.name == "authgate" || p.name == "postlogd":
		// Its siblings know it by this group and tell it less.
		group := strconv.Itoa(jail.StrangersGID)
		check("gid", p.status["Gid"], four(group))
		check("groups", strings.TrimSpace(p.status["Groups"]), u.Gid)
	case want.owner != "root" && want.owner != "box":
		check("gid", p.status["Gid"], four(u.Gid))
	}
	if groups := strings.Fields(p.status["Groups"]); p.name != "pop3d" && p.name != "imapd" && p.name != "submission" && len(groups) > 1 || len(groups) == 1 && groups[0] != strings.Fields(p.status["Gid"])[0] && groups[0] != u.Gid {
		report("%s: supplementary groups %v", p.name, groups)
	}
	for _, set := range []string{"CapEff", "CapPrm"} {
		check(set, p.status[set], want.caps)
	}
	check("CapInh", p.status["CapInh"], noCaps)
	check("CapAmb", p.status["CapAmb"], noCaps)
	if want.owner != "box" {
		check("CapBnd", p.status["CapBnd"], want.bounding)
	}
	if want.locked {
		check("NoNewPrivs", p.status["NoNewPrivs"], "1")
		check("Seccomp", p.status["Seccomp"], "2")
	}
	if want.owner == "box" && parentName(p) != "pipe" {
		// A command may need to start a program that is setgid.
		check("NoNewPrivs", p.status["NoNewPrivs"], "1")
	}
	root, _ := os.Readlink(fmt.Sprintf("/proc/%d/root", p.pid))
	if want.jailed {
		check("root directory", root, mail.Spool(""))
	} else {
		check("root directory", root, "/")
	}
	checkThreads(p, report)
	checkFiles(mail, p, want, report)
}

// checkThreads: a right that one thread kept is a right that the process has.
func checkThreads(p process, report reporter) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.pid))
	for _, file := range tasks {
		task, ok := readProcess(file)
		if !ok {
			continue
		}
		for _, field := range []string{"Uid", "Gid", "CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp"} {
			if task.status[field] != p.status[field] {
				report("%s: thread %d has %s %q, the process %q", p.name, task.pid, field, task.status[field], p.status[field])
			}
		}
	}
}

// withFiles adds files that a process may have open.
func withFiles(r rights, files string) rights {
	r.files = files
	return r
}

// checkFiles: sockets and pipes aside, only the files of the table are open.
func checkFiles(mail *testkit.Instance, p process, want rights, report reporter) {
	// The Go runtime keeps the limits of its control group open; the FIFO is the way to postlogd.
	common := regexp.MustCompile(`^(/dev/null|socket:.*|pipe:.*|anon_inode:.*|/sys/fs/cgroup/.*|` +
		regexp.QuoteMeta(mail.Spool("pid/postlog")) + `)$`)
	own := regexp.MustCompile(`^(` + regexp.QuoteMeta(mail.Dir) + `)?(` + want.files + `)$`)
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.pid))
	sort.Strings(fds)
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		// Tests of other packages add users, which replaces /etc/passwd.
		target = strings.TrimSuffix(target, " (deleted)")
		if err != nil || common.MatchString(target) {
			continue
		}
		if want.files == "" || !own.MatchString(target) {
			report("%s: descriptor %s is %s, which it should not have", p.name, filepath.Base(fd), target)
		}
	}
}
