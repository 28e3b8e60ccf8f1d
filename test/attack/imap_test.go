package attack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/session"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// imapConn is an IMAP client that sends what it likes.
type imapConn struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	n    int
	wait time.Duration // for each line
}

func imapSite(t *testing.T, settings ...string) *testkit.Instance {
	t.Helper()
	mail := testkit.New(t, testkit.Users("a", "b"))
	mail.Set(t, append([]string{"auth_failure_delay = 0", "mail_max_userip_connections = 0"}, settings...)...)
	mail.UserDB(t, "secret", []string{"a", "b"})
	mail.Start(t)
	return mail
}

func imapDial(t *testing.T, mail *testkit.Instance) *imapConn {
	t.Helper()
	conn, err := net.Dial("tcp", mail.PortAddr(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &imapConn{t: t, conn: conn, r: bufio.NewReaderSize(conn, 1<<20), wait: 2 * time.Minute}
	c.line()
	return c
}

func imapLogin(t *testing.T, mail *testkit.Instance, name string) *imapConn {
	t.Helper()
	c := imapDial(t, mail)
	c.cmd("OK", "LOGIN %s@example.test secret", name)
	return c
}

func (c *imapConn) line() string {
	c.conn.SetReadDeadline(time.Now().Add(c.wait))
	line, err := c.r.ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimRight(line, "\r\n")
}

// cmd returns the answer, whose last line must begin with one of the words in
// want, or be the end of the connection if "bye" is among them.
func (c *imapConn) cmd(want, format string, args ...any) string {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("t%d", c.n)
	c.conn.SetWriteDeadline(time.Now().Add(c.wait))
	c.conn.Write([]byte(tag + " " + fmt.Sprintf(format, args...) + "\r\n"))
	return c.answer(tag, want)
}

func (c *imapConn) answer(tag, want string) string {
	c.t.Helper()
	var all []string
	for {
		line := c.line()
		if line == "" {
			if !strings.Contains(want, "bye") {
				c.t.Fatalf("the connection ended after %q, want %s", all, want)
			}
			return strings.Join(all, "\n")
		}
		all = append(all, line)
		word, rest, _ := strings.Cut(line, " ")
		if word == tag || word == "*" && strings.HasPrefix(rest, "BAD") {
			status, _, _ := strings.Cut(rest, " ")
			if !strings.Contains(want, status) {
				c.t.Fatalf("got %.200q, want %s", line, want)
			}
			return strings.Join(all, "\n")
		}
	}
}

// imapPIDs returns the processes of a program; workers are children of
// sessiond.
func imapPIDs(t *testing.T, mail *testkit.Instance, program string) []int {
	t.Helper()
	pids := pidsOf(t, mail)
	if program != "mailuser" {
		return pids[program]
	}
	var out []int
	for _, parent := range pids["sessiond"] {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
		for _, path := range tasks {
			for _, word := range strings.Fields(readFile(t, path)) {
				pid, _ := strconv.Atoi(word)
				out = append(out, pid)
			}
		}
	}
	if len(out) == 0 {
		t.Fatal("no mailuser runs")
	}
	return out
}

// residentKiB is the resident size of the processes of a program, in KiB.
func residentKiB(t *testing.T, mail *testkit.Instance, program string) int {
	t.Helper()
	total := 0
	for _, pid := range imapPIDs(t, mail, program) {
		for _, line := range strings.Split(readFile(t, fmt.Sprintf("/proc/%d/status", pid)), "\n") {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				n, _ := strconv.Atoi(strings.Fields(rest)[0])
				total += n
			}
		}
	}
	return total
}

// TestIMAPBombs is IM1 and IM2: literals and lists without end, before login
// and after. Each is refused, or ends its connection; memory stays flat.
func TestIMAPBombs(t *testing.T) {
	mail := imapSite(t)
	imapLogin(t, mail, "a").cmd("OK", "LOGOUT")
	before := imapLogin(t, mail, "a")
	login := residentKiB(t, mail, "imapd")
	for _, bomb := range []string{
		"LOGIN {4294967295}", "LOGIN {18446744073709551616}", "LOGIN {-1}", "LOGIN {1000000+}\r\n" + strings.Repeat("x", 100000),
		"LOGIN ~{}", "LOGIN {99999999999999999999999}", "LOGIN " + strings.Repeat("(", 100000), "ID (" + strings.Repeat(`"a" "b" `, 1000) + ")",
		"LOGIN \"" + strings.Repeat("x", 100000), "AUTHENTICATE PLAIN " + strings.Repeat("A", 100000), strings.Repeat("LOGIN {1+}\r\nx ", 3000),
	} {
		c := imapDial(t, mail)
		c.cmd("BAD NO bye", "%s", bomb)
		c.conn.Close()
	}
	if now := residentKiB(t, mail, "imapd"); now > login+40<<10 {
		t.Errorf("imapd grew from %d to %d KiB", login, now)
	}
	worker := residentKiB(t, mail, "mailuser")
	for _, bomb := range []string{
		"SELECT {4294967295}", "SELECT {18446744073709551616}", "SELECT {-1}", "CREATE {200000+}\r\n" + strings.Repeat("x", 200000),
		"SEARCH " + strings.Repeat("(", 1000000), "SEARCH SUBJECT \"" + strings.Repeat("x", 1000000), "SEARCH " + strings.Repeat("NOT ", 100000) + "ALL",
		"FETCH " + strings.Repeat("1:*,", 100000) + "1 FLAGS", "FETCH 1 (" + strings.Repeat("FLAGS ", 20000) + ")",
		"SEARCH " + strings.Repeat("OR ALL ", 20000) + "ALL", "STORE 1 FLAGS (" + strings.Repeat("k ", 20000) + ")",
		"FETCH 1 BODY[" + strings.Repeat("1.", 1000) + "1]", "FETCH 1 BODY[]<9223372036854775808.1>", "FETCH 1 BODY[]<0.18446744073709551616>",
		"FETCH 1 BODY[HEADER.FIELDS (" + strings.Repeat("a ", 10000) + ")]", "LIST \"\" \"" + strings.Repeat("*%", 40000) + "\"",
		"APPEND INBOX {99999999999999999999}", strings.Repeat("SEARCH {1+}\r\nx ", 100000),
		"SETMETADATA INBOX (" + strings.Repeat("/private/a NIL ", 4000) + ")", "NOTIFY SET " + strings.Repeat("(personal (MailboxName)) ", 2000),
	} {
		c := imapLogin(t, mail, "a")
		c.cmd("OK", "SELECT INBOX")
		c.cmd("BAD NO bye", "%s", bomb)
		c.conn.Close()
	}
	if now := residentKiB(t, mail, "mailuser"); now > worker+100<<10 {
		t.Errorf("mailuser grew from %d to %d KiB", worker, now)
	}
	before.cmd("OK", "NOOP")
}

// TestIMAPPipelineFlood is the rest of IM2: commands without end whose answers
// nobody reads. The server waits, and others are served.
func TestIMAPPipelineFlood(t *testing.T) {
	mail := imapSite(t)
	c := imapLogin(t, mail, "a")
	c.cmd("OK", "SELECT INBOX")
	c.conn.SetWriteDeadline(time.Now().Add(3 * time.Second))
	text := []byte(strings.Repeat("x LIST \"\" *\r\nx NOOP\r\n", 1000))
	for range 1000 {
		if _, err := c.conn.Write(text); err != nil {
			break
		}
	}
	o := imapLogin(t, mail, "a")
	o.cmd("OK", "SELECT INBOX")
	o.cmd("OK", "LOGOUT")
	if kib := residentKiB(t, mail, "mailuser"); kib > 200<<10 {
		t.Errorf("mailuser has %d KiB", kib)
	}
}

// TestIMAPNames is IM3: names that would leave the user's Maildir, or be files
// of its own. Nothing appears outside, nor in other folders.
func TestIMAPNames(t *testing.T) {
	mail := imapSite(t)
	c := imapLogin(t, mail, "a")
	outside := func() string {
		var all []string
		filepath.Walk(mail.Dir+"/mail", func(path string, _ os.FileInfo, _ error) error {
			if !strings.HasPrefix(path, mail.Maildir("a")) {
				all = append(all, path)
			}
			return nil
		})
		return strings.Join(all, "\n")
	}
	before := outside()
	for _, name := range []string{"../x", "../../b/x", "/etc", "~root", ".", "..", "a/../b", "INBOX/../x", "a//b", "a/", "./a", "&-&", "&AGEAYg-x",
		"&2AA-", strings.Repeat("x", 300), strings.Repeat("x/", 300) + "x", "a\\\\..\\\\b", ".hidden", "a.b/../../c"} {
		for _, cmd := range []string{"CREATE", "SELECT", "DELETE", "SUBSCRIBE", "STATUS %s (MESSAGES)", "RENAME INBOX", "LIST \"\"", "MYRIGHTS", "GETMETADATA"} {
			line := cmd + " \"" + name + "\""
			if strings.Contains(cmd, "%s") {
				line = fmt.Sprintf(cmd, "\""+name+"\"")
			}
			if cmd == "GETMETADATA" {
				line += " /private/comment"
			}
			c.cmd("OK NO BAD", "%s", line)
		}
		// Many bad commands in a row end a session.
		c.cmd("OK", "NOOP")
		c.n += 2
		c.conn.Write([]byte(fmt.Sprintf("t%d APPEND \"%s\" {3+}\r\na:b\r\n", c.n, name)))
		c.answer(fmt.Sprintf("t%d", c.n), "OK NO BAD")
	}
	for _, raw := range []string{"CREATE {3+}\r\na\x00b", "CREATE {4+}\r\na\r\nb", "CREATE {2+}\r\n\xc0\xaf", "CREATE {1+}\r\n\xff"} {
		d := imapLogin(t, mail, "a")
		d.cmd("NO BAD", "%s", raw)
	}
	if after := outside(); after != before {
		t.Errorf("outside of the user's Maildir, before:\n%s\nafter:\n%s", before, after)
	}
	if _, err := os.Stat("/etc/cur"); err == nil {
		t.Error("/etc is a folder now")
	}
}

// TestIMAPDeepTrees is IM4: wild cards cost time in proportion.
func TestIMAPDeepTrees(t *testing.T) {
	mail := imapSite(t)
	c := imapLogin(t, mail, "a")
	for i := range 60 {
		c.cmd("OK", "CREATE %sx%d", strings.Repeat("aaaaaaaa/", i%8), i)
	}
	for _, pattern := range []string{strings.Repeat("%*", 400), strings.Repeat("*a", 400), strings.Repeat("%a*", 300) + "/nothing"} {
		c.cmd("OK", "LIST \"\" \"%s\"", pattern)
	}
}

// TestIMAPFolderRaces is IM6: two sessions make, rename and delete the same
// folders, with one selected. Nobody crashes, and what is left is in order.
func TestIMAPFolderRaces(t *testing.T) {
	mail := imapSite(t)
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Add(1)
		c := imapLogin(t, mail, "a")
		go func() {
			defer wg.Done()
			for i := range 60 {
				words := []string{"CREATE X", "SELECT X", fmt.Sprintf("RENAME X Y%d", n), fmt.Sprintf("DELETE Y%d", n), "DELETE X"}
				if i%20 == 0 {
					words = append(words, fmt.Sprintf("RENAME INBOX Old%d-%d", n, i))
				}
				for _, word := range words {
					if got := c.cmd("OK NO bye", "%s", word); got == "" || strings.Contains(got, "* BYE") {
						c = imapLogin(t, mail, "a") // its mailbox was deleted
					}
				}
			}
		}()
	}
	wg.Wait()
	c := imapLogin(t, mail, "a")
	c.cmd("OK", "SELECT INBOX")
	if got := c.cmd("OK", "LIST \"\" *"); strings.Count(got, "\n") > 20 {
		t.Errorf("left over: %s", got)
	}
}

