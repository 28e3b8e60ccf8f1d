package rewrite

import (
	"errors"
	"testing"
	"time"
)

// TestCache: an answer counts for the sender and address that were asked about,
// and for the plain addresses of a domain only if it says so.
func TestCache(t *testing.T) {
	asked := 0
	var flags Flags
	c := NewCache(time.Minute, 100)
	clock := time.Unix(1e9, 0)
	c.now = func() time.Time { return clock }
	get := func(sender, addr string) Resolved {
		t.Helper()
		r, err := c.Get(sender, addr, func() (Resolved, error) {
			asked++
			return Resolved{Transport: "smtp", NextHop: "hop", Recipient: addr, Flags: flags}, nil
		})
		if err != nil || r.Recipient != addr || r.Transport != "smtp" || r.NextHop != "hop" {
			t.Errorf("%q, %q: %+v, %v", sender, addr, r, err)
		}
		return r
	}
	for i, tc := range []struct {
		flags        Flags
		sender, addr string
		asks         bool
	}{
		{0, "s", "a@one.test", true},
		{0, "s", "a@one.test", false},
		{0, "s2", "a@one.test", true},
		{0, "s", "b@one.test", true},
		{WholeDomain, "s", "a@two.test", true},
		{0, "s", "b@two.test", false},
		{0, "other", "c@two.test", false},
		{0, "s", "c@Two.test", true},
		{0, "s", "c%d@two.test", true},
		{0, "s", "c!d@two.test", true},
		{0, "s", "-c@two.test", true},
		{0, "s", `c d@two.test`, true},
		{0, "s", "two.test", true},
		{0, "", "@two.test", true},
		{WholeDomain, "", "u", true},
		{WholeDomain, "", "v", true},
		{WholeDomain, "", "u%x@three.test", true},
		{WholeDomain, "", "v%x@three.test", true},
		{0, "", "v@three.test", true},
	} {
		before := asked
		flags = tc.flags
		get(tc.sender, tc.addr)
		if (asked > before) != tc.asks {
			t.Errorf("%d, %q, %q: asked %d times", i, tc.sender, tc.addr, asked-before)
		}
	}
	for _, tc := range []struct {
		later time.Duration
		asks  int
	}{{domainTTL - 1, 0}, {1, 1}, {time.Minute - domainTTL - 1, 1}, {1, 1}} {
		clock = clock.Add(tc.later)
		before := asked
		flags = WholeDomain
		get("s", "new@two.test")
		flags = 0
		get("s", "a@one.test")
		if asked-before != tc.asks {
			t.Errorf("%v later: asked %d times, want %d", tc.later, asked-before, tc.asks)
		}
	}
}

// TestCacheForgets: neither failures nor old answers are kept, nor more than
// there is room for; and an answer about an address that became another one is
// not that of a domain.
func TestCacheForgets(t *testing.T) {
	c := NewCache(time.Minute, 10)
	clock := time.Unix(1e9, 0)
	c.now = func() time.Time { return clock }
	if _, err := c.Get("", "a@x.test", func() (Resolved, error) { return Resolved{}, ErrFail }); !errors.Is(err, ErrFail) {
		t.Fatal(err)
	}
	moved := func() (Resolved, error) {
		return Resolved{Transport: "smtp", Recipient: "b@y.test", Flags: WholeDomain}, nil
	}
	c.Get("", "a@x.test", moved)
	if r, err := c.Get("", "c@x.test", func() (Resolved, error) { return Resolved{Transport: "local"}, nil }); err != nil || r.Transport != "local" {
		t.Errorf("%+v, %v", r, err)
	}
	for i := range 100 {
		c.Get(string(rune('a'+i)), "a@x.test", moved)
		if len(c.entries) > 10 {
			t.Fatalf("%d entries", len(c.entries))
		}
	}
	clock = clock.Add(time.Minute)
	again := false
	c.Get(string(rune('a'+99)), "a@x.test", func() (Resolved, error) { again = true; return Resolved{}, nil })
	if !again {
		t.Error("an old answer was given")
	}
}
