package bench

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/dkim"
	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// way is one way by which messages come in.
type way struct {
	name   string
	dial   func() (*client, error)
	domain string // of the sender
	front  string // the daemon that takes them
}

// cost is what the messages of one measurement took.
type cost struct {
	rate  float64
	all   float64            // processor time of all processes, in ms per message
	parts map[string]float64 // of each daemon
}

// TestSubmission measures how many messages a second come in at port 25 and by
// submission, without and with signatures, what each costs, and how many
// signatures opendkim makes. The ways take turns, and each of them is the first
// one in some round.
func TestSubmission(t *testing.T) {
	if !*full {
		t.Skip("SKIPPED: measures only with -args -full, as `make bench` does")
	}
	if !slices.Contains(strings.Split(*scenarios, ","), "submission") {
		t.Skip("not among -scenarios")
	}
	onServersDisk(t)
	p := posthouse{submissionInstance(t)}
	p.Start(t)
	ways := submissionWays(p)
	wanted := regexp.MustCompile(*mailWays)
	ways = slices.DeleteFunc(ways, func(w way) bool { return !wanted.MatchString(w.name) })
	got := make([][]cost, len(ways))
	for _, w := range ways {
		incoming(t, w, connect(t, w), 200)
	}
	for r := range *rounds {
		for i := range ways {
			n := (i + r) % len(ways)
			drained(t, p)
			got[n] = append(got[n], taken(t, p, ways[n]))
		}
	}
	rows := [][]string{{"", "msg/s", "CPU ms", "of it front", "cleanup", "qmgr", "anvil", "authd", "tlsmgr"}}
	for i, w := range ways {
		rows = append(rows, costRow(w, got[i]))
	}
	table(fmt.Sprintf("by SMTP, 4 KiB messages over 10 kept connections; medians of %d rounds of %d", *rounds, *messages), rows)
	if wanted.MatchString("opendkim") {
		signatures(t)
	}
}

// costRow is the line of a way in the table.
func costRow(w way, all []cost) []string {
	mid := func(of func(cost) float64) float64 {
		var list []float64
		for _, c := range all {
			list = append(list, of(c))
		}
		return median(list)
	}
	row := []string{w.name, fmt.Sprintf("%.0f", mid(func(c cost) float64 { return c.rate })),
		fmt.Sprintf("%.3f", mid(func(c cost) float64 { return c.all }))}
	for _, part := range []string{w.front, "cleanup", "qmgr", "anvil", "authd", "tlsmgr"} {
		row = append(row, fmt.Sprintf("%.3f", mid(func(c cost) float64 { return c.parts[part] })))
	}
	return row
}

// taken measures one way, once its connections are there.
func taken(t testing.TB, p posthouse, w way) cost {
	clients := connect(t, w)
	before := parts(p.pid())
	rate := incoming(t, w, clients, *messages)
	drained(t, p)
	c := cost{rate: rate, parts: map[string]float64{}}
	for name, after := range parts(p.pid()) {
		c.parts[name] = (after - before[name]) * 1000 / float64(*messages)
		c.all += c.parts[name]
	}
	return c
}

// connect opens the connections of one measurement.
func connect(t testing.TB, w way) (clients []*client) {
	t.Helper()
	for range width {
		c, err := w.dial()
		if err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		clients = append(clients, c)
	}
	return clients
}

// signatures measures what the signatures cost by themselves, and what they
// cost with opendkim.
func signatures(t *testing.T) {
	for _, a := range []string{dkim.RSA, dkim.Ed25519} {
		key, err := dkim.Generate(a)
		if err != nil {
			t.Fatal(err)
		}
		n, start := 0, time.Now()
		for ; time.Since(start) < time.Second; n++ {
			if _, err := dkim.SignDigest(key, make([]byte, 32)); err != nil {
				t.Fatal(err)
			}
		}
		took := time.Since(start)
		fmt.Printf("  %s: %.0f signatures/s on one processor, %.3f ms\n", a, float64(n)/took.Seconds(), float64(took.Microseconds())/1000/float64(n))
	}
	fmt.Printf("  opendkim by milter, RSA-2048: %.0f messages/s\n", opendkimRate(t, width, *messages))
}

// width is how many connections there are.
const width = 10

// submissionWays are the ways to be compared.
func submissionWays(p posthouse) []way {
	port := fmt.Sprintf("127.0.0.1:%d", p.Port+1)
	ways := []way{
		{"port 25", func() (*client, error) { return dial(p.Addr()) }, "client.test", "smtpd"},
		{"port 25 with TLS", func() (*client, error) { return dialTLS(p.Addr(), "") }, "client.test", "smtpd"},
	}
	for _, v := range []struct{ name, domain string }{{"submission", "client.test"}, {"submission with limits", "limits.test"},
		{"submission, Ed25519", "ed25519.test"}, {"submission, RSA-2048", "rsa.test"}, {"submission, both", "both.test"}} {
		ways = append(ways, way{v.name, func() (*client, error) { return dialTLS(port, "sender@"+v.domain) }, v.domain, "submission"})
	}
	return ways
}

// submissionInstance throws mail for sink.test away and has a user for each of
// the ways.
func submissionInstance(t *testing.T) *testkit.Instance {
	i := testkit.New(t)
	i.Set(t, limits, "transport_maps = inline:{sink.test=discard:}", "submission_messages_per_hour = 0", "submission_messages_per_day = 0",
		"submission_recipients_per_hour = 0", "submission_recipients_per_day = 0", "submission_connection_limit = 0")
	hash, err := password.Hash("SSHA256", "secret")
	if err != nil {
		t.Fatal(err)
	}
	var users strings.Builder
	for _, domain := range []string{"client", "limits", "ed25519", "rsa", "both"} {
		fmt.Fprintf(&users, "sender@%s.test\tuid=65534|gid=65534|home=/nonexistent|systempw=%s", domain, hash)
		if domain == "limits" {
			users.WriteString("|limits=messages_hour=1000000,messages_day=1000000,recipients_hour=1000000,recipients_day=1000000")
		}
		users.WriteString("\n")
	}
	i.WriteUserDB(t, users.String())
	for _, algorithm := range []string{"ed25519", "rsa", "both"} {
		i.Must(t, "posthouse", "dkim", "create", algorithm+".test", "--selector", "x", "--algorithm", algorithm)
	}
	return i
}

// dialTLS connects, starts TLS and, with a login, logs in.
func dialTLS(addr, login string) (*client, error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	if err := c.cmd(220, "STARTTLS"); err != nil {
		return nil, err
	}
	tc := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		return nil, err
	}
	c = &client{tc, textproto.NewConn(tc)}
	if err := c.cmd(250, "EHLO client.test"); err != nil || login == "" {
		return c, err
	}
	return c, c.cmd(235, "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+login+"\x00secret")))
}

// incoming sends n messages over connections, closes these, and returns the
// rate.
func incoming(t testing.TB, w way, clients []*client, n int) float64 {
	t.Helper()
	var wg sync.WaitGroup
	var sent atomic.Int64
	errs := make(chan error, width)
	sender := "sender@" + w.domain
	text := strings.Replace(strings.Replace(body(), "sender@client.test", sender, 1), "Subject:", "To: x@sink.test\r\nDate: Sat, 28 Nov 2026 12:00:00 +0000\r\nMessage-ID: <x@client.test>\r\nMIME-Version: 1.0\r\nSubject:", 1)
	start := time.Now()
	for _, c := range clients {
		wg.Go(func() {
			defer c.Close()
			for sent.Add(1) <= int64(n) {
				if _, err := c.message(sender, "x@sink.test", text); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	return float64(n) / took.Seconds()
}