// TestIMAPCompressFlood is of IM8: compressed input that expands a thousand
// times costs what the commands in it cost.
func TestIMAPCompress(t *testing.T) {
	mail := imapSite(t)
	c := imapLogin(t, mail, "a")
	c.cmd("OK", "COMPRESS DEFLATE")
	c.conn.Write([]byte("this is no deflate stream, surely, and never was one"))
	for range 100 {
		if _, err := c.r.ReadByte(); err != nil {
			break
		}
	}
	imapLogin(t, mail, "a").cmd("OK", "NOOP")
}

// role runs the test program under another user.
func role(t *testing.T, mail *testkit.Instance, name string, ids []string, args ...string) {
	t.Helper()
	copied := filepath.Join(mail.Dir, "role")
	if _, err := os.Stat(copied); err != nil {
		// Without cgo, as all programs that are jailed.
		build := exec.Command("go", "test", "-c", "-o", copied, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	cmd := exec.Command("setpriv", append(append(ids, copied), args...)...)
	cmd.Env, cmd.Dir = []string{"POSTHOUSE_TEST_ROLE=" + name}, "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s %q: %v\n%s", name, args, err, out)
	}
}

// TestCapturedLogin: who has taken over imapd cannot open a session without a
// ticket, has no right to files, and reaches only the sockets that it needs.
func TestCapturedLogin(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "setpriv")
	mail := imapSite(t)
	imapLogin(t, mail, "a").cmd("OK", "LOGOUT")
	group, err := user.Lookup("posthouse")
	if err != nil {
		t.Fatal(err)
	}
	as := []string{"--reuid", "posthouse-login", "--regid", "65534", "--groups", group.Gid}
	role(t, mail, "forge", as, mail.Spool("private/sessiond"))
	mail.WaitLog(t, `a login server sent a ticket that does not count`)
	role(t, mail, "lie", as, mail.Spool(""))
	mail.WaitLog(t, `refused to tell process \d+ of uid \d+ of sessions`)
	for _, service := range []string{"rewrite", "bounce", "local", "virtual", "deposit", "proxymap"} {
		role(t, mail, "ask", as, mail.Spool("private/"+service))
	}
	// Nobody else is a login server, root neither.
	role(t, mail, "forge", []string{"--reuid", "posthouse", "--regid", group.Gid, "--clear-groups"}, mail.Spool("private/sessiond"))
	mail.WaitLog(t, `refused a session from process \d+ of uid \d+, which is no login server`)
}

