package main

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// user is what others may know of a record.
func (s *server) user(r *userdb.Record) (*authclient.User, error) {
	u := &authclient.User{
		Login: r.Login, Aliases: r.Aliases, UID: r.UID, GID: r.GID, Home: r.Home, Name: r.Name, Quota: r.Quota,
		Disabled: r.Disabled, Networks: r.Networks, SendAs: r.SendAs, Limits: authclient.Limits(r.Limits),
		Held: r.Held, Options: r.Options,
	}
	if u.UID < 0 {
		u.UID = s.mailUID
	}
	if u.GID < 0 {
		u.GID = s.mailGID
	}
	if u.UID >= 0 && u.UID < s.MinimumUID {
		return nil, fmt.Errorf("uid %d is below virtual_minimum_uid", u.UID)
	}
	if u.GID < 0 {
		u.UID = -1
	}
	if u.Home == "" && s.MailHome != "" {
		u.Home = expandHome(s.MailHome, r.Login)
	}
	u.MailDir = r.MailDir
	if u.MailDir == "" && u.Home != "" {
		u.MailDir = strings.TrimRight(u.Home, "/") + "/Maildir"
	}
	return u, nil
}

// expandHome fills in %u, %n and %d; "" for a login that cannot be part of a
// path, or lacks the domain.
func expandHome(template, login string) string {
	local, domain, _ := strings.Cut(login, "@")
	for _, part := range []string{login, local, domain} {
		if part == "." || part == ".." || strings.ContainsAny(part, "/\x00") {
			return ""
		}
	}
	if local == "" || strings.Contains(template, "%d") && domain == "" {
		return ""
	}
	return strings.NewReplacer("%u", login, "%n", local, "%d", domain, "%%", "%").Replace(template)
}

// lookupID returns the number of a user or a group, which may be a number
// already; -1 for "".
func lookupID(param, name string, find func(string) (string, error)) (int, error) {
	if name == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(name)
	if err != nil {
		text, lookupErr := find(name)
		if lookupErr != nil {
			return -1, fmt.Errorf("%s: %w", param, lookupErr)
		}
		n, err = strconv.Atoi(text)
	}
	if err != nil || n <= 0 {
		return -1, fmt.Errorf("%s = %s: must not be root", param, name)
	}
	return n, nil
}

func findUID(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func findGID(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}
