package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// users looks at the files in which authd finds users: whether they are there,
// and who may read the passwords in them.
func (k *checker) users(c *config.Config, from config.Pos) {
	if !k.asksUsers(c) {
		return
	}
	value, err := c.Value("auth_sources")
	if err != nil {
		return
	}
	s := &setting{c: c, name: "auth_sources", value: value, from: from}
	s.entry, _ = c.Entry(s.name)
	for _, spec := range config.SplitList(value) {
		kind, path, _ := strings.Cut(spec, ":")
		switch kind {
		case "userdb":
			k.userdb(s, path)
		case "passwd-file":
			k.credentials(s, spec, path, true)
		case "pgsql", "mysql", "sqlite", "ldap":
			k.credentials(s, spec, path, false) // tablesIn says when it is missing
		}
	}
}

// asksUsers tells whether the site has users of its own: master.cf has authd,
// or main.cf says where they are.
func (k *checker) asksUsers(c *config.Config) bool {
	return c.IsSet("auth_sources") || c.IsSet("userdb_path") ||
		slices.ContainsFunc(k.m.Services, func(s config.Service) bool { return filepath.Base(s.Program) == "authd" })
}

// userdb checks a database in text as authd will do it: what it would refuse
// is an error here.
func (k *checker) userdb(s *setting, path string) {
	if path == "" {
		value, err := s.c.Value("userdb_path")
		if err != nil || value == "" {
			return
		}
		path = value
		s = &setting{c: s.c, name: "userdb_path", value: value, from: s.from}
		s.entry, _ = s.c.Entry(s.name)
	}
	path = strings.TrimRight(path, "/")
	k.shadow(userdb.ShadowPath(path))
	_, err := userdb.Files(path, userdb.Options{Owner: k.authOwner(s.c)})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(userdb.IndexPath(path)); err == nil {
			return // an index without its text is a database, too
		}
		// Who just installed has none, and it is made with the first user.
		severity := config.Note
		if s.c.IsSet(s.name) {
			severity = config.Caution
		}
		k.add(s.at(path), severity, fmt.Sprintf("%s: there is no %s: nobody can log in; run `posthouse user add ADDRESS`", s.name, path))
	case errors.Is(err, fs.ErrPermission), err == nil:
		// Who may not read it finds nothing out about what is in it.
	default:
		k.add(config.Pos{File: path}, config.Error, strings.TrimPrefix(err.Error(), path+": "))
	}
}

// shadow checks the index with the passwords. authd reads the text instead of
// one that it does not trust; the passwords in it are open all the same.
func (k *checker) shadow(path string) {
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		k.add(config.Pos{File: path}, config.Error, fmt.Sprintf("%v: its mode is %04o; run `chmod go= %s`", userdb.ErrUnsafe, info.Mode().Perm(), path))
	}
}

// credentials checks a file that authd reads whoever else may: it has hashes,
// or the password of a database. Its group may be that of auth_owner.
func (k *checker) credentials(s *setting, spec, path string, missing bool) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Mode().Perm()&0o007 != 0:
		k.add(config.Pos{File: path}, config.Caution, fmt.Sprintf("everybody may read the passwords in it (mode %04o); run `chmod o= %s`", info.Mode().Perm(), path))
	case errors.Is(err, fs.ErrNotExist) && missing:
		k.add(s.at(spec), config.Error, fmt.Sprintf("%s: %v", s.name, err))
	}
}

// authOwner is the uid that authd runs as, which may own the database.
func (k *checker) authOwner(c *config.Config) int {
	name, err := c.Value("auth_owner")
	if err != nil || os.Geteuid() != 0 {
		return userdb.AnyOwner
	}
	u, err := user.Lookup(name)
	if err != nil {
		return userdb.AnyOwner
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return userdb.AnyOwner
	}
	return uid
}
