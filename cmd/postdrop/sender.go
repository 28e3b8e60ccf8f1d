package main

import (
	"context"
	"fmt"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/table"
)

// lookupTime bounds the look into the tables.
const lookupTime = 10 * time.Second

// senderRules are the sender addresses that one user may give
// (local_login_sender_maps).
type senderRules struct {
	login    string // or "uid:" and the number
	patterns []string
	nullKey  string
	delims   string
}

// readSenderRules looks a user up, once. It must run before the working
// directory changes. A user that no table has may give no address.
func readSenderRules(p params, configDir string, uid int) (*senderRules, error) {
	r := &senderRules{login: "uid:" + strconv.Itoa(uid), nullKey: p.NullSender, delims: p.Delims}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		r.login = u.Username
	}
	maps, err := table.OpenMaps(p.LoginSenders, table.Options{ConfigDir: configDir})
	if err != nil {
		return nil, err
	}
	defer maps.Close()
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	result, _, err := maps.Lookup(ctx, r.login)
	if err != nil {
		return nil, err
	}
	r.patterns, err = table.SplitList(result)
	return r, err
}

// refuse says why the user may not give a sender address; "" if that is fine.
func (r *senderRules) refuse(sender string) string {
	if r == nil {
		return ""
	}
	for _, p := range r.patterns {
		if r.matches(p, sender) {
			return ""
		}
	}
	return fmt.Sprintf("user %s is not allowed to send as <%.200s>", r.login, sender)
}

// matches compares an address with one pattern: "*" for all, the key for the
// null sender, "@domain", or an address, which covers its extensions too.
func (r *senderRules) matches(pattern, sender string) bool {
	local, domain := address.Split(sender)
	switch {
	case pattern == "*":
		return true
	case sender == "" || pattern == r.nullKey:
		return sender == "" && pattern == r.nullKey
	case strings.HasPrefix(pattern, "@"):
		return domain != "" && strings.EqualFold(pattern[1:], domain)
	case strings.EqualFold(pattern, sender):
		return true
	case r.delims == "":
		return false
	}
	base, _ := address.SplitExtension(local, r.delims)
	if domain != "" {
		base += "@" + domain
	}
	return strings.EqualFold(pattern, base)
}
