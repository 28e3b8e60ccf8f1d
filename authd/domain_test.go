package main

import (
	"context"
	"errors"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
)

// Mail for a domain that is another name of a second one is for its users.
func TestAliasDomains(t *testing.T) {
	r := startRig(t, func(p *params) {
		p.DomainAliases = []string{"inline:{d.test=d.test, other.test=d.test, empty.test=none.test}"}
	}, "you@d.test\tsystempw={PLAIN}x|aliases=@catch.test", "own@other.test\tsystempw={PLAIN}x")
	for addr, want := range map[string]string{
		"you@d.test": "you@d.test", "You@Other.Test": "you@d.test", "you+x@other.test": "you@d.test",
		"own@other.test": "", "nobody@other.test": "", "you@empty.test": "", "x@catch.test": "you@d.test",
	} {
		got, err := r.Recipient(context.Background(), addr)
		if want == "" {
			if !errors.Is(err, authclient.ErrUnknown) {
				t.Errorf("%s: %v, %v", addr, got, err)
			}
			continue
		}
		if err != nil || got.User.Login != want {
			t.Errorf("%s: %v, %v, want %s", addr, got, err, want)
		}
	}
}
