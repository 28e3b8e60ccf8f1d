package interop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// sink is Debian's smtp-sink, which takes all mail and writes each message to
// a file.
func sink(t *testing.T) (port int, messages func() []string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sink")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port = testkit.FreePorts(t)
	cmd := refpostfix.Tool(t, "smtp-sink", "-u", "root", "-d", filepath.Join(dir, "%M."), fmt.Sprintf("127.0.0.1:%d", port), "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	testkit.Wait(t, "smtp-sink", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return port, func() []string {
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		var list []string
		for _, f := range files {
			list = append(list, contents(t, f))
		}
		return list
	}
}

// filled is what stands in the queue before it changes hands.
type filled struct {
	ids    map[string]string // by what it is
	places []string
}

// fillTheirs makes Postfix leave in the queue: deferred mail with several
// recipients and a defer log, in a hashed directory, with a short and with a
// long id; a message of which one recipient is done and another bounced, whose
// notice could not be sent, so that the bounce log is still there; held mail;
// mail in maildrop; a message that was active when the power failed.
func fillTheirs(t *testing.T, p *pair) filled {
	t.Helper()
	ids := make(map[string]string)
	p.theirs.Start(t)
	s := testkit.Dial(t, p.theirs.Addr)
	s.Cmd("250", "EHLO client.test")
	s.Cmd("250", "MAIL FROM:<sender@remote.test> RET=HDRS ENVID=env1")
	s.Cmd("250", "RCPT TO:<one@dead.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;first@dead.test")
	s.Cmd("250", "RCPT TO:<two@dead.test> NOTIFY=NEVER")
	s.Cmd("250", "RCPT TO:<three@dead.test>")
	s.Cmd("354", "DATA")
	reply := s.Cmd("250 2.0.0 Ok: queued as ", "Subject: deferred\r\n\r\n%s\r\n.", strings.Repeat("y", 5000))
	ids["deferred"] = strings.TrimSpace(strings.TrimPrefix(reply, "250 2.0.0 Ok: queued as "))
	p.sendmail(t, "Subject: bounced\n\nx\n", "-f", "ann@example.test", "x@bad.test", "four@dead.test")
	ids["bounced"] = p.waitTheirs(t, `qmgr\[\d+\]: (\w+): from=<ann@example\.test>`)[1]
	ids["held"] = s.Message("sender@remote.test", "bob@example.test", "X-Hold: yes\nSubject: held\n\nx\n")
	ids["crashed"] = s.Message("sender@remote.test", "five@dead.test", "Subject: crashed\n\nx\n")
	s.Cmd("221", "QUIT")
	waitDeferred(t, p, ids)
	p.waitTheirs(t, `warning: .*`+ids["bounced"]+`|`+ids["bounced"]+`: .*status=bounced`)
	p.theirs.Stop(t)

	p.theirs.Set(t, "enable_long_queue_ids = yes")
	p.theirs.Start(t)
	s = testkit.Dial(t, p.theirs.Addr)
	s.Cmd("250", "EHLO client.test")
	ids["long"] = s.Message("sender@remote.test", "six@dead.test,seven@dead.test", "Subject: long id\n\nx\n")
	s.Cmd("221", "QUIT")
	p.waitTheirs(t, ids["long"]+`: to=<seven@dead\.test>, .*status=deferred`)
	p.theirs.Stop(t)

	p.sendmail(t, "Subject: dropped\n\nx\n", "-f", "sender@remote.test", "ann@example.test")
	from := find(t, p, "deferred", ids["crashed"])
	if err := os.Rename(from, p.ours.Spool("active/"+ids["crashed"])); err != nil {
		t.Fatal(err)
	}
	places := p.places(t)
	sort.Strings(places)
	t.Logf("the queue before it changes hands: %s", strings.Join(places, " "))
	return filled{ids, places}
}

func waitDeferred(t *testing.T, p *pair, ids map[string]string) {
	t.Helper()
	for id, rcpt := range map[string]string{ids["deferred"]: "three@dead", ids["bounced"]: "four@dead", ids["crashed"]: "five@dead"} {
		p.waitTheirs(t, id+`: to=<`+rcpt+`.test>, .*status=deferred`)
	}
	p.waitTheirs(t, ids["held"]+`: hold: `)
}

