package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// makeUsers makes the user database of an instance, with a record for each
// user. Passwords that were made up are printed, once.
func (a *app) makeUsers(i *instance) error {
	uid, _ := strconv.Atoi(i.mail.Uid)
	gid, _ := strconv.Atoi(i.mail.Gid)
	owner := userdb.EditOptions{UID: -1, GID: -1}
	if os.Geteuid() == 0 {
		owner.UID, _ = strconv.Atoi(i.auth.Uid)
		owner.GID, _ = strconv.Atoi(i.auth.Gid)
	}
	dir := i.etc("userdb")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chown(dir, owner.UID, owner.GID); err != nil {
		return err
	}
	if len(i.users) == 0 {
		return nil
	}
	return userdb.Edit(context.Background(), filepath.Join(dir, strings.ToLower(i.domain)), owner, func(f *userdb.File) error {
		for n, login := range i.users {
			if _, there := f.Fields(login); there {
				continue
			}
			var word string
			if len(i.passwords) > 0 {
				word = i.passwords[n]
			} else {
				word = password.Random()
				fmt.Fprintf(a.out, "password of %s: %s\n", login, word)
			}
			stored, err := password.Hash(password.Default, word)
			if err != nil {
				return err
			}
			box := filepath.Join(i.dir, "mail", i.maildir(login))
			r := &userdb.Record{Login: login, UID: uid, GID: gid, Home: box, MailDir: box, Hashes: map[string]string{"systempw": stored}}
			if err := f.Replace(r); err != nil {
				return err
			}
		}
		return nil
	})
}
