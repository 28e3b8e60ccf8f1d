package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestHandBack: Postfix starts on the queue that Posthouse left: deferred mail
// with its log, held mail, a message that was active at a crash, mail in
// maildrop. Every recipient gets his mail once; the rest is bounced.
func TestHandBack(t *testing.T) {
	p := newPair(t, deadRoute(t)...)
	p.ours.Set(t, "hash_queue_depth = 2")
	p.theirs.Set(t, "hash_queue_depth = 2")
	p.ours.Start(t)
	ids := fillOurs(t, p)
	p.ours.Send(t, "Subject: half\n\nx\n", "-f", "you@dead.test", "x@bad.test", "four@dead.test")
	ids["half"] = p.ours.WaitLog(t, `qmgr\[\d+\]: (\w+): from=<you@dead\.test>`)[1]
	p.ours.WaitLog(t, ids["half"]+`: to=<x@bad\.test>, .*status=bounced`)
	notice := p.ours.WaitLog(t, ids["half"]+`: sender non-delivery notification: (\w+)`)[1]
	p.ours.WaitLog(t, notice+`: to=<you@dead\.test>, .*status=deferred`)
	p.ours.WaitLog(t, ids["half"]+`: to=<four@dead\.test>, .*status=deferred`)
	p.ours.Stop(t)
	p.ours.Send(t, "Subject: dropped\n\nx\n", "-f", "sender@remote.test", "five@dead.test")
	if err := os.Rename(find(t, p, "deferred", ids["part"]), p.ours.Spool("active/"+ids["part"])); err != nil {
		t.Fatal(err)
	}

	port, arrived := sink(t)
	replace(t, filepath.Join(p.theirs.Dir, "etc/main.cf"), "transport_maps",
		fmt.Sprintf("inline:{dead.test=smtp:[127.0.0.1]:%d, example.test=smtp:[127.0.0.1]:%[1]d}", port))
	p.theirs.Set(t, "smtp_connection_cache_on_demand = no")
	p.tool(t, "postsuper")
	p.theirs.Start(t)
	// Its postsuper complains of a file that its own cleanup has not named yet.
	testkit.Wait(t, "the message that was dropped", func() bool { return strings.Contains(p.theirs.Log(), ": to=<five@dead.test>, ") })
	p.tool(t, "postsuper", "-H", "ALL")
	p.tool(t, "postqueue", "-f")
	waitEmpty(t, p)
	log := p.theirs.Log()
	for rcpt, times := range map[string]int{"one@dead.test": 1, "two@dead.test": 1, "three@dead.test": 1, "four@dead.test": 1,
		"five@dead.test": 1, "you@dead.test": 1, "bob@example.test": 1, "ann@example.test": 0, "x@bad.test": 0} {
		if n := strings.Count(log, ": to=<"+rcpt+">, "); n != times {
			t.Errorf("%s: %d attempts, want %d", rcpt, n, times)
		}
	}
	if strings.Contains(log, "warning:") || strings.Contains(log, "corrupt") || strings.Contains(log, "status=deferred") {
		t.Errorf("Postfix had trouble with our queue:\n%s", log)
	}
	all := strings.Join(arrived(), "\n")
	has(t, "what Postfix sent", all, "Subject: d\xc3\xa9ferred", "Subject: part", "Subject: held", "Subject: half", "Subject: dropped",
		"nobody of that name", "X-Rcpt-Args: <one@dead.test> ORCPT=rfc822;first@dead.test NOTIFY=FAILURE,DELAY", "<two@dead.test> ORCPT=rfc822;two@dead.test NOTIFY=NEVER")
	if n := len(arrived()); n != 6 {
		t.Errorf("%d messages arrived, want 6", n)
	}
}
