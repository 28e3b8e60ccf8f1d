package main

import (
	"os"
	"strconv"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

func use(u *usage, t int64, messages, recipients int64, limits ...string) ipc.List {
	req := ipc.List{}.Str("ident", "me").Int("messages", messages).Int("recipients", recipients)
	for i := 0; i < len(limits); i += 2 {
		req = req.Str(limits[i], limits[i+1])
	}
	return u.spend(req, t)
}

func TestSpend(t *testing.T) {
	u := newUsage()
	const start = 1000 * 86400
	for i := range 3 {
		if r := use(u, start, 1, 0, "messages_hour", "3"); r.Value("over") != "" {
			t.Fatalf("message %d: %v", i, r)
		}
	}
	r := use(u, start, 1, 0, "messages_hour", "3")
	if r.Value("over") != "messages_hour" || r.Value("first") != "1" || r.Value("limit") != "3" {
		t.Errorf("%v", r)
	}
	if r := use(u, start+1, 1, 0, "messages_hour", "3"); r.Value("over") == "" || r.Value("first") == "1" {
		t.Errorf("a second notice: %v", r)
	}
	// What was refused was not counted; recipients are another matter.
	if r := use(u, start+2, 0, 1, "messages_hour", "3", "recipients_hour", "1"); r.Value("over") != "" {
		t.Errorf("%v", r)
	}
	// Half of the last hour is gone: room for one.
	if r := use(u, start+3600+1800, 1, 0, "messages_hour", "3"); r.Value("over") != "" {
		t.Errorf("%v", r)
	}
	if r := use(u, start+3*3600, 3, 0, "messages_hour", "3", "messages_day", "7"); r.Value("over") != "" {
		t.Errorf("%v", r)
	}
	if r := use(u, start+5*3600, 1, 0, "messages_hour", "3", "messages_day", "7"); r.Value("over") != "messages_day" {
		t.Errorf("%v", r)
	}
	if r := u.spend(ipc.List{}.Str("ident", "").Int("messages", 1), start); r.Value("status") != "-1" {
		t.Errorf("%v", r)
	}
}

// TestAhead: what is counted ahead counts, is a small part of the room, and can
// be taken back.
func TestAhead(t *testing.T) {
	const start = 1000 * 86400
	for _, c := range []struct {
		name           string
		limits         []string
		messages, rcpt int // granted of 64
	}{
		{"no limits", nil, 64, 64},
		{"far limits", []string{"messages_hour", "100000", "recipients_day", "100000"}, 64, 64},
		{"near limits", []string{"messages_hour", "100", "recipients_day", "33", "recipients_hour", "1000"}, 3, 1},
		{"at the limit", []string{"messages_hour", "1", "messages_day", "100000"}, 0, 64},
	} {
		u := newUsage()
		r := use(u, start, 1, 1, append([]string{"ahead", "1000"}, c.limits...)...)
		if r.Value("ahead_messages") != strconv.Itoa(c.messages) || r.Value("ahead_recipients") != strconv.Itoa(c.rcpt) || r.Value("over") != "" {
			t.Errorf("%s: %v", c.name, r)
		}
		want := [numCounted]int{1 + c.messages, 1 + c.rcpt}
		if got := u.users["me"]; got[0].now != want || got[1].now != want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	u := newUsage()
	use(u, start+3599, 1, 1, "ahead", "10")
	back := ipc.List{}.Str("ident", "me").Int("messages", 4).Int("recipients", 10).Int("time", start+3599)
	use(u, start+3600, 1, 1)
	if r := u.unspend(back, start+3601); r.Value("status") != "0" {
		t.Errorf("%v", r)
	}
	// The hour is another one, the day is not.
	got := u.users["me"]
	if got[0].now != [numCounted]int{1, 1} || got[0].before != [numCounted]int{7, 1} || got[1].now != [numCounted]int{8, 2} {
		t.Errorf("%+v", got)
	}
	// Nobody has less than nothing, and what was days ago is no more.
	u.unspend(back.Int("recipients", 1), start+3601)
	for range 5 {
		u.unspend(back, start+3601)
	}
	if got[0].before[countRecipients] != 0 || got[1].now != [numCounted]int{} || got[0].now != [numCounted]int{1, 1} {
		t.Errorf("%+v", got)
	}
	u.unspend(back, start+10*86400)
	for _, bad := range []ipc.List{{}, ipc.List{}.Str("ident", "you").Int("time", start), ipc.List{}.Str("ident", "me").Int("messages", 1)} {
		if r := u.unspend(bad, start); r.Value("status") != "-1" {
			t.Errorf("%v: %v", bad, r)
		}
	}
}

// TestLedger: the account survives a restart, and a crash while it is written.
func TestLedger(t *testing.T) {
	dir := t.TempDir()
	l, u, err := openLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	const start = 1000 * 86400
	use(u, start, 5, 7)
	u.users["a\n\"b\" c"] = &userUse{}
	if err := l.save(u); err != nil {
		t.Fatal(err)
	}
	use(u, start, 1, 0)
	if err := l.save(u); err != nil {
		t.Fatal(err)
	}
	_, again, err := openLedger(dir)
	if err != nil || len(again.users) != 2 || again.users["me"][0].now != [numCounted]int{6, 7} {
		t.Fatalf("%v %v", again, err)
	}
	// The newer one is torn.
	if err := os.Truncate(l.files[l.last].Name(), 50); err != nil {
		t.Fatal(err)
	}
	_, again, err = openLedger(dir)
	if err != nil || again.users["me"] == nil || again.users["me"][1].now != [numCounted]int{5, 7} {
		t.Fatalf("%v %v", again.users["me"], err)
	}
}

func TestUsageIsBounded(t *testing.T) {
	u := newUsage()
	const start = 1000 * 86400
	use(u, start, 1, 1)
	u.expire(start + 86400)
	if len(u.users) != 1 {
		t.Error("forgotten too early")
	}
	u.expire(start + 3*86400 + 1)
	if len(u.users) != 0 {
		t.Error("not forgotten")
	}
}

func FuzzParseUsage(f *testing.F) {
	u := newUsage()
	use(u, 86400, 1, 1)
	f.Add(formatUsage(u, 1))
	f.Fuzz(func(t *testing.T, text []byte) {
		if u, _, err := parseUsage(text); err == nil {
			if again, _, err := parseUsage(formatUsage(u, 1)); err != nil || len(again.users) != len(u.users) {
				t.Errorf("%q", text)
			}
		}
	})
}
