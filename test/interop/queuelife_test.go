package interop

import (
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// heard reports whether somebody listens at an endpoint, a socket or a FIFO.
func heard(path string) bool {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return true
	}
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err == nil {
		f.Close()
	}
	return err == nil
}

// side is one of the two systems of a pair, whose commands are called by name.
type side struct {
	name    string
	addr    string // of the SMTP server
	command func(name string, args ...string) *exec.Cmd
	send    func(text string, args ...string)
	log     func() string
	start   func()
	stop    func()
}

// sides returns Postfix and us.
func (p *pair) sides(t *testing.T) []side {
	etc := p.theirs.Dir + "/etc"
	return []side{{
		name: "theirs",
		addr: p.theirs.Addr,
		command: func(name string, args ...string) *exec.Cmd {
			cmd := p.theirs.Command("/usr/sbin/"+name, args...)
			cmd.Env = slices.Concat(cmd.Env, []string{"MAIL_CONFIG=" + etc})
			return cmd
		},
		send:  func(text string, args ...string) { p.sendmail(t, text, args...) },
		log:   p.theirs.Log,
		start: func() { p.theirs.Start(t) },
		stop:  func() { p.theirs.Stop(t) },
	}, {
		name:    "ours",
		addr:    p.ours.Addr(),
		command: p.ours.Command,
		send:    func(text string, args ...string) { p.ours.Send(t, text, args...) },
		log:     p.ours.Log,
		start:   func() { p.ours.Start(t) },
		stop:    func() { p.ours.Stop(t) },
	}}
}

// count waits until an expression was in the log n times.
func (s side) count(t *testing.T, n int, expr string) {
	t.Helper()
	re := regexp.MustCompile(expr)
	testkit.Wait(t, s.name+": "+expr, func() bool { return len(re.FindAllString(s.log(), -1)) >= n })
}

// id returns the queue id of the last match of an expression with one group.
func (s side) id(t *testing.T, expr string) string {
	t.Helper()
	m := regexp.MustCompile(expr).FindAllStringSubmatch(s.log(), -1)
	if m == nil {
		t.Fatalf("%s: no %s", s.name, expr)
	}
	return m[len(m)-1][1]
}

// TestExpiry: a message that is too old, or made to be, ends with the same lines.
func TestExpiry(t *testing.T) {
	p := newPair(t, append(deadRoute(t), "local_recipient_maps =", "alias_maps =", "bounce_queue_lifetime = 0", "maximal_queue_lifetime = 1d",
		"notify_classes = delay, bounce, 2bounce", "delay_warning_time = 0", "minimal_backoff_time = 300s")...)
	boxes := []string{"virtual_mailbox_domains = example.test", "virtual_transport = discard:"}
	p.theirs.Set(t, boxes...)
	p.ours.Set(t, boxes...)
	logs := map[string][]string{}
	for _, s := range p.sides(t) {
		before := len(s.log())
		s.start()
		// The null sender's mail is too old at once.
		s.send("Subject: old\n\nx\n", "-f", "", "r@dead.test")
		s.count(t, 1, `status=expired, returned to sender`)
		s.count(t, 1, `: removed`)
		// Mail of a user waits, and is made to expire.
		s.send("Subject: waits\n\nx\n", "-f", "you@example.test", "r@dead.test", "q@dead.test")
		s.count(t, 2, `to=<[rq]@dead\.test>, relay=none, .*status=deferred`)
		id := s.id(t, ` ([0-9A-F]{9,}): to=<q@dead\.test>`)
		out := p.run(t, s.command("postsuper", "-f", id), "")
		if out.Status != 0 {
			t.Errorf("%s: postsuper -f: %+v", s.name, out)
		}
		p.run(t, s.command("postqueue", "-f"), "")
		s.count(t, 1, `status=force-expired, returned to sender`)
		s.count(t, 1, id+`: sender non-delivery notification: `)
		s.count(t, 1, id+`: removed`)
		// Mail on hold is made to expire when it is released.
		s.send("X-Hold: 1\nSubject: held\n\nx\n", "-f", "you@example.test", "h@dead.test")
		s.count(t, 1, `hold: header X-Hold`)
		id = s.id(t, ` ([0-9A-F]{9,}): hold: header X-Hold`)
		// pickup removes its file after cleanup has held the message, and
		// Postfix's warns when postsuper has been there meanwhile.
		testkit.Wait(t, "held message and empty maildrop", func() bool {
			return len(p.ours.Queue(t, "hold")) == 1 && len(p.ours.Queue(t, "maildrop")) == 0
		})
		p.run(t, s.command("postsuper", "-e", id), "")
		p.run(t, s.command("postsuper", "-H", id), "")
		p.run(t, s.command("postqueue", "-f"), "")
		s.count(t, 2, `status=force-expired, returned to sender`)
		s.count(t, 1, id+`: removed`)
		testkit.Wait(t, "empty queue", func() bool { return len(p.places(t)) == 0 })
		s.stop()
		logs[s.name] = shapes(s.log()[before:], s.name)
		for i, line := range logs[s.name] {
			// Postfix defers by a program of its own what is not tried.
			logs[s.name][i] = strings.Replace(line, "error: ID: to=", "qmgr: ID: to=", 1)
		}
		slices.Sort(logs[s.name])
	}
	if d := cmp.Diff(logs["theirs"], logs["ours"]); d != "" {
		t.Errorf("the logs differ (-theirs +ours):\n%s", d)
	}
}

