package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestRecipientOrder: the recipients of a message come to a server in the same
// order, and so many at a time.
func TestRecipientOrder(t *testing.T) {
	k := newTaker(t)
	p := newPair(t, fmt.Sprintf("default_transport = smtp:[127.0.0.1]:%d", k.port), "smtp_destination_recipient_limit = 3", "smtp_destination_concurrency_limit = 1",
		"initial_destination_concurrency = 1", "notify_classes =", "smtp_tls_security_level = none",
		"transport_maps = inline:{z.test=smtp:[127.0.0.1]:"+fmt.Sprint(k.port)+", y.test=smtp:[localhost]:"+fmt.Sprint(k.port)+"}")
	lists := [][]string{
		{"c@b.test", "a@b.test", "b@b.test"},
		{"b@B.test", "a@b.test", "B@b.test", "A@b.test", "a+x@b.test", "\"a b\"@b.test"},
		{"a@z.test", "b@y.test", "c@x.test", "a@x.test", "z@z.test", "a@y.test", "a@10.test", "a@9.test", "a@x-y.test", "a@x.y.test"},
		{"b@b.test", "b@b.test", "a@b.test", "b@b.test"},
		{"one@b.test"},
	}
	got := map[string][]string{}
	for _, s := range p.sides(t) {
		s.start()
		for i, list := range lists {
			before := strings.Count(s.log(), ": removed")
			s.send("Subject: x\n\nx\n", append([]string{"-f", "s@remote.test", "--"}, list...)...)
			testkit.Wait(t, s.name+": a message is gone", func() bool { return strings.Count(s.log(), ": removed") > before && p.idle(t) })
			var said []string
			for _, m := range k.taken() {
				envelope, _, _ := strings.Cut(m, "\r\n\r\n")
				lines := slices.DeleteFunc(strings.Split(envelope, "\r\n"), func(l string) bool { return !strings.HasPrefix(l, "RCPT") })
				said = append(said, strings.Join(lines, " "))
			}
			if i == 2 { // two destinations, side by side
				slices.Sort(said)
			}
			got[s.name] = append(got[s.name], strings.Join(said, "\n"))
		}
		s.stop()
	}
	if d := cmp.Diff(got["theirs"], got["ours"]); d != "" {
		t.Errorf("(-theirs +ours):\n%s", d)
	}
}
