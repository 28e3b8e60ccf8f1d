package main

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/sched"
)

func TestLimits(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.cf": "compatibility_level = 3.6\nslow_destination_rate_delay = 3s\nslow_destination_recipient_limit = 7\n" +
			"slow_destination_concurrency_positive_feedback = 1/concurrency\ndefault_process_limit = 30\n",
		"master.cf": "slow unix - - y - 1 smtp\nsmtp unix - - y - 2 smtp -o client_limit=50\n" +
			"plain unix - - y - - smtp\nmany unix - - y - 0 smtp\nsmtp inet n - y - 1 smtpd\n",
	} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var p params
	if err := cfg.Fill(&p); err != nil {
		t.Fatal(err)
	}
	l, err := newLimits(cfg, &p)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.check(); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, name := range []string{"slow", "smtp", "plain", "many", "unknown"} {
		s, err := l.read(name)
		if err != nil {
			t.Fatal(err)
		}
		got[name] = s.Requests
	}
	want := map[string]int{"slow": 1, "smtp": 100, "plain": 30, "many": maxRequests, "unknown": 30}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	slow, _ := l.read("slow")
	if slow.RateDelay != 3*time.Second || slow.Recipients != 7 || slow.Positive != (sched.Feedback{Amount: 1, Per: sched.PerWindow}) {
		t.Errorf("%+v", slow)
	}
	local, err := l.read("local")
	if err != nil || local.Concurrency != 2 || local.Recipients != 1 {
		t.Errorf("local: %+v, %v", local, err)
	}
	if local.Concurrency != 2 || local.SlotCost != 5 || local.SlotLoan != 3 || local.SlotDiscount != 50 || local.MinSlots != 3 || local.CohortLimit != 1 {
		t.Errorf("local: %+v", local)
	}
}
