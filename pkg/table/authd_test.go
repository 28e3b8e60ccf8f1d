package table_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient/authtest"
	"github.com/posthouse-mail/posthouse/pkg/table"
)

func authdTables(t *testing.T, o table.Options) func(use string) table.Table {
	return func(use string) table.Table {
		t.Helper()
		m, err := table.Open("authd:"+use, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m
	}
}

func TestAuthd(t *testing.T) {
	s := authtest.New(t, authtest.Account{User: authclient.User{Login: "you@example.com", Aliases: []string{"me@example.com", "any@example.com", "any+x@example.com", "@example.com"},
		UID: 1000, GID: 1001, Home: "/home/you", MailDir: "/home/you/Maildir", Quota: "100S"}, OverQuota: true},
		authtest.Account{User: authclient.User{Login: "bare", UID: 0, GID: -1, MailDir: ""}})
	s.Alias("list@example.com", "a@example.net", "b@example.net")
	open := authdTables(t, table.Options{Authd: s.Path})
	for _, tt := range []struct{ use, key, want string }{
		{"mailbox", "you@example.com", "/home/you/Maildir/"},
		{"mailbox", "me@example.com", "/home/you/Maildir/"},
		{"mailbox", "nobody@example.net", ""},
		{"mailbox", "@example.com", ""},
		{"mailbox", "list@example.com", ""},
		{"mailbox", "bare", ""},
		{"uid", "you@example.com", "1000"},
		{"uid", "bare", ""}, // never root
		{"gid", "you@example.com", "1001"},
		{"gid", "bare", ""},
		{"home", "me@example.com", "/home/you"},
		{"quota", "you@example.com", "100S"},
		{"quota", "bare", ""},
		{"full", "you@example.com", "yes"},
		{"full", "bare", "no"},
		{"full", "list@example.com", ""},
		{"full", "nobody@example.com", ""},
		{"recipient", "me@example.com", "you@example.com"},
		{"recipient", "bare", "bare"},
		{"recipient", "list@example.com", "a@example.net, b@example.net"},
		{"login", "me@example.com", "you@example.com"},
		{"login", "list@example.com", ""},
		{"alias", "you@example.com", ""},
		{"alias", "me@example.com", "you@example.com"},
		{"alias", "any+x@example.com", "you@example.com"}, // an alias as it is
		{"alias", "list@example.com", "a@example.net, b@example.net"},
		{"alias", "bare", ""},
	} {
		got, found, err := open(tt.use).Lookup(context.Background(), tt.key)
		if got != tt.want || found != (tt.want != "") || err != nil {
			t.Errorf("authd:%s of %s: %q, %v, %v, want %q", tt.use, tt.key, got, found, err, tt.want)
		}
	}
	s.Down(true)
	if v, found, err := open("mailbox").Lookup(context.Background(), "you@example.com"); err == nil {
		t.Errorf("authd is down: %q, %v", v, found)
	}
	for _, use := range []string{"", "password", "mailbox:x"} {
		if _, err := table.Open("authd:"+use, table.Options{}); err == nil {
			t.Errorf("authd:%s is opened", use)
		}
	}
}

// A user id from a socket that another user made is no user id.
func TestAuthdOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root, to be two users")
	}
	s := authtest.New(t, authtest.Account{User: authclient.User{Login: "you", UID: 1000, GID: 1000, MailDir: "/x"}})
	open := authdTables(t, table.Options{Authd: s.Path, Sensitive: true})
	if v, found, err := open("uid").Lookup(context.Background(), "you"); v != "1000" || !found || err != nil {
		t.Errorf("a socket of ours: %q, %v, %v", v, found, err)
	}
	path := foreignSocket(t)
	open = authdTables(t, table.Options{Authd: path, Sensitive: true})
	if _, _, err := open("uid").Lookup(context.Background(), "you"); err == nil || !strings.Contains(err.Error(), "made by uid 65534") {
		t.Errorf("a socket of somebody else: %v", err)
	}
}

// foreignSocket has another user listen on a socket.
func foreignSocket(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("/usr/bin/python3")
	if err != nil {
		t.Skip("SKIPPED: no python3")
	}
	dir, err := os.MkdirTemp("", "foreign")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	path := dir + "/authd"
	cmd := exec.Command(python, "-c", "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen(5)\nprint('up',flush=True)\nwhile True: s.accept()[0].recv(1000)", path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("SKIPPED: python3 does not run as another user: %v", err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Skipf("SKIPPED: python3 does not run as another user: %v", err)
	}
	return path
}
