package attack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/session"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// posthouseGroup is the group of the mail owner.
func posthouseGroup(t *testing.T) string {
	t.Helper()
	group, err := user.LookupGroup("posthouse")
	if err != nil {
		t.Fatal(err)
	}
	return group.Gid
}

// TestCapturedLMTPD: who has taken over lmtpd can have messages put into the
// mailboxes of users, and nowhere else: not with a path, uid or quota of its
// own, not for an account that is no mail user's, not from a file of its own;
// and deposit lives on.
func TestCapturedLMTPD(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "setpriv")
	mail := imapSite(t, "message_size_limit = 1000000", "recipient_delimiter = +", "lmtp_save_to_detail_mailbox = yes", "lda_mailbox_autocreate = yes")
	before := depositPID(t, mail)
	as := []string{"--reuid", "posthouse", "--regid", posthouseGroup(t), "--clear-groups"}
	role(t, mail, "depositor", as, mail.Spool("private/deposit"), mail.Dir)
	if after := depositPID(t, mail); after != before {
		t.Errorf("deposit is process %d, was %d", after, before)
	}
	for _, name := range []string{"planted", "new/planted"} {
		if found, _ := filepath.Glob(filepath.Join(mail.Dir, "*", name)); len(found) > 0 {
			t.Errorf("there is %q", found)
		}
	}
	for _, line := range strings.Split(mail.Log(), "\n") {
		if strings.HasPrefix(line, "forged") {
			t.Errorf("the log has %q", line)
		}
	}
	boxes, _ := filepath.Glob(filepath.Join(mail.Dir, "mail", testkit.Domain, "*", "new", "*"))
	uid, _ := testkit.BoxOwner(t)
	for _, path := range boxes {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != uid || !strings.Contains(path, "/a/new/") {
			t.Errorf("%s is of uid %d", path, owner)
		}
	}
	if len(boxes) != 2 {
		t.Errorf("messages %q, want the two that were for a", boxes)
	}
}