// TestFlush: postqueue -f, -i and -s, alone and with what they do not take, end
// in the same way and have the same effect.
func TestFlush(t *testing.T) {
	p := newPair(t, append(deadRoute(t), "local_recipient_maps =", "alias_maps =", "relay_domains = dead.test", "notify_classes =",
		"minimal_backoff_time = 3000s", "queue_run_delay = 3000s")...)
	cases := []string{"-f", "-i ID", "-i", "-i 0123456789", "-i junk!", "-i", "-s dead.test", "-s other.test", "-s [127.0.0.1]", "-s bad_.x",
		"-s", "-f -p", "-i ID -s dead.test", "-x", "", "ID", "-f extra", "-i ID extra", "-s dead.test extra", "-p extra", "-j extra", "-j -p", "-fv"}
	results := map[string][]outcome{}
	tries := map[string][]int{}
	for _, s := range p.sides(t) {
		s.start()
		s.send("Subject: waits\n\nx\n", "-f", "you@example.test", "r@dead.test")
		s.count(t, 1, `to=<r@dead\.test>, .*status=deferred`)
		id := s.id(t, ` ([0-9A-F]{9,}): to=<r@dead\.test>`)
		testkit.Wait(t, "deferred message", func() bool { return len(p.ours.Queue(t, "deferred")) == 1 })
		for n, args := range cases {
			before := strings.Count(s.log(), "status=deferred")
			out := p.run(t, s.command("postqueue", strings.Fields(strings.ReplaceAll(args, "ID", id))...), "")
			if strings.HasSuffix(args, "ID") || args == "-f" || args == "-s dead.test" || args == "-fv" {
				// It is tried again.
				if out.Status == 0 {
					s.count(t, before+1, "status=deferred")
					testkit.Wait(t, "deferred message", func() bool { return len(p.ours.Queue(t, "deferred")) == 1 })
				}
			}
			if n == 0 && out.Status != 0 {
				t.Errorf("%s: %+v", s.name, out)
			}
			if args == "-fv" {
				out.Stderr = ""
			}
			results[s.name] = append(results[s.name], out)
			tries[s.name] = append(tries[s.name], strings.Count(s.log(), "status=deferred"))
		}
		p.run(t, s.command("postsuper", "-d", "ALL"), "")
		s.stop()
		// Without a mail system: qmgr may take a moment longer than master.
		testkit.Wait(t, "end of qmgr", func() bool { return !heard(p.ours.Spool("public/qmgr")) })
		for _, args := range []string{"-f", "-s dead.test"} {
			results[s.name] = append(results[s.name], p.run(t, s.command("postqueue", strings.Fields(args)...), ""))
		}
	}
	for i, args := range append(cases, "-f when down", "-s when down") {
		if d := cmp.Diff(results["theirs"][i], results["ours"][i]); d != "" {
			t.Errorf("postqueue %s (-theirs +ours):\n%s", args, d)
		}
	}
	if d := cmp.Diff(tries["theirs"], tries["ours"]); d != "" {
		t.Errorf("deliveries tried so far, after each (-theirs +ours):\n%s", d)
	}
}
