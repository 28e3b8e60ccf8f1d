package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// system is one of the two mail systems.
type system interface {
	name() string
	addr() string
	pid() int // of its master
	spool() string
	mail() string // has a folder with a Maildir for each of box0 to box9
	log() string
	start(t testing.TB)
	stop(t testing.TB)
	mailq() *exec.Cmd
}

// kind is what becomes of the mail in a scenario.
type kind struct {
	name      string
	recipient string
	files     int // durable files per message
	numbered  bool
	conf      func(arg string) string // arg: port of the sink, or file of aliases
}

const limits = `smtpd_client_connection_count_limit = 0
minimal_backoff_time = 4000s
maximal_backoff_time = 8000s
`

var (
	discard = kind{"discard", "someone@discard.test", 1, false, func(string) string {
		return "default_transport = discard:\n"
	}}
	maildir = kind{"maildir", "you@example.test", 2, true, func(file string) string {
		return "virtual_alias_maps = regexp:" + file + "\n"
	}}
	relay = kind{"relay", "someone@relay.test", 1, false, func(port string) string {
		return "default_transport = smtp:[127.0.0.1]:" + port + "\nsmtp_tls_security_level = none\n"
	}}
	stuck = kind{"deferred", "someone@stuck.test", 1, false, func(string) string {
		return "default_transport = discard:\ntransport_maps = inline:{{stuck.test=smtp:[127.0.0.1]:9}}\n"
	}}
)

// boxes returns the names of the mailboxes.
func boxes() []string {
	var names []string
	for i := range 10 {
		names = append(names, fmt.Sprintf("box%d", i))
	}
	return names
}

// aliases writes the table that spreads numbered recipients over the boxes.
func aliases(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755) // the daemons are other users
	file := filepath.Join(dir, "aliases")
	if err := os.WriteFile(file, []byte("/^[0-9]*([0-9])you@example\\.test$/ box$1@example.test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// systems makes both, not started, for one scenario.
func systems(t testing.TB, k kind, arg string) []system {
	t.Helper()
	conf := limits + k.conf(arg)
	var out []system
	if *only != "Posthouse" {
		out = append(out, newPostfix(t, conf))
	}
	if *only != "Postfix" {
		out = append(out, newPosthouse(t, conf))
	}
	return out
}

// posthouse is the system under test, as `posthouse init` makes it.
type posthouse struct{ *testkit.Instance }

func newPosthouse(t testing.TB, conf string) system {
	t.Helper()
	p := posthouse{testkit.New(t, testkit.Users(boxes()...))}
	// The same table as in the other's configuration: what is compared is how
	// mail is delivered.
	var maps strings.Builder
	for _, b := range boxes() {
		fmt.Fprintf(&maps, " {%s@example.test = example.test/%s/}", b, b)
	}
	p.Set(t, "virtual_mailbox_maps = inline:{"+maps.String()+"}", "virtual_alias_maps =", "virtual_mailbox_domains = example.test")
	p.Set(t, conf)
	// The listener of smtpd takes the idle connections of the memory scenario.
	master, err := os.ReadFile(p.Etc("master.cf"))
	if err != nil {
		t.Fatal(err)
	}
	p.Write(t, "master.cf", strings.Replace(string(master), " smtpd\n", " smtpd -o client_limit=2500\n", 1))
	return p
}

// pid is that of master. What runs in the foreground, to show the log on the
// terminal, is no part of the mail system.
func (p posthouse) pid() int {
	text, _ := os.ReadFile(p.Spool("pid/master.pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func (p posthouse) name() string       { return "Posthouse" }
func (p posthouse) addr() string       { return p.Addr() }
func (p posthouse) spool() string      { return p.Spool("") }
func (p posthouse) mail() string       { return filepath.Join(p.Dir, "mail", testkit.Domain) }
func (p posthouse) log() string        { return p.Log() }
func (p posthouse) start(t testing.TB) { p.Start(t) }
func (p posthouse) stop(t testing.TB)  { p.Stop(t) }
func (p posthouse) mailq() *exec.Cmd   { return p.Command("postqueue", "-p") }

// postfix is what we compare with.
type postfix struct{ *refpostfix.Instance }

func newPostfix(t testing.TB, conf string) system {
	t.Helper()
	var maps strings.Builder
	for _, b := range boxes() {
		fmt.Fprintf(&maps, " {%s@example.test = %s/}", b, b)
	}
	p := postfix{refpostfix.New(t, conf+`default_process_limit = 2500
mydestination = localhost
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = example.test
virtual_mailbox_maps = inline:{`+maps.String()+`}
virtual_minimum_uid = 1
virtual_uid_maps = static:1
virtual_gid_maps = static:1
`)}
	p.Set(t, "virtual_mailbox_base = "+p.mail())
	if err := os.Mkdir(p.mail(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(p.mail(), 1, 1); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p postfix) name() string       { return "Postfix" }
func (p postfix) addr() string       { return p.Addr }
func (p postfix) pid() int           { return p.PID() }
func (p postfix) spool() string      { return filepath.Join(p.Dir, "spool") }
func (p postfix) mail() string       { return filepath.Join(p.Dir, "mail") }
func (p postfix) log() string        { return p.Log() }
func (p postfix) start(t testing.TB) { p.Start(t) }
func (p postfix) stop(t testing.TB)  { p.Stop(t) }
func (p postfix) mailq() *exec.Cmd {
	cmd := p.Command("/usr/sbin/postqueue", "-c", filepath.Join(p.Dir, "etc"), "-p")
	return cmd
}

// busy counts the files that are on their way.
func busy(s system) int {
	n := 0
	for _, q := range []string{"maildrop", "incoming", "active"} {
		entries, _ := os.ReadDir(filepath.Join(s.spool(), q))
		n += len(entries)
	}
	return n
}

// drained waits until no message is on its way.
func drained(t testing.TB, s system) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); busy(s) > 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d messages are still on their way", s.name(), busy(s))
		}
	}
}

// stored returns how many messages the mailboxes hold.
func stored(s system) int {
	n := 0
	for _, b := range boxes() {
		entries, _ := os.ReadDir(filepath.Join(s.mail(), b, "new"))
		n += len(entries)
	}
	return n
}