// forgeTicket succeeds if sessiond takes no session for tickets that are made
// up.
func forgeTicket(path string) int {
	dev, err := os.Open("/dev/null")
	if err != nil {
		fmt.Println(err)
		return 2
	}
	c := session.NewClient(path)
	for _, ticket := range []string{"", "0", strings.Repeat("0", 64), strings.Repeat("f", 64), "a@example.test", "../../x"} {
		s := &session.Start{Service: "imap", RemoteIP: "192.0.2.1", LocalIP: "192.0.2.2", Tag: "a", SessionID: "x"}
		if err := c.HandOver(context.Background(), ticket, s, dev); err == nil {
			fmt.Printf("ticket %q was taken\n", ticket)
			return 1
		}
	}
	return 0
}

// TestTicketCountsOnce: who has taken over imapd and has a user's ticket gets one
// session with it, over the same connection to sessiond and over another.
func TestTicketCountsOnce(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "setpriv")
	mail := imapSite(t)
	group, err := user.Lookup("posthouse")
	if err != nil {
		t.Fatal(err)
	}
	as := []string{"--reuid", "posthouse-login", "--regid", "65534", "--groups", group.Gid}
	role(t, mail, "replay", as, mail.Spool(""))
	if n := len(mail.WaitLog(t, `a login server sent a ticket that does not count`)); n == 0 {
		t.Error("no word of it in the log")
	}
}

