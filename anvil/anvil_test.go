package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
)

func TestCounts(t *testing.T) {
	tab := newTable(time.Minute)
	now := time.Unix(1000, 0)
	const a = "smtp:192.0.2.1"
	check := func(wantCount, wantRate int) {
		t.Helper()
		if c, r := tab.event(kindConn, a, now); c != wantCount || r != wantRate {
			t.Errorf("count %d rate %d, want %d %d", c, r, wantCount, wantRate)
		}
	}
	check(1, 1)
	check(2, 2)
	tab.disconnect(a)
	check(2, 3)
	now = now.Add(61 * time.Second)
	check(3, 1)
	if c, r := tab.event(kindRcpt, a, now); c != 3 || r != 1 {
		t.Errorf("recipient: %d %d", c, r)
	}
	for range 5 {
		tab.disconnect(a)
	}
	tab.expire(now.Add(2 * time.Minute))
	if len(tab.clients) != 0 {
		t.Error("idle client still there")
	}
}

func TestAnswerAndReport(t *testing.T) {
	var out bytes.Buffer
	s := &server{log: maillog.NewWriter(&out, "anvil"), table: newTable(time.Minute), procs: make(map[int]*process)}
	p := s.enter(7)
	now := time.Date(2026, 11, 21, 3, 4, 5, 0, time.Local)
	req := func(event, ident string) ipc.List {
		return s.answer(p, ipc.List{}.Str("request", event).Str("ident", ident), now)
	}
	if r := req("connect", "smtp:192.0.2.1"); r.Value("count") != "1" || r.Value("rate") != "1" {
		t.Errorf("%v", r)
	}
	if r := req("nonsense", "x"); r.Value("status") != "-1" {
		t.Errorf("%v", r)
	}
	if r := req("connect", ""); r.Value("status") != "-1" {
		t.Errorf("%v", r)
	}
	s.leave(7)
	if n := s.table.clients["smtp:192.0.2.1"].count; n != 0 {
		t.Errorf("%d connections left of a dead server", n)
	}
	s.report(now)
	for _, want := range []string{
		"statistics: max connection rate 1/60s for (smtp:192.0.2.1) at Nov 21 03:04:05",
		"statistics: max connection count 1 for (smtp:192.0.2.1) at Nov 21 03:04:05",
		"statistics: max cache size 1 at Nov 21 03:04:05",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
}

func TestBounded(t *testing.T) {
	tab := newTable(time.Minute)
	now := time.Unix(1000, 0)
	for i := range maxClients + 100 {
		tab.event(kindConn, string(rune(i))+"x"+time.Unix(int64(i), 0).String(), now)
	}
	if len(tab.clients) > maxClients {
		t.Errorf("%d clients", len(tab.clients))
	}
}
