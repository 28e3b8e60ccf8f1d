package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/session"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// hander is a site with one user, and a client's connection.
type hander struct {
	*rig
	conn *net.UnixConn
	peer authclient.Peer
}

func newHander(t *testing.T) *hander {
	t.Helper()
	r := startRig(t, nil, line(t, "ann@d.test", "PLAIN", "secret", ""))
	conn, other := testkit.SocketPair(t)
	other.Close()
	return &hander{r, conn, authclient.Peer{Service: "imap", RemoteIP: "127.0.0.1", LocalIP: "127.0.0.1", SessionID: "x"}}
}

// login logs ann in, with the connection.
func (h *hander) login(secret string) (authclient.Step, error) {
	start := &session.Start{Tag: "a1", Pending: []byte("a2 NOOP\r\n")}
	return h.PlainWith(context.Background(), h.peer, "ann@d.test", secret, start.OfConnection(), h.conn)
}

// sessiond takes sessions as sessiond does, until the test ends or answer returns
// nil.
func (h *hander) sessiond(answer func(s *session.Start) ipc.List) (ended chan struct{}) {
	h.t.Helper()
	in, err := h.Sessions(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { in.Close() })
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		defer in.Close()
		for {
			s, client, err := session.ReceiveFromAuthd(in)
			if err != nil {
				return
			}
			client.Close()
			reply := answer(s)
			if reply == nil {
				return
			}
			in.Send(reply)
		}
	}()
	return ended
}

// want logs in until the outcome is what it shall be: authd may not know of a new
// sessiond yet.
func (h *hander) want(what string, ok func(authclient.Step) bool) authclient.Step {
	h.t.Helper()
	var step authclient.Step
	testkit.Wait(h.t, what, func() bool {
		var err error
		step, err = h.login("secret")
		return ok(step) && (err == nil || step.Handed == authclient.Lost)
	})
	if step.Outcome != authclient.OK {
		h.t.Errorf("%s: %+v", what, step)
	}
	return step
}

func TestHandOver(t *testing.T) {
	h := newHander(t)
	if step, err := h.login("secret"); err != nil || step.Outcome != authclient.OK || step.Handed != authclient.Kept || step.Ticket == "" {
		t.Errorf("without sessiond: %+v, %v", step, err)
	}
	got := make(chan *session.Start, 100)
	h.sessiond(func(s *session.Start) ipc.List { got <- s; return session.Accepted() })
	step := h.want("a session", func(s authclient.Step) bool { return s.Handed == authclient.Given })
	if step.Ticket != "" || session.Verdict(step) != nil {
		t.Errorf("given away: %+v", step)
	}
	s := <-got
	if s.User == nil || s.User.Login != "ann@d.test" || s.Tag != "a1" || string(s.Pending) != "a2 NOOP\r\n" || s.Service != "imap" ||
		s.SessionID != "x" || s.RemoteIP != "127.0.0.1" || s.TLS || s.Proxied {
		t.Errorf("sessiond got %+v", s)
	}
	step, err := h.login("wrong")
	if err != nil || step.Outcome != authclient.Failed || step.Handed != authclient.Kept || len(got) > 0 {
		t.Errorf("a wrong password: %+v, %v; %d sessions", step, err, len(got))
	}
}

func TestHandOverRefused(t *testing.T) {
	h := newHander(t)
	h.sessiond(func(*session.Start) ipc.List {
		return session.Refused(&session.Refusal{Code: "LIMIT", Text: "too many"})
	})
	step := h.want("a refusal", func(s authclient.Step) bool { return s.Handed != authclient.Kept })
	refusal, ok := session.Verdict(step).(*session.Refusal)
	if !ok || refusal.Code != "LIMIT" || refusal.Text != "too many" || step.Ticket != "" {
		t.Errorf("got %+v", step)
	}
}

// TestHandOverLost: a sessiond that is gone with the connection has it for good;
// one that left before does not.
func TestHandOverLost(t *testing.T) {
	h := newHander(t)
	ended := h.sessiond(func(*session.Start) ipc.List { return nil })
	step := h.want("a loss", func(s authclient.Step) bool { return s.Handed != authclient.Kept })
	if step.Handed != authclient.Lost || session.Verdict(step) != session.ErrLost {
		t.Errorf("got %+v", step)
	}
	<-ended
	for range 3 {
		in, err := h.Sessions(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		in.Conn.Conn.(interface{ CloseRead() error }).CloseRead()
		if step, err := h.login("secret"); err != nil || step.Handed != authclient.Kept || step.Ticket == "" {
			t.Errorf("of one that left: %+v, %v", step, err)
		}
		in.Close()
	}
}

// TestHandOverLies: who the user is does not come from who brings the connection.
func TestHandOverLies(t *testing.T) {
	h := newHander(t)
	h.sessiond(func(s *session.Start) ipc.List {
		if s.User.Login != "ann@d.test" || s.User.UID == 5 {
			t.Errorf("sessiond got %+v", s.User)
		}
		return session.Accepted()
	})
	h.want("a session", func(s authclient.Step) bool { return s.Handed == authclient.Given })
	ask := func(l ipc.List) (ipc.List, error) {
		conn, err := ipc.Dial(context.Background(), h.path, authclient.Timeout)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.WriteFileList(h.conn, l); err != nil {
			t.Fatal(err)
		}
		return conn.Receive()
	}
	good := ipc.List{}.Str("request", "plain").Str("login", "ann@d.test").Str("password", "c2VjcmV0").Bool("hand", true).
		Str("rip", "127.0.0.1").Str("lip", "127.0.0.1").Int("rport", 1).Int("lport", 2).Bool("tls", false).Bool("proxied", false).
		Str("tag", "a").Str("pending", "")
	imap := slices.Concat(good, ipc.List{}.Str("service", "imap"))
	for name, l := range map[string]ipc.List{
		"a user":          slices.Concat(good, ipc.List{}.Str("service", "imap").Str("user_login", "bob@d.test").Int("user_uid", 5).Int("user_gid", 5)),
		"another service": slices.Concat(good, ipc.List{}.Str("service", "smtp")),
		"a line end":      slices.Concat(ipc.List{}.Str("tag", "a\r\n* OK"), imap),
	} {
		if reply, err := ask(l); err != io.EOF {
			t.Errorf("%s: %v, %v", name, reply, err)
		}
	}
	if reply, err := ask(imap); err != nil || reply.Value("outcome") != "ok" {
		t.Errorf("the same without a lie: %v, %v", reply, err)
	}
}

// TestHandOverForWhom: only login servers bring connections, and only root is told
// of sessions.
func TestHandOverForWhom(t *testing.T) {
	h := newHander(t)
	strict, err := newServer(h.server.params, h.server.log, nil)
	if err != nil {
		t.Fatal(err)
	}
	strict.logins = func(int) bool { return false }
	strict.sources = h.server.sources
	c := authclient.New(testkit.ServeSessions(t, strict.session))
	defer c.Close()
	step, err := c.PlainWith(context.Background(), h.peer, "ann@d.test", "secret", (&session.Start{}).OfConnection(), h.conn)
	if err == nil || step.Outcome == authclient.OK && step.Handed != authclient.Lost || step.Ticket != "" {
		t.Errorf("of no login server: %+v, %v", step, err)
	}
	in, err := c.Sessions(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	in.SetDeadline(time.Now().Add(30 * time.Second))
	if _, _, err := session.ReceiveFromAuthd(in); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("sessions for anybody: %v", err)
	}
}