// replayTicket succeeds if a ticket is taken once, and for its own service only.
func replayTicket(spool string) int {
	ctx := context.Background()
	auth := authclient.New(filepath.Join(spool, authclient.Endpoint))
	sessions := session.NewClient(filepath.Join(spool, session.Endpoint))
	try := func(c *session.Client, service, ticket string) error {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		own, other := os.NewFile(uintptr(fds[0]), "client"), os.NewFile(uintptr(fds[1]), "session")
		defer own.Close()
		defer other.Close()
		return c.HandOver(ctx, ticket, &session.Start{Service: service, RemoteIP: "192.0.2.1", LocalIP: "192.0.2.2", Proxied: true, Tag: "a", SessionID: "x"}, other)
	}
	for range 3 {
		ticket := func() string {
			step, err := auth.Plain(ctx, authclient.Peer{Service: "imap", RemoteIP: "192.0.2.1", TLS: true}, "a@example.test", "secret")
			if err != nil || step.Ticket == "" {
				fmt.Println("log in:", step.Outcome, err)
			}
			return step.Ticket
		}
		one, foreign := ticket(), ticket()
		if err := try(sessions, "imap", one); err != nil {
			fmt.Println("a good ticket:", err)
			return 1
		}
		var refusal *session.Refusal
		for _, c := range []*session.Client{sessions, session.NewClient(filepath.Join(spool, session.Endpoint))} {
			if err := try(c, "imap", one); !errors.As(err, &refusal) {
				fmt.Println("a ticket for the second time:", err)
				return 1
			}
		}
		for _, service := range []string{"pop3", "imap"} {
			if err := try(sessions, service, foreign); !errors.As(err, &refusal) {
				fmt.Println("a ticket that was used for another service:", err)
				return 1
			}
		}
	}
	return 0
}

