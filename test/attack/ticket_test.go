package attack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// authdPIDs returns the processes of authd that belong to an instance.
func authdPIDs(t *testing.T, mail *testkit.Instance) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err == nil && strings.HasPrefix(string(b), "authd\x00") && strings.Contains(string(b), mail.Etc("")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// ticketFor logs ann in as imapd does.
func ticketFor(t *testing.T, c *authclient.Client) string {
	t.Helper()
	p := authclient.Peer{Service: "imap", RemoteIP: "192.0.2.1", TLS: true}
	step, err := c.Plain(context.Background(), p, "ann@example.test", "secret")
	if err != nil || step.Ticket == "" {
		t.Fatalf("log in: %+v %v", step, err)
	}
	return step.Ticket
}

// TestTicketAcrossProcesses: a ticket that one process of authd gave out counts
// at the next one, after a reload and after one more, and once. When authd is
// killed, its tickets count nowhere.
func TestTicketAcrossProcesses(t *testing.T) {
	testkit.NeedRoot(t)
	mail := testkit.New(t, testkit.Users("ann"))
	mail.UserDB(t, "secret", []string{"ann"})
	mail.Start(t)
	c := authclient.New(mail.Spool(authclient.Endpoint))
	defer c.Close()
	redeem := func(ticket string) error {
		_, err := c.Redeem(context.Background(), ticket, "imap")
		return err
	}
	replace := func(how func(pid int)) {
		t.Helper()
		var old []int
		testkit.Wait(t, "authd", func() bool { old = authdPIDs(t, mail); return len(old) == 1 })
		how(old[0])
		testkit.Wait(t, "the old authd to end", func() bool { return syscall.Kill(old[0], 0) != nil })
	}
	reload := func(int) { mail.Must(t, "posthouse", "reload") }
	one, two, spent := ticketFor(t, c), ticketFor(t, c), ticketFor(t, c)
	if err := redeem(spent); err != nil {
		t.Fatalf("a new ticket: %v", err)
	}
	replace(reload)
	if err := redeem(one); err != nil {
		t.Errorf("after a reload: %v", err)
	}
	replace(reload)
	if err := redeem(two); err != nil {
		t.Errorf("after two reloads: %v", err)
	}
	for name, ticket := range map[string]string{"spent before": spent, "spent between": one, "spent after": two, "made up": strings.Repeat("ab", 32)} {
		if err := redeem(ticket); !errors.Is(err, authclient.ErrUnknown) {
			t.Errorf("a ticket that was %s: %v", name, err)
		}
	}
	lost := ticketFor(t, c)
	replace(func(pid int) { syscall.Kill(pid, syscall.SIGKILL) })
	if err := redeem(lost); !errors.Is(err, authclient.ErrUnknown) {
		t.Errorf("a ticket of a killed process: %v", err)
	}
	replace(reload)
	if err := redeem(lost); !errors.Is(err, authclient.ErrUnknown) {
		t.Errorf("a ticket of a killed process, later: %v", err)
	}
}

// TestReloadUnderGuesses: open exchanges and guesses that wait for their answer
// do not keep a reload from its new authd, and are not forgotten by it.
func TestReloadUnderGuesses(t *testing.T) {
	testkit.NeedRoot(t)
	mail := testkit.New(t, testkit.Users("ann"))
	mail.Set(t, "auth_failure_delay = 50s", "auth_failure_delay_limit = 50s")
	mail.UserDB(t, "secret", []string{"ann"})
	mail.Start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c := authclient.New(mail.Spool(authclient.Endpoint))
	defer c.Close()
	p := authclient.Peer{Service: "smtp", RemoteIP: "192.0.2.1", TLS: true}
	silent := beginLogin(t, c, p)
	defer silent.Abort()
	answered := make(chan authclient.Step, 1)
	go func() {
		step, _ := c.Plain(ctx, authclient.Peer{Service: "smtp", RemoteIP: "192.0.2.2", TLS: true}, "ann@example.test", "wrong")
		answered <- step
	}()
	mail.WaitLog(t, `login failed: rip=192\.0\.2\.2`)
	old := authdPIDs(t, mail)
	mail.Must(t, "posthouse", "reload")
	if step := <-answered; step.Outcome != authclient.Failed {
		t.Errorf("a guess: %+v", step)
	}
	testkit.Wait(t, "the old authd to end", func() bool { return syscall.Kill(old[0], 0) != nil })
	// The guess is not forgotten.
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	step, err := c.Plain(short, authclient.Peer{Service: "smtp", RemoteIP: "192.0.2.2", TLS: true}, "ann@example.test", "secret")
	if err == nil {
		t.Errorf("no delay after a reload: %+v", step)
	}
}

func beginLogin(t *testing.T, c *authclient.Client, p authclient.Peer) *authclient.Exchange {
	t.Helper()
	x, step, err := c.Begin(context.Background(), p, "LOGIN", nil)
	if err != nil || step.Outcome != authclient.Continue {
		t.Fatalf("begin: %+v %v", step, err)
	}
	return x
}

// TestReloadWithinLogin: a login with several messages that is under way when
// authd is replaced comes to its end. The old process waits for some seconds, so
// on a machine that is very busy it has more than one try.
func TestReloadWithinLogin(t *testing.T) {
	testkit.NeedRoot(t)
	mail := testkit.New(t, testkit.Users("ann"))
	mail.UserDB(t, "secret", []string{"ann"})
	mail.Start(t)
	c := authclient.New(mail.Spool(authclient.Endpoint))
	defer c.Close()
	p := authclient.Peer{Service: "smtp", RemoteIP: "192.0.2.1", TLS: true}
	for range 5 {
		x := beginLogin(t, c, p)
		old := authdPIDs(t, mail)
		mail.Must(t, "posthouse", "reload")
		step, err := x.Next(context.Background(), []byte("ann@example.test"))
		if err == nil {
			step, err = x.Next(context.Background(), []byte("secret"))
		}
		testkit.Wait(t, "the old authd to end", func() bool { return syscall.Kill(old[0], 0) != nil })
		if err == nil && step.Outcome == authclient.OK {
			return
		}
		t.Logf("once more: %+v %v", step, err)
	}
	t.Error("no login that a reload came into succeeded")
}
