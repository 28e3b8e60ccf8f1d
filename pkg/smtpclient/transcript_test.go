package smtpclient

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/sasl"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// TestTranscript: the log of a session has what was said, but nothing of the
// login and the message.
func TestTranscript(t *testing.T) {
	conn, _ := script(t, `
		S: 220 x ESMTP
		C: EHLO me.test
		S: 250-x
		S: 250 AUTH LOGIN
		C: AUTH LOGIN
		S: 334 VXNlcm5hbWU6
		C: dXNlcg==
		S: 334 UGFzc3dvcmQ6
		C: c2VjcmV0
		S: 235 2.7.0 ok
		C: MAIL FROM:<s@a.test>
		S: 250 ok
		C: RCPT TO:<r@b.test>
		S: 501 what
		X`)
	o := testOptions()
	o.Notices = transcript.New(transcript.Params{Classes: []string{"protocol"}}, transcript.Client,
		inject.NewClient(ipc.NewPool("nowhere/cleanup", time.Second)), maillog.Discard())
	c := NewConn(conn, Peer{Host: "x", Addr: "192.0.2.1", Port: 25}, o)
	ctx := context.Background()
	if err := c.Greet(ctx); err != nil {
		t.Fatal(err)
	}
	login, err := sasl.NewClient(c.Caps.Auth, sasl.ClientOptions{Login: "user", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(ctx, login); err != nil {
		t.Fatal(err)
	}
	c.Send(ctx, message("r@b.test"))
	want := strings.TrimLeft(`
In:  220 x ESMTP
Out: EHLO me.test
In:  250-x
In:  250 AUTH LOGIN
Out: AUTH LOGIN
In:  334 (not shown)
Out: (not shown)
In:  334 (not shown)
Out: (not shown)
In:  235 2.7.0 ok
Out: MAIL FROM:<s@a.test>
In:  250 ok
Out: RCPT TO:<r@b.test>
In:  501 what
`, "\n")
	if got := c.log.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if !o.Notices.Wanted(c.log) {
		t.Error("an error of the protocol is not told of")
	}
	c.Close()
	o.Notices.Wait()
}
