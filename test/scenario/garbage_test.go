package scenario

import (
	"bytes"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// garbageEnv tells the test binary to throw garbage at the endpoints in it,
// separated by colons, instead of running tests.
const garbageEnv = "POSTHOUSE_TEST_GARBAGE"

func TestMain(m *testing.M) {
	if list := os.Getenv(garbageEnv); list != "" {
		for _, path := range strings.Split(list, ":") {
			throwGarbage(path)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// garbage returns what an endpoint must survive.
func garbage() [][]byte {
	random := make([]byte, 70000)
	src := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(src.Uint32())
	}
	return [][]byte{
		nil, {0}, []byte("\n"), bytes.Repeat([]byte{0}, 5000), bytes.Repeat([]byte{'A'}, 400000), random,
		[]byte("flags\x00-1\x00\x00"), []byte("flags\x00999999999999999999999\x00\x00"),
		[]byte("nrequest\x000\x00flags\x000\x00queue_id\x00../../etc/passwd\x00\x00"),
		[]byte("request\x00rewrite\x00rule\x00local\x00address\x00" + strings.Repeat("@", 5000) + "\x00\x00"),
		[]byte("queue_name\x00active\x00queue_id\x00ABC\x00recipient_count\x004294967295\x00\x00"),
		[]byte(strings.Repeat("a\x00b\x00", 10000)),
		[]byte("flags\x000\x00\x00N\xff\xff\xff\xff\x7fXXXX"),
		[]byte("request\x00begin\x00mechanism\x00PLAIN\x00tls\x001\x00initial\x00" + strings.Repeat("QUFB", 10000) + "\x00\x00request\x00next\x00\x00"),
		[]byte("request\x00plain\x00login\x00x\x00password\x00!\x00\x00"), []byte("request\x00redeem\x00ticket\x00x\x00\x00"),
		[]byte("VERSION\t1\t1\nAUTH\t1\tLOGIN\tservice=x\nCONT\t1\t%%%\nAUTH\t4294967295999\tx\n" + strings.Repeat("CONT\t1\tQQ==\n", 1000)),
		[]byte("AUTH 4294967296\nimap\nlogin\n"), []byte("PRE . imap " + strings.Repeat("x", 1000) + "\n"),
	}
}

// throwGarbage sends each piece over a connection of its own, and leaves some
// connections half open.
func throwGarbage(path string) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return
		}
		for _, g := range garbage() {
			syscall.Write(fd, g)
		}
		syscall.Close(fd)
		return
	}
	for _, g := range garbage() {
		for _, network := range []string{"unix", "unixgram"} {
			conn, err := net.Dial(network, path)
			if err != nil {
				continue
			}
			conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
			conn.Write(g)
			conn.Read(make([]byte, 100))
			conn.Close()
		}
	}
}

// TestGarbage throws garbage at every endpoint: at the public ones as a user
// with the group of the setgid commands, at the private ones as a captured
// sibling would, with the uid of the daemons. Afterwards the same processes
// run, and mail still flows.
func TestGarbage(t *testing.T) {
	testkit.NeedRoot(t)
	mail := testkit.New(t)
	mail.Set(t, "transport_maps = inline:{ discard.test=discard:, {error.test=error:5.1.1 no} }", "relay_domains = discard.test, error.test",
		"smtpd_client_event_limit_exceptions =")
	mail.UserDB(t, "secret", []string{"you"})
	mail.Start(t)
	startAll(t, mail).Conn.Close()
	before := pids(t, mail)

	nobody, postdrop := lookupIDs(t, "nobody", "postdrop")
	runGarbage(t, mail, "public", nobody, postdrop)
	owner, group := lookupIDs(t, "posthouse", "posthouse")
	runGarbage(t, mail, "public", owner, group)
	runGarbage(t, mail, "private", owner, group)

	after := pids(t, mail)
	for pid, name := range before {
		if after[pid] == name {
			continue
		}
		// A change of /etc/passwd by somebody else has some processes
		// replaced in an orderly way, of which master says nothing.
		if name == "master" || name == "qmgr" || strings.Contains(mail.Log(), " pid "+strconv.Itoa(pid)+" ") {
			t.Errorf("%s, process %d, is gone", name, pid)
		}
	}
	if strings.Contains(mail.Log(), "panic") {
		t.Error("a panic is in the log")
	}
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "EHLO c.test")
	id := s.Message("sender@example.test", "you@example.test", "Subject: after\n\nx\n")
	mail.WaitLog(t, id+`: to=<you@example\.test>, relay=virtual, .*status=sent`)
}

func lookupIDs(t *testing.T, userName, groupName string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(userName)
	if err != nil {
		t.Fatal(err)
	}
	g, err := user.LookupGroup(groupName)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(g.Gid)
	return uid, gid
}

// runGarbage runs this test binary under another identity.
func runGarbage(t *testing.T, mail *testkit.Instance, dir string, uid, gid int) {
	t.Helper()
	endpoints, err := filepath.Glob(mail.Spool(dir + "/*"))
	if err != nil || len(endpoints) == 0 {
		t.Fatalf("no endpoints in %s: %v", dir, err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The binary of `go test` is in a directory of root's.
	copied := filepath.Join(mail.Dir, "garbage")
	if out, err := exec.Command("cp", exe, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(copied)
	cmd.Env = []string{garbageEnv + "=" + strings.Join(endpoints, ":")}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("garbage for %s as %d:%d: %v\n%s", dir, uid, gid, err, out)
	}
}

// pids returns the processes that stay for the whole test; workers come and
// go.
func pids(t *testing.T, mail *testkit.Instance) map[int]string {
	t.Helper()
	list := map[int]string{}
	for _, p := range processes(t, mail) {
		if p.name != "asuser" {
			list[p.pid] = p.name
		}
	}
	return list
}
