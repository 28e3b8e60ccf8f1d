package bench

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/dkim"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestSubmission measures how many messages a second come in at port 25 and by
// submission, without and with signatures, and how many signatures opendkim
// makes.
func TestSubmission(t *testing.T) {
	if !*full {
		t.Skip("SKIPPED: measures only with -args -full, as `make bench` does")
	}
	if !slices.Contains(strings.Split(*scenarios, ","), "submission") {
		t.Skip("not among -scenarios")
	}
	i := submissionInstance(t)
	i.Start(t)
	const width = 10
	measure := func(name string, dial func() (*client, error)) {
		incoming(t, dial, width, 200)
		var rates []float64
		for range *rounds {
			rates = append(rates, incoming(t, dial, width, *messages))
			testkit.Wait(t, "empty queue", func() bool { return len(i.Queue(t, "incoming", "active")) < 10 })
		}
		t.Logf("%-40s %6.0f messages/s", name, median(rates))
	}
	submission := func() (*client, error) { return dialTLS(fmt.Sprintf("127.0.0.1:%d", i.Port+1), true) }
	measure("port 25", func() (*client, error) { return dial(i.Addr()) })
	measure("port 25 with TLS", func() (*client, error) { return dialTLS(i.Addr(), false) })
	measure("submission", submission)
	for _, k := range []struct{ name, algorithm string }{{"submission, Ed25519", "ed25519"}, {"submission, RSA-2048", "rsa"}, {"submission, both", "both"}} {
		os.RemoveAll(i.Etc("dkim"))
		i.Must(t, "posthouse", "dkim", "create", "client.test", "--selector", "x", "--algorithm", k.algorithm)
		i.Stop(t)
		i.Start(t)
		measure(k.name, submission)
	}
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
		t.Logf("%-40s %6.0f signatures/s on one processor", a, float64(n)/time.Since(start).Seconds())
	}
	t.Logf("%-40s %6.0f messages/s", "opendkim by milter, RSA-2048", opendkimRate(t, width, *messages))
}

// submissionInstance throws mail for sink.test away and has one user.
func submissionInstance(t *testing.T) *testkit.Instance {
	i := testkit.New(t)
	i.Set(t, limits, "transport_maps = inline:{sink.test=discard:}", "submission_messages_per_hour = 0", "submission_messages_per_day = 0",
		"submission_recipients_per_hour = 0", "submission_recipients_per_day = 0", "submission_connection_limit = 0")
	i.Must(t, "userdb", "sender@client.test", "set", "uid=65534", "gid=65534", "home=/nonexistent")
	hash := i.Command("userdbpw", "-scheme", "SSHA256")
	hash.Stdin = strings.NewReader("secret\n")
	stored, err := hash.Output()
	if err != nil {
		t.Fatal(err)
	}
	set := i.Command("userdb", "sender@client.test", "set", "systempw")
	set.Stdin = strings.NewReader(string(stored))
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return i
}

// dialTLS connects, starts TLS and maybe logs in.
func dialTLS(addr string, login bool) (*client, error) {
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
	if err := c.cmd(250, "EHLO client.test"); err != nil || !login {
		return c, err
	}
	return c, c.cmd(235, "AUTH PLAIN AHNlbmRlckBjbGllbnQudGVzdABzZWNyZXQ=")
}

// incoming sends n messages over so many connections that stay open, and
// returns the rate.
func incoming(t testing.TB, dial func() (*client, error), width, n int) float64 {
	t.Helper()
	var wg sync.WaitGroup
	var sent atomic.Int64
	errs := make(chan error, width)
	text := strings.Replace(body(), "Subject:", "To: x@sink.test\r\nDate: Sat, 28 Nov 2026 12:00:00 +0000\r\nMessage-ID: <x@client.test>\r\nMIME-Version: 1.0\r\nSubject:", 1)
	start := time.Now()
	for range width {
		wg.Go(func() {
			c, err := dial()
			if err != nil {
				errs <- err
				return
			}
			defer c.Close()
			for sent.Add(1) <= int64(n) {
				if _, err := c.message("x@sink.test", text); err != nil {
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

// opendkimRate has Debian's opendkim sign messages over the milter protocol,
// which is how it works beside a Postfix.
func opendkimRate(t *testing.T, width, n int) float64 {
	if _, err := exec.LookPath("opendkim"); err != nil {
		t.Log("SKIPPED: opendkim is not installed; tools/scripts/test-deps installs it")
		return 0
	}
	dir := t.TempDir()
	key, err := dkim.Generate(dkim.RSA)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := dkim.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(file, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	conf := filepath.Join(dir, "conf")
	text := fmt.Sprintf("Domain client.test\nSelector x\nKeyFile %s\nSocket local:%s\nMode s\nCanonicalization relaxed/relaxed\nInternalHosts 127.0.0.1\nRequireSafeKeys no\n", file, socket)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("opendkim", "-f", "-x", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	testkit.Wait(t, "opendkim", func() bool { _, err := os.Stat(socket); return err == nil })
	var wg sync.WaitGroup
	var sent atomic.Int64
	errs := make(chan error, width)
	start := time.Now()
	for range width {
		wg.Go(func() {
			for sent.Add(1) <= int64(n) {
				if err := milter(socket); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	return float64(n) / time.Since(start).Seconds()
}

// milter sends one message through a filter, as an MTA does, and wants headers
// to be inserted.
func milter(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	send := func(cmd byte, data string) {
		binary.Write(conn, binary.BigEndian, uint32(len(data)+1))
		io.WriteString(conn, string(cmd)+data)
	}
	receive := func() (byte, error) {
		var n uint32
		if err := binary.Read(conn, binary.BigEndian, &n); err != nil {
			return 0, err
		}
		b := make([]byte, n)
		_, err := io.ReadFull(conn, b)
		return b[0], err
	}
	steps := []struct {
		cmd  byte
		data string
	}{
		{'O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x00\x00\x00"}, {'C', "localhost\x004\x30\x39127.0.0.1\x00"}, {'H', "client.test\x00"},
		{'M', "<sender@client.test>\x00"}, {'R', "<x@sink.test>\x00"}, {'L', "From\x00<sender@client.test>\x00"}, {'L', "To\x00x@sink.test\x00"},
		{'L', "Subject\x00bench\x00"}, {'N', ""}, {'B', strings.Repeat(strings.Repeat("x", 70)+"\r\n", 57)},
	}
	for _, s := range steps {
		send(s.cmd, s.data)
		if got, err := receive(); err != nil || got != 'O' && got != 'c' && got != 's' {
			return fmt.Errorf("milter: %q is answered with %q: %w", s.cmd, got, err)
		}
	}
	send('E', "")
	for signed := false; ; {
		got, err := receive()
		if err != nil {
			return err
		}
		signed = signed || got == 'i' || got == 'h'
		if got == 'a' || got == 'c' {
			if !signed {
				return fmt.Errorf("milter: no signature")
			}
			return nil
		}
	}
}