// depositPID wakes deposit and returns its process.
func depositPID(t *testing.T, mail *testkit.Instance) int {
	t.Helper()
	conn, err := ipc.Dial(context.Background(), mail.Spool("private/deposit"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reply, err := conn.Call(ipc.List{}.Str("request", "check").Str("recipient", "b@example.test"))
	if err != nil || !strings.HasPrefix(reply.Value("result"), "250") {
		t.Fatalf("deposit: %v %v", reply, err)
	}
	return pidOf(t, mail, "deposit")
}

// depositor asks deposit for what a captured lmtpd could want of it, and
// succeeds if it gets no more than it should.
func depositor(path, dir string) int {
	bad := 0
	wrong := func(format string, args ...any) {
		fmt.Printf(format+"\n", args...)
		bad = 1
	}
	for _, r := range []string{"", "root", "root@example.test", "root@localhost", "nobody", "0", dir + "/planted", "../../a", "a/../b@example.test",
		"a@example.test\nb@example.test", "a@example.test,b@example.test", "\"a b\"@example.test", "@example.test", "a@", "|/bin/sh", strings.Repeat("a", 100000) + "@example.test"} {
		if got := askDeposit(path, "Subject: x\n\nx\n", ipc.List{}.Str("recipient", r)); strings.HasPrefix(got, "2") {
			wrong("%.40q: %s", r, got)
		}
	}
	// What does not belong into a request counts for nothing: this goes to a.
	own := ipc.List{}.Str("recipient", "a@example.test").Str("path", dir+"/planted").Str("folder", "../../../b").Str("op", "command").
		Str("uid", "0").Int("gid", 0).Str("mail", dir).Str("dirs", "/").Str("quota", "1S").Str("user", "b@example.test").
		Str("id", "forged\nforged: line").Str("sender", "x@y.test\nforged: line\r\nforged: x")
	if got := askDeposit(path, "Subject: planted\n\nx\n", own); !strings.HasPrefix(got, "250") {
		wrong("attributes that do not belong there: %s", got)
	}
	if got := askDeposit(path, "Subject: x\n\nx\n", ipc.List{}.Str("recipient", "a+../../../../b@example.test")); !strings.HasPrefix(got, "250") {
		wrong("a folder that is none: %s", got)
	}
	if got := askDeposit(path, "huge", ipc.List{}.Str("recipient", "a@example.test")); strings.HasPrefix(got, "2") {
		wrong("a message of a terabyte: %s", got)
	}
	many := ipc.List{}
	for range 101 {
		many = many.Str("recipient", "a@example.test")
	}
	for what, req := range map[string]ipc.List{
		"no file": ipc.List{}.Str("request", "deliver").Str("recipient", "a@example.test"), "too many": many,
		"command": ipc.List{}.Str("request", "command"), "nothing": {}, "Store": ipc.List{}.Str("op", "store").Str("path", dir+"/planted"),
	} {
		conn, err := ipc.Dial(context.Background(), path, time.Minute)
		if err != nil {
			wrong("%v", err)
			continue
		}
		if reply, err := conn.Call(req); err == nil {
			wrong("%s: %v", what, reply)
		}
		conn.Close()
	}
	return bad + ownFile(path)
}

// ownFile offers deposit a file that the caller chose.
func ownFile(path string) int {
	conn, err := ipc.Dial(context.Background(), path, time.Minute)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer conn.Close()
	conn.Timeout = 20 * time.Second
	f, err := os.Open("/dev/zero")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer f.Close()
	err = conn.WriteFileList(f, ipc.List{}.Str("request", "deliver").Str("recipient", "a@example.test"))
	if err == nil {
		var reply ipc.List
		if reply, err = conn.Receive(); err == nil {
			fmt.Println("a file of its own:", reply)
			return 1
		}
	}
	return 0
}

// askDeposit has a message delivered and returns the result, or "refused".
func askDeposit(path, text string, rcpts ipc.List) string {
	conn, err := ipc.Dial(context.Background(), path, time.Minute)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	conn.Timeout = time.Minute
	if err := conn.Send(ipc.List{}.Str("request", "file")); err != nil {
		return err.Error()
	}
	f, err := ipc.ReceiveFile(conn.Conn.(syscall.Conn), "message")
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if text == "huge" {
		err = f.Truncate(1 << 40)
	} else {
		_, err = f.WriteString(text)
	}
	if err != nil {
		return err.Error()
	}
	reply, err := conn.Call(append(ipc.List{}.Str("request", "deliver"), rcpts...))
	if err != nil {
		return "refused"
	}
	return reply.Value("result")
}

// TestCapturedTicket: who has taken over imapd, and has the ticket of a user who
// logged in, gets that user's session with it, once, for that service, and
// nobody else's; whatever comes as the connection, sessiond lives on.
func TestCapturedTicket(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "setpriv")
	mail := imapSite(t)
	mark := imapLogin(t, mail, "b")
	mark.cmd("OK", "CREATE Of-b")
	imapLogin(t, mail, "a").cmd("OK", "CREATE Of-a")
	before := pidOf(t, mail, "sessiond")
	as := []string{"--reuid", "posthouse-login", "--regid", "65534", "--groups", posthouseGroup(t)}
	role(t, mail, "misuse", as, mail.Spool("private/sessiond"), mail.Spool("private/authd"))
	if after := pidOf(t, mail, "sessiond"); after != before {
		t.Errorf("sessiond is process %d, was %d", after, before)
	}
	mark.cmd("OK", "NOOP")
}

// misuseTicket succeeds if tickets are worth no more than they should.
func misuseTicket(path, authd string) int {
	c := authclient.New(authd)
	defer c.Close()
	bad := 0
	wrong := func(format string, args ...any) {
		fmt.Printf(format+"\n", args...)
		bad = 1
	}
	ticket := func() string {
		step, err := c.Plain(context.Background(), authclient.Peer{Service: "imap", RemoteIP: "192.0.2.1", TLS: true}, "a@example.test", "secret")
		if err != nil || step.Ticket == "" {
			wrong("log in: %+v %v", step, err)
		}
		return step.Ticket
	}
	hand := func(ticket, service string, file *os.File, more ipc.List) error {
		conn, err := ipc.Dial(context.Background(), path, time.Minute)
		if err != nil {
			return err
		}
		defer conn.Close()
		s := &session.Start{Service: service, RemoteIP: "192.0.2.1", Tag: "a", SessionID: "x", Proxied: true}
		if err := conn.WriteFileList(file, append(s.Attributes(ipc.List{}.Str("ticket", ticket)), more...)); err != nil {
			return err
		}
		reply, err := conn.Receive()
		if err == nil && reply.Value("status") != "ok" {
			err = errors.New(reply.Value("status"))
		}
		return err
	}
	ours, theirs := socketPair()
	if err := hand(ticket(), "pop3", theirs, nil); err == nil {
		wrong("a ticket for IMAP opened POP3")
	}
	other := &authclient.User{}
	other.Login, other.MailDir = "b@example.test", "/"
	if err := hand(ticket(), "imap", theirs, other.Attributes(ipc.List{})); err == nil {
		wrong("a login server may say who the user is")
	}
	spent := ticket()
	if err := hand(spent, "imap", theirs, ipc.List{}.Str("set", "mail_shared_folders=x=/").Str("op", "x").Str("login", "b@example.test").Str("uid", "0")); err != nil {
		wrong("a good ticket: %v", err)
	}
	if list := foldersOf(ours); !strings.Contains(list, "Of-a") || strings.Contains(list, "Of-b") || strings.Contains(list, "x/") {
		wrong("a's session has the folders %q", list)
	}
	if err := hand(spent, "imap", theirs, nil); err == nil {
		wrong("a ticket counts twice")
	}
	for _, name := range []string{"/dev/null", "/dev/zero", "/", "/proc/self/exe"} {
		f, err := os.Open(name)
		if err != nil {
			wrong("%v", err)
			continue
		}
		_ = hand(ticket(), "imap", f, nil) // a session with itself
		f.Close()
	}
	return bad
}

// socketPair is a connection as login servers with TLS hand it on.
func socketPair() (net.Conn, *os.File) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	f := os.NewFile(uintptr(fds[0]), "ours")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		panic(err)
	}
	return conn, os.NewFile(uintptr(fds[1]), "theirs")
}

// foldersOf lists the folders of a session.
func foldersOf(conn net.Conn) string {
	conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprint(conn, "x LIST \"\" *\r\n")
	var all strings.Builder
	for r := bufio.NewReader(conn); ; {
		line, err := r.ReadString('\n')
		all.WriteString(line)
		if err != nil || strings.HasPrefix(line, "x ") {
			return all.String()
		}
	}
}
