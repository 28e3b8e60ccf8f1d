package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestJudge gives the checker runs that went wrong in every way that it knows.
// A checker that never fails is no evidence.
func TestJudge(t *testing.T) {
	l := newLedger(t, 7)
	e, text := l.begin("smtpd", 2000, toMaildir("u0"), recipient{"r@hard.test", classHard, []string{"r@hard.test"}})
	other, otherText := l.begin("smtpd", 2000, toMaildir("u1"))
	l.end(other, ack, "250")
	delivered := found{Where: inPlace, ID: e.ID, Place: "u0@example.test", Text: text, From: "new/1"}
	bounced := found{Where: inBounce, ID: e.ID, Place: "r@hard.test", From: "sender/1"}
	rest := found{Where: inPlace, ID: other.ID, Place: "u1@example.test", Text: otherText, From: "new/2"}
	with := func(f found, change func(*found)) found { change(&f); return f }

	type counts struct{ Dup, Lost, Torn, Ghost, Stranded, WrongBounce, Late int }
	tests := []struct {
		name   string
		reply  reply
		copies []found
		want   counts
	}{
		{"all is well", ack, []found{delivered, bounced}, counts{}},
		{"still queued", ack, []found{bounced, with(delivered, func(f *found) { f.Where = inQueue })}, counts{}},
		{"lost", ack, []found{bounced}, counts{Lost: 1}},
		{"bounce lost", ack, []found{delivered}, counts{Lost: 1}},
		{"nobody was told that it is kept", unknown, nil, counts{}},
		{"refused and gone", nackNow, nil, counts{}},
		{"duplicate", ack, []found{delivered, delivered, bounced}, counts{Dup: 1}},
		{"delivered and still queued", ack, []found{delivered, bounced, with(delivered, func(f *found) { f.Where = inQueue })}, counts{Dup: 1}},
		{"refused and delivered", nackNow, []found{delivered}, counts{Ghost: 1}},
		{"deferred by mistake and delivered", later, []found{delivered, bounced}, counts{Late: 2}},
		{"torn", ack, []found{bounced, delivered, with(delivered, func(f *found) { f.Text = text[:len(text)/2] })}, counts{Torn: 1}},
		{"only a torn copy", ack, []found{bounced, with(delivered, func(f *found) { f.Text = text[:len(text)/2] })}, counts{Torn: 1, Lost: 1}},
		{"one byte changed", ack, []found{bounced, delivered, with(delivered, func(f *found) { f.Text = strings.Replace(text, "line", "lime", 1) })}, counts{Torn: 1}},
		{"somebody else's mail", ack, []found{bounced, delivered, with(delivered, func(f *found) { f.Place = "u3@example.test" })}, counts{Torn: 1}},
		{"somebody else's text", ack, []found{bounced, with(delivered, func(f *found) { f.Text = otherText })}, counts{Torn: 1, Lost: 1}},
		{"garbage", ack, []found{bounced, delivered, {Where: inPlace, Place: "u0@example.test", Text: "garbage"}}, counts{Torn: 1}},
		{"in tmp only", ack, []found{bounced, with(delivered, func(f *found) { f.Where = inTmp })}, counts{Stranded: 1}},
		{"in tmp too", ack, []found{bounced, delivered, with(delivered, func(f *found) { f.Where = inTmp })}, counts{}},
		{"delivered and bounced", ack, []found{delivered, bounced, with(bounced, func(f *found) { f.Place = "u0@example.test" })}, counts{WrongBounce: 1, Dup: 1}},
		{"good mail bounced", ack, []found{bounced, with(bounced, func(f *found) { f.Place = "u0@example.test" })}, counts{WrongBounce: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l.end(e, test.reply, "reply")
			f := new(figures)
			judge(f, l.list(), append([]found{rest}, test.copies...))
			got := counts{f.Dup, f.Lost, f.Torn, f.Ghost, f.Stranded, f.WrongBounce, f.Late}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s\n%s", diff, strings.Join(f.Findings, "\n"))
			}
		})
	}
}

// TestCollectors reads mailboxes as deliveries leave them.
func TestCollectors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	random := rand.New(rand.NewPCG(1, 1))
	texts := map[string]string{}
	box := ""
	for n := range 3 {
		id := fmt.Sprintf("x0001n%dx", n)
		texts[id] = messageText(id, 1000, random)
		box += "From sender  Sat Nov 21 00:00:00 2026\nReceived: x\n" + texts[id] + "\n"
		write("m/new/"+id, "Received: x\n"+texts[id])
	}
	write("m/tmp/1", "Received: x\n"+headMark+"x0001n9x@ledger.test>\nhalf")
	copies := mboxCopies(write("box", box), "box")
	all := maildirCopies(filepath.Join(dir, "m"), "m")
	if len(copies) != 3 || len(all) != 4 {
		t.Fatalf("%d in the mbox, %d in the Maildir", len(copies), len(all))
	}
	for _, c := range append(copies, all[:3]...) {
		if c.Where != inPlace || c.Text != texts[c.ID] {
			t.Errorf("%s: %s %q", c.From, c.Where, c.Text)
		}
	}
	if c := all[3]; c.Where != inTmp || c.ID != "x0001n9x" {
		t.Errorf("tmp: %+v", c)
	}
	torn := mboxCopies(write("torn", box[:len(box)-100]+"From x  Sat Nov 21 00:00:00 2026\n"+texts["x0001n0x"]+"\n"), "box")
	if c := torn[2]; c.Text == texts[c.ID] {
		t.Error("a torn message looks whole")
	}
	notice := "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; r@hard.test\nAction: failed\n\nX-Ledger: x0001n1x\n"
	if got := notices(notice, "f", inBounce); len(got) != 1 || got[0].ID != "x0001n1x" || got[0].Place != "r@hard.test" {
		t.Errorf("notice: %+v", got)
	}
}