// lie succeeds if authd opens no session for who has taken over imapd and says
// who the user is, or that it is sessiond.
func lie(spool string) int {
	ctx := context.Background()
	path := filepath.Join(spool, authclient.Endpoint)
	client, err := os.Open("/dev/null")
	if err != nil {
		fmt.Println(err)
		return 2
	}
	c := authclient.New(path)
	peer := authclient.Peer{Service: "imap", RemoteIP: "127.0.0.1", LocalIP: "127.0.0.1", TLS: true}
	b := (&authclient.User{Login: "b@example.test", UID: 1, GID: 1, Home: "/", MailDir: "/"}).Attributes((&session.Start{Tag: "a"}).OfConnection())
	for name, try := range map[string]struct {
		password string
		session  ipc.List
	}{"a wrong password": {"wrong", (&session.Start{Tag: "a"}).OfConnection()}, "another user": {"secret", b}} {
		step, err := c.PlainWith(ctx, peer, "a@example.test", try.password, try.session, client)
		if err == nil && step.Outcome == authclient.OK {
			fmt.Printf("%s: %+v\n", name, step)
			return 1
		}
	}
	in, err := c.Sessions(ctx)
	if err != nil {
		fmt.Println(err)
		return 2
	}
	in.SetDeadline(time.Now().Add(30 * time.Second))
	if _, _, err := session.ReceiveFromAuthd(in); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		fmt.Println("sessions for who is not root:", err)
		return 1
	}
	return 0
}

// TestCapturedWorker is IM9: the process of user a cannot open what belongs to
// b, even under the same uid, nor a file of another uid, start a program, or
// connect anywhere; it is the kernel that refuses.
func TestCapturedWorker(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "setpriv")
	mail := imapSite(t, "session_scope = user")
	c, d := imapLogin(t, mail, "a"), imapLogin(t, mail, "b")
	c.cmd("OK", "SELECT INBOX")
	d.cmd("OK", "SELECT INBOX")
	pids := imapPIDs(t, mail, "mailuser")
	if len(pids) != 2 {
		t.Errorf("processes %v, want one for each user", pids)
	}
	for _, pid := range pids {
		status := readFile(t, fmt.Sprintf("/proc/%d/status", pid))
		for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"} {
			if !strings.Contains(status, want) {
				t.Errorf("mailuser %d lacks %q", pid, want)
			}
		}
	}
	uid, gid := testkit.BoxOwner(t)
	as := []string{"--reuid", fmt.Sprint(uid), "--regid", fmt.Sprint(gid), "--clear-groups"}
	sockets := []string{mail.Maildir("a"), mail.Maildir("b"), mail.Addr()}
	for _, name := range []string{"private/deposit", "private/sessiond", "private/authd", "private/local", "public/cleanup"} {
		sockets = append(sockets, mail.Spool(name))
	}
	role(t, mail, "worker", as, sockets...)
}

// capturedWorker succeeds if a process that is confined like a's worker gets
// nowhere else.
func capturedWorker(own, other, addr string, sockets []string) int {
	if _, err := jail.ConfineUser(own); err != nil {
		fmt.Println(err)
		return 2
	}
	bad := 0
	deny := func(what string, err error) {
		// EXDEV is how landlock refuses to move and link between directories.
		if !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EXDEV) {
			fmt.Printf("%s: %v\n", what, err)
			bad = 1
		}
	}
	if _, err := os.ReadDir(own); err != nil {
		fmt.Println("own directory:", err)
		bad = 1
	}
	_, err := os.ReadDir(other)
	deny("list b's mail", err)
	_, err = os.Open(filepath.Join(other, "posthouse.log"))
	deny("read b's mail", err)
	_, err = os.Open(own + "/../b/posthouse.log")
	deny("read b's mail by way of a's", err)
	deny("write into b's mail", os.WriteFile(filepath.Join(other, "new", "x"), nil, 0o600))
	deny("link b's mail", os.Link(filepath.Join(other, "posthouse.log"), filepath.Join(own, "stolen")))
	deny("symbolic link", os.Symlink(other, filepath.Join(own, "way")))
	_, err = os.Open("/etc/passwd")
	deny("read the passwd file", err)
	deny("start a program", exec.Command("/bin/true").Run())
	_, err = net.DialTimeout("tcp", addr, 2*time.Second)
	deny("connect to the network", err)
	for _, path := range sockets {
		_, err = net.Dial("unix", path)
		deny("connect to "+path, err)
	}
	deny("trace", syscall.PtraceAttach(os.Getppid()))
	deny("become root", syscall.Setuid(0))
	return bad
}
