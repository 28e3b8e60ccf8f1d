package authclient_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient/authtest"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

func fullUser() authclient.User {
	return authclient.User{
		Login: "ann@d.test", Aliases: []string{"ann", "a@d.test"}, UID: 1001, GID: 1002,
		Home: "/home/ann", MailDir: "/home/ann/Maildir", Name: "Ann Example", Quota: "1000S,10C",
		Disabled: []string{"pop3"}, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		SendAs: []string{"@d.test"}, Limits: authclient.Limits{MessagesHour: 10, Connections: 2},
		Held: true, Options: map[string]string{"b": "2=3", "a": "1"},
	}
}

func TestUserTravels(t *testing.T) {
	want := fullUser()
	got, err := authclient.ReadUser(want.Attributes(nil))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&want, got, cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Error(d)
	}
	for name, l := range map[string]ipc.List{
		"no ids":      ipc.List{}.Str("user_login", "x"),
		"bad id":      ipc.List{}.Str("user_login", "x").Str("user_uid", "a").Int("user_gid", 1),
		"bad network": ipc.List{}.Str("user_login", "x").Int("user_uid", 1).Int("user_gid", 1).Str("user_network", "x"),
	} {
		if u, err := authclient.ReadUser(l); err == nil {
			t.Errorf("%s: %+v", name, u)
		}
	}
}

// TestExchange runs each kind of request against the fake.
func TestExchange(t *testing.T) {
	s := authtest.New(t, authtest.Account{User: fullUser(), Password: "secret"})
	c, ctx := s.Client(), context.Background()
	defer c.Close()
	peer := authclient.Peer{Service: "imap", RemoteIP: "192.0.2.7", TLS: true, TLSExporter: []byte{1, 0, 2}}
	step, err := c.Plain(ctx, peer, "ann", "secret")
	if err != nil || step.Outcome != authclient.OK || step.User.Login != "ann@d.test" || step.Ticket == "" {
		t.Fatalf("%+v %v", step, err)
	}
	if u, err := c.Redeem(ctx, step.Ticket, "imap"); err != nil || u.UID != 1001 {
		t.Errorf("redeem: %+v %v", u, err)
	}
	if _, err := c.Redeem(ctx, step.Ticket, "imap"); !errors.Is(err, authclient.ErrUnknown) {
		t.Errorf("second redeem: %v", err)
	}
	for _, tc := range []struct {
		service, password string
		want              authclient.Outcome
	}{{"imap", "wrong", authclient.Failed}, {"pop3", "secret", authclient.Disabled}} {
		peer.Service = tc.service
		if step, err := c.Plain(ctx, peer, "ann", tc.password); err != nil || step.Outcome != tc.want || step.User != nil {
			t.Errorf("%s %s: %+v %v", tc.service, tc.password, step, err)
		}
	}
	x, step, err := c.Begin(ctx, peer, "LOGIN", nil)
	if err != nil || step.Outcome != authclient.Continue || string(step.Challenge) != "Username:" {
		t.Fatalf("%+v %v", step, err)
	}
	x.Next(ctx, []byte("ann"))
	if step, err = x.Next(ctx, []byte("secret")); err != nil || step.Outcome != authclient.Disabled {
		t.Errorf("%+v %v", step, err)
	}
	if _, err := x.Next(ctx, nil); err == nil {
		t.Error("an exchange goes on after its end")
	}
	if got := s.Peers()[0]; string(got.TLSExporter) != "\x01\x00\x02" || !got.TLS {
		t.Errorf("peer %+v", got)
	}
}

// TestDown: whatever is wrong with authd, the answer is temporary.
func TestDown(t *testing.T) {
	s := authtest.New(t, authtest.Account{User: fullUser(), Password: "secret"})
	ctx := context.Background()
	s.Down(true)
	for name, c := range map[string]*authclient.Client{"says so": s.Client(), "is not there": authclient.New(s.Path + "x")} {
		step, err := c.Plain(ctx, authclient.Peer{Service: "imap"}, "ann", "secret")
		if step.Outcome != authclient.Temporary || (err != nil) != (name == "is not there") {
			t.Errorf("%s: %+v %v", name, step, err)
		}
		if _, err := c.Lookup(ctx, "ann", ""); !errors.Is(err, authclient.ErrTemporary) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Recipient(ctx, "ann@d.test"); !errors.Is(err, authclient.ErrTemporary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecipient(t *testing.T) {
	s := authtest.New(t, authtest.Account{User: fullUser(), OverQuota: true})
	s.Alias("all@d.test", "ann@d.test", "b@e.test")
	c, ctx := s.Client(), context.Background()
	r, err := c.Recipient(ctx, "ann@d.test")
	if err != nil || r.User.Login != "ann@d.test" || !r.OverQuota {
		t.Errorf("%+v %v", r, err)
	}
	if r, err = c.Recipient(ctx, "all@d.test"); err != nil || len(r.Targets) != 2 {
		t.Errorf("%+v %v", r, err)
	}
	if _, err = c.Recipient(ctx, "none@d.test"); !errors.Is(err, authclient.ErrUnknown) {
		t.Error(err)
	}
}

func FuzzReadUser(f *testing.F) {
	f.Add("user_login", "a", "user_uid", "1", "user_gid", "1")
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g string) {
		l := ipc.List{{Name: a, Value: b}, {Name: c, Value: d}, {Name: e, Value: g}}
		u, err := authclient.ReadUser(l)
		if err != nil || u == nil {
			return
		}
		again, err := authclient.ReadUser(u.Attributes(nil))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(u, again, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
	})
}
