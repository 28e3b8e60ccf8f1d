package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/session"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestCheck: users whom no worker may serve, whatever authd says of them.
func TestCheck(t *testing.T) {
	p := &parent{params: params{MinimumUID: 100}}
	for _, test := range []struct {
		name string
		user authclient.User
		want string // of the error; empty: accepted
		mail string // the mail directory of one that is accepted
	}{
		{"home alone", authclient.User{UID: 100, GID: 100, Home: "/home/you"}, "", "/home/you/Maildir"},
		{"mail directory alone", authclient.User{UID: 100, GID: 1, MailDir: "/var/mail/you"}, "", "/var/mail/you"},
		{"both", authclient.User{UID: 500, GID: 500, Home: "/home/you", MailDir: "/mail/you"}, "", "/mail/you"},
		{"root", authclient.User{UID: 0, GID: 100, Home: "/root"}, "too low", ""},
		{"group root", authclient.User{UID: 100, GID: 0, Home: "/home/you"}, "too low", ""},
		{"no uid", authclient.User{UID: -1, GID: -1, Home: "/home/you"}, "too low", ""},
		{"below the lowest", authclient.User{UID: 99, GID: 100, Home: "/home/you"}, "too low", ""},
		{"nowhere", authclient.User{UID: 100, GID: 100}, "neither a home nor", ""},
		{"the whole disk", authclient.User{UID: 100, GID: 100, Home: "/", MailDir: "/home/you"}, "no proper path", ""},
		{"out of it", authclient.User{UID: 100, GID: 100, Home: "/home/you", MailDir: "/home/you/../other"}, "no proper path", ""},
		{"relative", authclient.User{UID: 100, GID: 100, Home: "/home/you", MailDir: "Maildir"}, "no proper path", ""},
		{"a line end", authclient.User{UID: 100, GID: 100, Home: "/home/you\n"}, "neither a home nor", ""},
	} {
		err := p.check(&test.user)
		if test.want == "" && (err != nil || test.user.MailDir != test.mail) {
			t.Errorf("%s: %v, mail directory %s", test.name, err, test.user.MailDir)
		} else if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

// TestIdentity: users that share a uid share a worker below
// virtual_mailbox_base, unless session_scope says otherwise. Shared folders are
// in reach of each.
func TestIdentity(t *testing.T) {
	p := &parent{params: params{Scope: "uid", VirtualBase: "/var/vmail"},
		settings: map[string]string{"mail_shared_folders": "all=/srv/shared bad=relative worse=/ /none"}}
	ann := &authclient.User{UID: 100, GID: 100, Home: "/var/vmail/ann", MailDir: "/var/vmail/ann/Maildir"}
	bob := &authclient.User{UID: 100, GID: 100, Home: "/var/vmail/bob", MailDir: "/var/vmail/bob/Maildir"}
	if a, b := p.identity(ann), p.identity(bob); !reflect.DeepEqual(a, b) || !reflect.DeepEqual(a.Dirs, []string{"/var/vmail", "/srv/shared"}) {
		t.Errorf("session_scope = uid: %v and %v", a, b)
	}
	p.Scope = "user"
	a, b := p.identity(ann), p.identity(bob)
	if reflect.DeepEqual(a, b) || strings.Contains(strings.Join(a.Dirs, " ")+" ", "/var/vmail ") || a.UID != 100 || a.GID != 100 {
		t.Errorf("session_scope = user: %v and %v", a, b)
	}
}

// TestCounts: what ended makes room, and what was refused takes none.
func TestCounts(t *testing.T) {
	c := newCounts()
	for n, want := range []bool{true, true, false, false} {
		if got := c.add("imap you", 2); got != want {
			t.Errorf("session %d: %v", n+1, got)
		}
	}
	if !c.add("pop3 you", 2) || !c.add("imap you", 0) {
		t.Error("another key, or no limit, was refused")
	}
	for range 3 {
		c.remove("imap you")
	}
	c.remove("pop3 you")
	if len(c.n) != 0 {
		t.Errorf("left over: %v", c.n)
	}
}

// TestAnswer: the first word counts; the login server gets one reply.
func TestAnswer(t *testing.T) {
	a := &answer{reply: make(chan ipc.List, 1)}
	a.give(session.Accepted())
	a.give(session.Refused(session.Unavailable()))
	if l := <-a.reply; l.Value("status") != "ok" {
		t.Errorf("reply %v", l)
	}
}

// TestSettings: a session gets each parameter by its name, in the form that
// travels.
func TestSettings(t *testing.T) {
	cfg, err := config.Load(configDir(t, "imap_timeout = 30m\npop3_lock_session = yes\nquota_rules = Trash:ignore, Junk:ignore\nmyhostname = mail.example.test\n"))
	if err != nil {
		t.Fatal(err)
	}
	set, err := sessionSettings(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"imap_timeout": "1800", "pop3_lock_session": "1", "quota_rules": "Trash:ignore Junk:ignore",
		"myhostname": "mail.example.test", "pop3_no_flag_updates": "0"} {
		if set[name] != want {
			t.Errorf("%s = %q, want %q", name, set[name], want)
		}
	}
}

// configDir makes a configuration.
func configDir(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/main.cf", []byte("compatibility_level = 3.6\n"+text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// pair returns two connected Unix sockets with a generous deadline.
func pair(t *testing.T) [2]*net.UnixConn {
	t.Helper()
	a, b := testkit.SocketPair(t)
	a.SetDeadline(time.Now().Add(time.Minute))
	b.SetDeadline(time.Now().Add(time.Minute))
	return [2]*net.UnixConn{a, b}
}

// start is a session as a login server sends it.
func start(service, ip string) *session.Start {
	return &session.Start{Service: service, RemoteIP: ip, LocalIP: "192.0.2.2", RemotePort: 1234, LocalPort: 143, Proxied: true, Tag: "a1", SessionID: "abc"}
}

// TestFromAuthd: authd is believed about who the user is, but a session that is
// nobody's, comes without a connection or is of a user whom no worker may serve
// is not taken, and its descriptor is closed.
func TestFromAuthd(t *testing.T) {
	p := &parent{params: params{MinimumUID: 100}, counts: newCounts()}
	low := start("imap", "192.0.2.1")
	low.User = &authclient.User{Login: "you", UID: 5, GID: 5, Home: "/home/you"}
	fine := start("imap", "192.0.2.1")
	fine.User = &authclient.User{Login: "you", UID: 100, GID: 100, Home: "/home/you"}
	for _, test := range []struct {
		name    string
		start   *session.Start
		file    bool
		refused bool // and the connection goes on
	}{
		{"no user", start("imap", "192.0.2.1"), true, false},
		{"no descriptor", fine, false, false},
		{"low uid", low, true, true},
		{"no process to run it in", fine, true, true}, // there is no service around the test
	} {
		ends, client := pair(t), pair(t)
		in, err := ipc.NewFileConn(ends[1], 1)
		if err != nil {
			t.Fatal(err)
		}
		from := ipc.NewConn(ends[0])
		if test.file {
			err = from.WriteFileList(client[1], test.start.Attributes(nil))
		} else {
			err = from.Send(test.start.Attributes(nil))
		}
		if err != nil {
			t.Fatal(err)
		}
		client[1].Close()
		err = p.takeFromAuthd(context.Background(), in)
		if test.refused {
			reply, rerr := from.Receive()
			if err != nil || rerr != nil || reply.Value("status") != "refused" || reply.Value("code") != "UNAVAILABLE" {
				t.Errorf("%s: %v; reply %v %v", test.name, err, reply, rerr)
			}
		} else if !errors.Is(err, ipc.ErrMalformed) {
			t.Errorf("%s: %v", test.name, err)
		}
		// Whoever kept the descriptor would keep the client waiting.
		if _, err := client[0].Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: the client's connection: %v", test.name, err)
		}
	}
}
