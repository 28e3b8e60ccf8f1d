package interop

import (
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// clearedCases are messages that are late, and delivered by the second attempt.
func clearedCases() []twinCase {
	again := func(c twinCase) twinCase {
		c.after = tryAgain
		return c
	}
	second := []string{"second@said.test"}
	const nothing = "Postfix begins a notice and drops it"
	several := []string{"good@said.test", "grey@full.test", "pxbob@localhost", "second@said.test"}
	return []twinCase{
		again(mixed("one", second)),
		again(mixed("several", several)),
		because(again(mixed("no wish for it", second, "-N", "success,failure")), nothing),
		again(mixed("delay alone", second, "-N", "delay")),
		because(again(mixed("never", second, "-N", "never")), nothing),
		again(mixed("all wishes", second, "-N", "success,failure,delay")),
		again(mixed("told", second, "-v")),
		again(mixed("headers", second, "-R", "full", "-V", "some-id")),
		because(again(mixed("passed on", []string{"second@full.test"}, "-N", "success,delay")), "Postfix has the recipient twice in its notice"),
		again(mixed("command", []string{"again@localhost"})),
		again(mixed("list", []string{"members@localhost"})),
		again(mixed("virtual alias", []string{"ones@mail.example.test"})),
		again(twinCase{name: "null sender", sender: "<>", rcpts: second}),
		because(again(twinCase{name: "double bounce sender", sender: "double-bounce@mail.example.test", rcpts: second}), "Postfix says that the delay notice is discarded, but the message waits"),
		{name: "success for the double bounce sender", sender: "double-bounce@mail.example.test", rcpts: []string{"one@off.test"}, args: []string{"-N", "success"}},
		again(twinCase{name: "mixed wishes", text: "Subject: x\n\nx\n", smtp: []string{"MAIL FROM:<" + noticeSender + "> RET=FULL ENVID=a+2Bb",
			"RCPT TO:<second@said.test> NOTIFY=DELAY ORCPT=rfc822;first@x.test", "RCPT TO:<second@full.test> NOTIFY=FAILURE"}}),
	}
}

// TestDelayCleared: with confirm_delay_cleared, who was told that mail waits is
// told of its delivery, in the same words; and nobody without it.
func TestDelayCleared(t *testing.T) {
	for _, wish := range []string{"yes", "no"} {
		tw := manyAgents(t, "cleared", "notify_classes =", "delay_warning_time = 1s", "confirm_delay_cleared = "+wish,
			"virtual_alias_maps = inline:{{ones@mail.example.test=second@said.test, pxbob@mail.example.test}}")
		tw.files["once.sh"] = "cat > /dev/null\ntest -e DIR/drop/asked && exit 0\necho > DIR/drop/asked\nsleep 1.1\nexit 75\n"
		tw.files["aliases"] += "again: \"|sh ETC/once.sh\"\nmembers: pxbob, \"|sh ETC/once.sh\"\n"
		tw.cases = clearedCases()
		if wish == "no" {
			tw.cases = tw.cases[:2]
		}
		t.Run(wish, tw.test)
	}
}

// TestWarnedRecord: that a delay notice was sent is said in the queue file as
// Postfix says it, and each side understands the other.
func TestWarnedRecord(t *testing.T) {
	tw := manyAgents(t, "warned")
	p := newPair(t, append(tw.settings[:1:1], "delay_warning_time = 1s", "confirm_delay_cleared = yes", "notify_classes =", "minimal_backoff_time = 3000s",
		"queue_run_delay = 3000s", "local_recipient_maps =", "alias_maps =", "luser_relay = you@mail.example.test")...)
	p.ours.Set(t, "mydestination = mail.example.test, localhost", "myorigin = mail.example.test")
	sides := p.sides(t)
	for i, s := range sides {
		s.start()
		s.send("Subject: x\n\nx\n", "-f", "you@mail.example.test", "--", "second@said.test")
		testkit.Wait(t, s.name+": the delay notice", func() bool {
			return p.idle(t) && strings.Contains(s.log(), "sender delay notification") && strings.Contains(strings.Join(p.places(t), " "), "deferred/")
		})
		for _, place := range p.places(t) {
			if _, id, ok := strings.Cut(place, "deferred/"); ok {
				theirs := p.run(t, sides[0].command("postcat", "-q", id), "")
				if ours := p.run(t, sides[1].command("postcat", "-q", id), ""); ours.Stdout != theirs.Stdout || !strings.Contains(ours.Stdout, "warning_message_time: ") {
					t.Errorf("postcat prints\n%s\nwhere Postfix's prints\n%s", ours.Stdout, theirs.Stdout)
				}
			}
		}
		s.stop()
		other := sides[1-i]
		other.start()
		p.run(t, other.command("postqueue", "-f"), "")
		testkit.Wait(t, other.name+": the other's message is told of", func() bool { return strings.Contains(other.log(), "sender delivery status notification") })
		other.stop()
	}
}
