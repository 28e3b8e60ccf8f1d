package scenario

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestServiceTypes: a service of type pass serves connections that another
// process accepted, and maxproc 0 is no limit.
func TestServiceTypes(t *testing.T) {
	t.Parallel()
	mail := testkit.New(t)
	extra := mail.PortAddr(8)
	mail.Service(t, "handed pass - - n - - smtpd", extra+" inet n - n - 0 smtpd\n  -o client_limit=1")
	control(t, mail, 0, "", "check")
	mail.Start(t)
	if shown := mail.Must(t, "postconf", "-M", "handed/pass"); len(strings.Fields(shown)) != 8 {
		t.Errorf("postconf -M shows %q", shown)
	}

	// A hundred and ten at once are more than default_process_limit.
	var sessions []*testkit.SMTP
	for range 110 {
		sessions = append(sessions, testkit.Dial(t, extra))
	}
	for _, s := range sessions {
		s.Cmd("221", "QUIT")
	}

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	handOver(t, mail.Spool("private/handed"), accepted.(*net.TCPConn))
	client.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(client)
	for _, step := range []struct{ send, want string }{{"", "220 "}, {"HELO c.test\r\n", "250 "}, {"QUIT\r\n", "221 "}} {
		fmt.Fprint(client, step.send)
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, step.want) {
			t.Fatalf("%q: %q, %v", step.send, line, err)
		}
	}
	mail.WaitLog(t, `disconnect from localhost\[127\.0\.0\.1\] helo=1 quit=1 commands=2`)
}

// handOver passes a connection to a service and forgets it.
func handOver(t *testing.T, path string, conn *net.TCPConn) {
	t.Helper()
	f, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	conn.Close()
	to, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	if _, _, err := to.(*net.UnixConn).WriteMsgUnix([]byte{0}, unix.UnixRights(int(f.Fd())), nil); err != nil {
		t.Fatal(os.NewSyscallError("sendmsg", err))
	}
}
