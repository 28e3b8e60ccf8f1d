package interop

import (
	"slices"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// tryAgain makes a message that was deferred be tried once more.
func tryAgain(t *testing.T, p *pair, s side) {
	t.Helper()
	deferred := func() []string {
		return slices.DeleteFunc(p.places(t), func(place string) bool { return !strings.HasPrefix(place, "deferred/") })
	}
	testkit.Wait(t, s.name+": a deferred message", func() bool { return p.idle(t) && len(deferred()) == 1 })
	_, id, _ := strings.Cut(deferred()[0], "/")
	before := strings.Count(s.log(), id+": to=<")
	p.run(t, s.command("postqueue", "-f"), "")
	testkit.Wait(t, s.name+": another attempt", func() bool { return strings.Count(s.log(), id+": to=<") > before })
}

func lateCases() []twinCase {
	late := []string{"one@dead.test", "one@later.test", "late@localhost", "late@v.test", "late@q.test", "grey@said.test"}
	all := append(slices.Clone(late), "good@said.test", "unknown@said.test", "pxbob@localhost", "nosuch@localhost")
	const nothing = "Postfix begins a notice and drops it"
	return []twinCase{
		mixed("all kinds", all),
		because(mixed("no wish for it", []string{"grey@said.test", "one@later.test"}, "-N", "success,failure"), nothing),
		because(mixed("never", []string{"grey@said.test"}, "-N", "never"), nothing),
		because(mixed("delay alone", all, "-N", "delay"), nothing+", for the failures"),
		mixed("headers", []string{"grey@said.test"}, "-R", "hdrs", "-V", "some-id"),
		{name: "null sender", sender: "<>", rcpts: []string{"grey@said.test"}},
		because(twinCase{name: "double bounce sender", sender: "double-bounce@mail.example.test", rcpts: []string{"grey@said.test"}}, "Postfix says that the notice is discarded, but it waits"),
		{name: "mixed wishes", text: "Subject: x\n\nx\n", smtp: []string{"MAIL FROM:<" + noticeSender + "> RET=FULL ENVID=a+2Bb", "RCPT TO:<grey@said.test> NOTIFY=DELAY ORCPT=rfc822;first@x.test",
			"RCPT TO:<late@q.test> NOTIFY=FAILURE", "RCPT TO:<late@v.test>", "RCPT TO:<one@dead.test> NOTIFY=NEVER"}},
		{name: "UTF-8", text: "Subject: gr\u00fc\u00dfe\n\ngr\u00fc\u00dfe\n", smtp: []string{"MAIL FROM:<" + noticeSender + "> SMTPUTF8 BODY=8BITMIME", "RCPT TO:<grey@full.test>"}},
		{name: "once", sender: noticeSender, rcpts: []string{"grey@said.test"}, after: tryAgain},
	}
}

// TestDelayNotices: mail that waits is told of in the same notices, once.
func TestDelayNotices(t *testing.T) {
	tw := manyAgents(t, "late", "notify_classes = delay", "delay_warning_time = 1s", "delay_notice_recipient = pxbob+late")
	tw.cases = lateCases()
	tw.test(t)
}

// TestOwnDelayNotices: a site's own text for them, without copies for the
// postmaster.
func TestOwnDelayNotices(t *testing.T) {
	tw := manyAgents(t, "own text", "notify_classes =", "delay_warning_time = 1s", "bounce_template_file = ETC/bounce.cf", "maximal_queue_lifetime = 3d", "bounce_queue_lifetime = 3d")
	tw.files["bounce.cf"] = "delay_template = <<EOF\nCharset: us-ascii\nFrom: Hausmeister <post@mail.example.test>\nSubject: Spaet\nPostmaster-Subject: Kopie\n\n" +
		"Nach $delay_warning_time_hours h, $delay_warning_time_minutes min, $delay_warning_time_seconds s; noch ${maximal_queue_lifetime_days} d.\n\n  The mail system\nEOF\n"
	tw.cases = []twinCase{mixed("one", []string{"grey@said.test"}), because(mixed("several", []string{"grey@said.test", "late@q.test", "one@dead.test"}), "what is odd in a text is said once, at the start")}
	tw.test(t)
}
