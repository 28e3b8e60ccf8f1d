package interop

import (
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// fillOurs leaves messages of all kinds in our queue and returns their ids:
// deferred (two recipients and DSN options), partly delivered, held.
func fillOurs(t *testing.T, p *pair) map[string]string {
	t.Helper()
	ids := make(map[string]string)
	s := testkit.Dial(t, p.ours.Addr())
	s.Cmd("250", "EHLO client.test")
	s.Cmd("250", "MAIL FROM:<sender@remote.test> RET=HDRS ENVID=env+2B1 BODY=8BITMIME")
	s.Cmd("250", "RCPT TO:<one@dead.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;first@dead.test")
	s.Cmd("250", "RCPT TO:<two@dead.test> NOTIFY=NEVER")
	s.Cmd("354", "DATA")
	reply := s.Cmd("250 2.0.0 Ok: queued as ", "Subject: d\xc3\xa9ferred\r\nX-Long: %s\r\n\r\nbody\r\n.", strings.Repeat("x", 3000))
	ids["deferred"] = strings.TrimSpace(strings.TrimPrefix(reply, "250 2.0.0 Ok: queued as "))
	p.ours.WaitLog(t, ids["deferred"]+`: to=<one@dead\.test>, .*status=deferred`)
	p.ours.WaitLog(t, ids["deferred"]+`: to=<two@dead\.test>, .*status=deferred`)
	ids["part"] = s.Message("", "ann@example.test,three@dead.test", "Subject: part\n\nx\n")
	p.ours.WaitLog(t, ids["part"]+`: to=<ann@example\.test>, .*status=sent`)
	p.ours.WaitLog(t, ids["part"]+`: to=<three@dead\.test>, .*status=deferred`)
	ids["held"] = s.Message("sender@remote.test", "bob@example.test", "X-Hold: yes\nSubject: held\n\nx\n")
	p.ours.WaitLog(t, ids["held"]+`: hold: header X-Hold`)
	s.Cmd("221", "QUIT")
	// The agents log before the queue manager moves the files.
	testkit.Wait(t, "messages in their places", func() bool {
		return len(p.ours.Queue(t, "active", "incoming")) == 0 && len(p.ours.Queue(t, "deferred")) == 2 && len(p.ours.Queue(t, "hold")) == 1
	})
	return ids
}

func deadRoute(t *testing.T) []string {
	return []string{fmt.Sprintf("transport_maps = inline:{dead.test=smtp:[127.0.0.1]:%d, {bad.test=error:5.1.1 nobody of that name}}", testkit.NewClosed(t).Port),
		"header_checks = regexp:{{/^X-Hold:/ HOLD wait}}"}
}

// TestPostfixToolsOnOurQueue: Debian's postcat reads our queue files, its
// postqueue our showq, its trigger wakes our qmgr.
func TestPostfixToolsOnOurQueue(t *testing.T) {
	p := newPair(t, deadRoute(t)...)
	p.ours.Start(t)
	ids := fillOurs(t, p)

	for kind, id := range ids {
		theirs, ours := p.tool(t, "postcat", "-v", "-q", id), p.ours.Must(t, "postcat", "-v", "-q", id)
		if d := cmp.Diff(shownRecords(theirs), shownRecords(ours)); d != "" {
			t.Errorf("%s message: postcat differs (-theirs +ours):\n%s", kind, d)
		}
	}
	text := p.tool(t, "postcat", "-q", ids["deferred"])
	has(t, "postcat", text, "sender: sender@remote.test", "recipient: one@dead.test", "recipient: two@dead.test",
		"original_recipient: one@dead.test", "dsn_orig_rcpt=rfc822;first@dead.test", "envelope_id=env+2B1", "named_attribute: encoding=8bit", "Subject: d\xc3\xa9ferred", strings.Repeat("x", 3000))
	has(t, "postcat", p.tool(t, "postcat", "-q", ids["part"]), "recipient: three@dead.test", "done_recipient: ann@example.test")

	if d := cmp.Diff(p.tool(t, "postqueue", "-p"), p.ours.Must(t, "postqueue", "-p")); d != "" {
		t.Errorf("postqueue -p differs (-theirs +ours):\n%s", d)
	}
	theirs, ours := p.tool(t, "postqueue", "-j"), p.ours.Must(t, "postqueue", "-j")
	if d := cmp.Diff(theirs, ours); d != "" {
		t.Errorf("postqueue -j differs (-theirs +ours):\n%s", d)
	}
	checkListing(t, theirs, ids)

	p.tool(t, "postqueue", "-f")
	count := func() int { return strings.Count(p.ours.Log(), ids["deferred"]+": to=<one@dead.test>") }
	testkit.Wait(t, "second attempt after Postfix's postqueue -f", func() bool { return count() >= 2 })
	p.tool(t, "postsuper", "-H", ids["held"])
	p.tool(t, "postqueue", "-f")
	p.ours.WaitLog(t, `to=<bob@example\.test>, .*status=sent`)
}

// shownRecords drops the file name and what -v says about the start.
func shownRecords(text string) []string {
	var lines []string
	for _, l := range strings.Split(text, "\n") {
		if !strings.HasPrefix(l, "***") && !strings.Contains(l, "/postcat: ") {
			lines = append(lines, l)
		}
	}
	return lines
}

func checkListing(t *testing.T, text string, ids map[string]string) {
	t.Helper()
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		var m struct {
			Queue      string `json:"queue_name"`
			ID         string `json:"queue_id"`
			Sender     string `json:"sender"`
			Recipients []struct {
				Address string `json:"address"`
				Reason  string `json:"delay_reason"`
			} `json:"recipients"`
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		for _, r := range m.Recipients {
			reason := regexp.MustCompile(`\]:\d+`).ReplaceAllString(r.Reason, "]:PORT")
			got = append(got, fmt.Sprintf("%s %s %s %s %s", m.Queue, m.ID, m.Sender, r.Address, reason))
		}
	}
	const refused = "connect to 127.0.0.1[127.0.0.1]:PORT: Connection refused"
	want := []string{
		"deferred " + ids["deferred"] + " sender@remote.test one@dead.test " + refused,
		"deferred " + ids["deferred"] + " sender@remote.test two@dead.test " + refused,
		"deferred " + ids["part"] + " MAILER-DAEMON three@dead.test " + refused,
		"hold " + ids["held"] + " sender@remote.test bob@example.test ",
	}
	sort.Strings(got)
	sort.Strings(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("listing (-want +got):\n%s", d)
	}
}
