package attack

import (
	"context"
	"fmt"
	"os/user"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
	"github.com/posthouse-mail/posthouse/pkg/tlskeys"
)

// TestSignatureForSMTPD: who has taken over smtpd gets no message signed and
// cannot use up what a user may send, though tlsmgr signs its handshakes;
// submission has a user of its own for that. Who has taken over submission
// reaches no process that works on the queue.
func TestSignatureForSMTPD(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.NeedTool(t, "setpriv")
	mail := testkit.New(t, testkit.Users("you"))
	mail.Must(t, "posthouse", "dkim", "create", "example.test", "--selector", "one")
	mail.Start(t)
	// The daemons of the table start with a message.
	testkit.Dial(t, mail.Addr()).Cmd("250", "EHLO c.test")
	group := groupOf(t, "posthouse")
	smtpd := []string{"--reuid", "posthouse", "--regid", "65534", "--groups", group}
	submission := []string{"--reuid", "posthouse-submit", "--regid", "65534", "--groups", group}
	for _, tt := range []struct {
		as            []string
		request, want string
	}{
		{smtpd, "chains", "yes"},
		{smtpd, "keys", "no"},
		{smtpd, "sign", "no"},
		{smtpd, "spend", "no"},
		{smtpd, "unspend", "no"},
		{submission, "chains", "yes"},
		{submission, "keys", "yes"},
		{submission, "sign", "yes"},
		{submission, "spend", "yes"},
		{submission, "unspend", "yes"},
	} {
		role(t, mail, "signer", tt.as, mail.Spool("private"), tt.request, tt.want)
	}
	for _, service := range []string{"bounce", "defer", "local", "virtual", "smtp", "deposit", "sessiond", "discard"} {
		role(t, mail, "ask", submission, mail.Spool("private/"+service))
	}
}

func groupOf(t *testing.T, name string) string {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return u.Gid
}

// askSigner succeeds if a request to tlsmgr or anvil has the outcome that is
// wanted.
func askSigner(dir, request, want string) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pool := ipc.NewPool(dir+"/tlsmgr", tlskeys.Timeout)
	var err error
	switch request {
	case "chains":
		_, err = tlskeys.NewClient(pool, "smtpd:smtp").Config(ctx, 0, 0)
	case "keys":
		_, err = tlskeys.NewDKIM(pool).Keys(ctx, "example.test")
	case "sign":
		var reply ipc.List
		reply, err = pool.Call(ctx, ipc.List{}.Str("request", "dkim_sign").Str("key", "example.test/oner").
			Str("digest", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
		if err == nil && reply.Value("status") != "0" {
			err = fmt.Errorf("refused: %s", reply.Value("reason"))
		}
	case "unspend":
		err = anvilclient.New(ipc.NewPool(dir+"/anvil", time.Minute)).Unspend(ctx, "you@example.test", anvilclient.Ahead{Messages: 1})
	case "spend":
		anvil := anvilclient.New(ipc.NewPool(dir+"/anvil", time.Minute))
		_, err = anvil.Spend(ctx, "you@example.test", 1, 0, 0, anvilclient.Limits{MessagesHour: 1000000})
	}
	if got := map[bool]string{true: "yes", false: "no"}[err == nil]; got != want {
		fmt.Printf("%s: %s (%v), want %s\n", request, got, err, want)
		return 1
	}
	return 0
}
