package main

import (
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/sched"
)

// TestInOrder: recipients are sorted by transport, next hop, domain and address,
// and what is alike stays in its order.
func TestInOrder(t *testing.T) {
	var rcpts []envelope.Recipient
	var routes []route
	for i, s := range []string{"smtp b b@b", "smtp a z@z", "local x b", "smtp b a@C", "smtp b a@c", "smtp b B@B", "smtp a a@z", "local x a@z", "smtp b b@b"} {
		f := strings.Fields(s)
		rcpts = append(rcpts, envelope.Recipient{Original: s, Offset: int64(i)})
		routes = append(routes, route{address: f[2], target: sched.Target{Transport: f[0], NextHop: f[1], Destination: f[1]}})
	}
	var got []string
	sorted, ways := inOrder(rcpts, routes)
	for i, r := range sorted {
		if !strings.HasSuffix(r.Original, " "+ways[i].address) {
			t.Errorf("%s has the route of %s", r.Original, ways[i].address)
		}
		got = append(got, r.Original)
	}
	want := "local x a@z, local x b, smtp a a@z, smtp a z@z, smtp b B@B, smtp b b@b, smtp b b@b, smtp b a@C, smtp b a@c"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got %s\nwant %s", s, want)
	}
	if sorted[5].Offset != 0 || sorted[6].Offset != 8 {
		t.Errorf("recipients that are alike have changed their places: %v", sorted)
	}
}