// find returns the path of a message in a queue with or without hashing.
func find(t *testing.T, p *pair, queue, id string) string {
	t.Helper()
	var found string
	filepath.WalkDir(p.ours.Spool(queue), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == id {
			found = path
		}
		return nil
	})
	if found == "" {
		t.Fatalf("%s is not in %s: %v", id, queue, p.places(t))
	}
	return found
}

// TestTakeOver: Posthouse starts on the queue that Postfix left, its commands
// work on it, and every message goes where it should.
func TestTakeOver(t *testing.T) {
	p := newPair(t, deadRoute(t)...)
	p.theirs.Set(t, "hash_queue_names = deferred, defer, hold", "hash_queue_depth = 2")
	breakBounces(t, p)
	f := fillTheirs(t, p)

	port, arrived := sink(t)
	p.ours.Set(t, "hash_queue_names = deferred, defer, hold", "hash_queue_depth = 2", "enable_long_queue_ids = yes")
	for kind, id := range f.ids {
		theirs, ours := p.tool(t, "postcat", "-v", "-q", id), p.ours.Must(t, "postcat", "-v", "-q", id)
		if d := cmp.Diff(shownRecords(theirs), shownRecords(ours)); d != "" {
			t.Errorf("%s message: postcat differs (-theirs +ours):\n%s", kind, d)
		}
	}
	// Stopped: both list the queue by themselves.
	theirs := strings.Replace(p.tool(t, "postqueue", "-p"), "Postfix showq", "Posthouse showq", 1)
	if d := cmp.Diff(theirs, p.ours.Must(t, "postqueue", "-p")); d != "" {
		t.Errorf("postqueue -p of the stopped system differs (-theirs +ours):\n%s", d)
	}

	p.ours.Start(t)
	p.ours.Must(t, "postqueue", "-f")
	bounced := p.ours.WaitLog(t, f.ids["bounced"]+`: sender non-delivery notification: (\w+)`)[1]
	p.ours.WaitLog(t, bounced+`: to=<ann@example\.test>, .*status=sent`)
	p.ours.WaitLog(t, `uid=0 from=<sender@remote\.test>`)
	notice := ""
	for _, m := range p.ours.WaitMailbox(t, "ann", 2) {
		if strings.Contains(m, "Undelivered Mail") {
			notice = m
		}
	}
	has(t, "notice with the reasons of Postfix's log", notice, "<x@bad.test>: nobody of that name", "Status: 5.1.1", "Subject: bounced",
		"Final-Recipient: rfc822; x@bad.test")

	has(t, "our postsuper", p.ours.Must(t, "postsuper", "-H", f.ids["held"]), "1 message")
	list := p.ours.Must(t, "postqueue", "-p")
	has(t, "our postqueue -p", list, f.ids["deferred"], f.ids["long"], "two@dead.test", "Connection refused")

	// The dead site comes back to life.
	p.ours.Set(t, fmt.Sprintf("transport_maps = inline:{dead.test=smtp:[127.0.0.1]:%d, {bad.test=error:5.1.1 nobody of that name}}", port))
	p.ours.Must(t, "posthouse", "reload")
	p.ours.WaitLog(t, `reload`)
	p.ours.Must(t, "postqueue", "-f")
	waitEmpty(t, p)
	for kind, rcpts := range map[string]string{"deferred": "one two three", "bounced": "four", "crashed": "five", "long": "six seven"} {
		for _, r := range strings.Fields(rcpts) {
			if n := strings.Count(p.ours.Log(), f.ids[kind]+": to=<"+r+"@dead.test>, relay=127.0.0.1"); n != 1 {
				t.Errorf("%s: %s was delivered %d times", kind, r, n)
			}
		}
	}
	p.ours.WaitMailbox(t, "bob", 1)
	if n := len(arrived()); n != 4 {
		t.Errorf("%d messages arrived, want 4", n)
	}
}

// breakBounces keeps Postfix from sending notices, so that its bounce logs stay.
func breakBounces(t *testing.T, p *pair) {
	t.Helper()
	path := filepath.Join(p.theirs.Dir, "etc/master.cf")
	text := strings.Replace(contents(t, path), "bounce unix - - n - 0 bounce\n", "bounce unix - - n - 0 bounce -o cleanup_service_name=none\n", 1)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func waitEmpty(t *testing.T, p *pair) {
	t.Helper()
	defer func() {
		if left := p.places(t); len(left) > 0 {
			t.Errorf("left in the queue: %v", left)
		}
	}()
	testkit.Wait(t, "empty queue", func() bool { return len(p.places(t)) == 0 })
}
