package main

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/sasl"
	"github.com/posthouse-mail/posthouse/pkg/table/dbfile"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// counted says which mechanisms all users of a source can use, where the source
// can list them. It looks through all of them now and then.
type counted struct {
	busy  chan struct{} // held by who counts
	kinds atomic.Pointer[kinds]
}

// kinds says what all users of a database can use, as it was counted.
type kinds struct {
	at    time.Time
	serve map[string]bool
}

func newCounted() counted { return counted{busy: make(chan struct{}, 1)} }

// countPause is how often at most the users are counted anew.
const countPause = time.Minute

// serves reports whether all users could use a mechanism. all calls its function
// for each user until that returns false.
func (c *counted) serves(mechanism string, all func(func(*userdb.Record, error) bool)) bool {
	k := c.kinds.Load()
	if k == nil || time.Since(k.at) > countPause {
		select {
		case c.busy <- struct{}{}:
			k = &kinds{at: time.Now(), serve: countKinds(all)}
			c.kinds.Store(k)
			<-c.busy
		default:
		}
	}
	return k != nil && k.serve[mechanism]
}

// countKinds finds the mechanisms that every user with a password can use.
func countKinds(all func(func(*userdb.Record, error) bool)) map[string]bool {
	serve := map[string]bool{}
	for _, m := range secretMechanisms() {
		serve[m] = true
	}
	users := 0
	all(func(r *userdb.Record, err error) bool {
		if err != nil || len(r.Hashes) == 0 {
			return true
		}
		users++
		left := false
		for m, ok := range serve {
			if ok && !canServe(r, m) {
				serve[m] = false
			}
			left = left || serve[m]
		}
		return left
	})
	if users == 0 {
		return map[string]bool{}
	}
	return serve
}

// storedSecrets reads the setting stored_secrets of a database, which cannot be
// looked through: what all its users have, in the words of password_scheme.
func storedSecrets(f *dbfile.File) (map[string]bool, error) {
	serve := map[string]bool{}
	for _, word := range f.Words("stored_secrets") {
		switch word = strings.ToUpper(strings.Trim(word, "{}")); {
		case slices.Contains([]string{"PLAIN", "CLEAR", "CLEARTEXT"}, word):
			for _, m := range secretMechanisms() {
				serve[m] = true
			}
		case word == "CRAM-MD5" || word == "HMAC-MD5":
			serve[sasl.CRAMMD5] = true
		case word == sasl.SCRAMSHA1 || word == sasl.SCRAMSHA256:
			serve[word] = true
		default:
			return nil, fmt.Errorf("%s: stored_secrets: known are PLAIN, CRAM-MD5, SCRAM-SHA-1 and SCRAM-SHA-256, got %q", f.Path(), word)
		}
	}
	return serve, nil
}
