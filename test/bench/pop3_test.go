package bench

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/refdovecot"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

var (
	drop     = flag.Int("drop", 2000, "messages in the maildrop of the POP3 scenario")
	popIdle  = flag.Int("popidle", 1000, "idle POP3 connections")
	popLogin = flag.Int("poplogins", 300, "POP3 logins per measurement")
)

// popSystem is a POP3 server over a maildrop of its own.
type popSystem struct {
	name, addr, user string
	pid              int
}

// fillMaildir makes a Maildir of n messages of 4 KiB.
func fillMaildir(t testing.TB, dir string, uid, gid, n int) {
	t.Helper()
	text := strings.ReplaceAll(body(), "\r\n", "\n")
	for _, sub := range []string{"", "cur", "new", "tmp"} {
		path := filepath.Join(dir, sub)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		os.Chown(path, uid, gid)
	}
	for i := range n {
		path := filepath.Join(dir, "cur", fmt.Sprintf("%d.M%dP1.host,S=%d,W=%d:2,S", 1700000000+i, i, len(text), len(body())))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chown(path, uid, gid)
	}
}

// popSystems starts both servers, each with its own copy of the maildrop.
func popSystems(t testing.TB, users int) []popSystem {
	t.Helper()
	names := []string{"you"}
	for i := range users {
		names = append(names, fmt.Sprint("u", i))
	}
	mail := testkit.New(t, testkit.Users(names...))
	uid, gid := testkit.BoxOwner(t)
	mail.Set(t, "mail_max_userip_connections = 0", "pop3_lock_session = no", "auth_failure_delay = 0")
	mail.UserDB(t, "secret", names)
	fillMaildir(t, mail.Maildir("you"), uid, gid, *drop)
	mail.Start(t)
	home, err := os.MkdirTemp("", "pop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	os.Chmod(home, 0o755)
	o := refdovecot.Options{UID: uid, GID: gid, Users: map[string]refdovecot.User{}}
	for _, n := range names {
		dir := filepath.Join(home, n)
		fillMaildir(t, dir, uid, gid, map[bool]int{true: *drop}[n == "you"])
		o.Users[n+"@"+testkit.Domain] = refdovecot.User{Password: "secret", Home: dir, MailDir: dir}
	}
	dovecot := refdovecot.Start(t, o)
	return []popSystem{
		{"Dovecot", dovecot.POP3, "you@" + testkit.Domain, dovecot.PID()},
		{"Posthouse", net.JoinHostPort("127.0.0.1", strconv.Itoa(mail.Port+5)), "you@" + testkit.Domain, mail.PID()},
	}
}

// popClient is a bare POP3 client.
type popClient struct {
	net.Conn
	r *bufio.Reader
}

func popLoginTo(s popSystem, user string) (*popClient, error) {
	conn, err := net.DialTimeout("tcp", s.addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	c := &popClient{conn, bufio.NewReaderSize(conn, 64<<10)}
	fmt.Fprintf(conn, "USER %s\r\nPASS secret\r\n", user)
	for range 3 {
		if err := c.ok(); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return c, nil
}

func (c *popClient) ok() error {
	line, err := c.r.ReadSlice('\n')
	if err == nil && !bytes.HasPrefix(line, []byte("+OK")) {
		err = fmt.Errorf("got %q", line)
	}
	return err
}

// retrieved reads a reply to RETR and returns the bytes of the message.
func (c *popClient) retrieved() (int, error) {
	if err := c.ok(); err != nil {
		return 0, err
	}
	n := 0
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return n, err
		}
		if string(line) == ".\r\n" {
			return n, nil
		}
		n += len(line)
	}
}

// retrieve fetches all messages, with some under way, and returns messages per
// second.
func retrieve(t testing.TB, s popSystem, width int) float64 {
	t.Helper()
	c, err := popLoginTo(s, s.user)
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	defer c.Close()
	start := time.Now()
	sent, got, size := 0, 0, 0
	var batch bytes.Buffer
	for got < *drop {
		batch.Reset()
		for sent < *drop && sent < got+width {
			sent++
			fmt.Fprintf(&batch, "RETR %d\r\n", sent)
		}
		if batch.Len() > 0 {
			c.Write(batch.Bytes())
		}
		n, err := c.retrieved()
		if err != nil {
			t.Fatalf("%s: message %d: %v", s.name, got+1, err)
		}
		got++
		size += n
	}
	rate := float64(got) / time.Since(start).Seconds()
	if want := got * len(body()); size != want {
		t.Fatalf("%s: %d bytes, want %d", s.name, size, want)
	}
	fmt.Fprint(c, "QUIT\r\n")
	c.ok()
	return rate
}

// logins measures login, STAT and QUIT, one after another.
func logins(t testing.TB, s popSystem) float64 {
	t.Helper()
	start := time.Now()
	for range *popLogin {
		c, err := popLoginTo(s, s.user)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		fmt.Fprint(c, "STAT\r\nQUIT\r\n")
		for _, what := range []string{"STAT", "QUIT"} {
			if err := c.ok(); err != nil {
				t.Fatalf("%s: %s: %v", s.name, what, err)
			}
		}
		c.Close()
	}
	return float64(*popLogin) / time.Since(start).Seconds()
}

func pop3(t *testing.T) {
	refdovecot.Need(t)
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	both := popSystems(t, *popIdle)
	results := map[string]map[string][]float64{}
	for range *rounds {
		for _, s := range both {
			if results[s.name] == nil {
				results[s.name] = map[string][]float64{}
			}
			add := func(what string, v float64) { results[s.name][what] = append(results[s.name][what], v) }
			add("logins, STAT, QUIT a second", logins(t, s))
			add("RETR one at a time, messages a second", retrieve(t, s, 1))
			add("RETR with 20 under way, messages a second", retrieve(t, s, 20))
		}
	}
	rows := [][]string{{"", "A", "B", "B/A"}}
	for _, what := range []string{"logins, STAT, QUIT a second", "RETR one at a time, messages a second", "RETR with 20 under way, messages a second"} {
		a, b := median(results["Dovecot"][what]), median(results["Posthouse"][what])
		rows = append(rows, []string{what, f1(a), f1(b), f2(ratio(b, a))})
	}
	rows = append(rows, popMemory(t, both))
	table(fmt.Sprintf("POP3, %d messages of 4 KiB; A = Dovecot", *drop), rows)
}

// popMemory compares what idle sessions of different users take.
func popMemory(t testing.TB, both []popSystem) []string {
	t.Helper()
	got := map[string]float64{}
	for _, s := range both {
		base := pssKiB(s.pid)
		var all []*popClient
		for i := range *popIdle {
			c, err := popLoginTo(s, fmt.Sprintf("u%d@%s", i, testkit.Domain))
			if err != nil {
				t.Fatalf("%s: connection %d: %v", s.name, i, err)
			}
			all = append(all, c)
		}
		time.Sleep(3 * time.Second)
		got[s.name] = (pssKiB(s.pid) - base) / float64(*popIdle)
		for _, c := range all {
			c.Close()
		}
	}
	a, b := got["Dovecot"], got["Posthouse"]
	return []string{fmt.Sprintf("KiB per idle session, %d users", *popIdle), f1(a), f1(b), f2(ratio(b, a))}
}
