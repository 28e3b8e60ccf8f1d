package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
)

// directory counts its questions.
type directory struct {
	asked int
	held  bool
	err   error
}

func (d *directory) Lookup(_ context.Context, login, _ string) (*authclient.User, error) {
	d.asked++
	return &authclient.User{Login: login, Held: d.held}, d.err
}

// TestAccounts: a change counts a second later, and what forbids to send is
// never remembered.
func TestAccounts(t *testing.T) {
	d := &directory{}
	a := &accounts{users: d}
	start := time.Unix(1_800_000_000, 0)
	find := func(after time.Duration, asked int, held bool) {
		t.Helper()
		u, err := a.find(context.Background(), "joe", start.Add(after))
		if err != d.err || err == nil && u.Held != held || d.asked != asked {
			t.Errorf("after %v: held %v, %v, asked %d times, want held %v, %d times", after, u.Held, err, d.asked, held, asked)
		}
	}
	find(0, 1, false)
	find(accountTime-1, 1, false)
	d.held = true
	find(accountTime-1, 1, false)
	find(accountTime, 2, true)
	find(accountTime, 3, true)
	d.held = false
	find(accountTime, 4, false)
	d.err = authclient.ErrUnknown
	find(2*accountTime, 5, false)
	find(2*accountTime, 6, false)
	d.err = nil
	for i := range accountMax + 1 {
		if _, err := a.find(context.Background(), fmt.Sprint(i), start); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.known) > accountMax {
		t.Errorf("%d accounts are remembered", len(a.known))
	}
}
