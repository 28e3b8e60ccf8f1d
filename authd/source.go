package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	lookup "github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// source is a place where users are.
type source interface {
	// name is for the log.
	name() string
	// lookup returns the user with a login or an alias. userdb.ErrUnknown
	// means that there is none; any other error says nothing.
	lookup(ctx context.Context, login, service string) (*found, error)
	// serves reports whether all users of the source could use a mechanism.
	serves(mechanism string) bool
}

// found is a user and how a password is checked.
type found struct {
	rec *userdb.Record
	// check is set where the password is checked elsewhere: by PAM, or by a
	// bind to a directory.
	check func(ctx context.Context, password string, p authclient.Peer) (bool, error)
	from  source
}

// resolver is a source that knows extensions and catch-alls by itself.
type resolver interface {
	resolve(ctx context.Context, address, delimiter string) (*found, error)
}

// opening is what a source needs to be opened.
type opening struct {
	log    *maillog.Logger
	owner  int    // uid that we will run as
	groups *[]int // groups that we want to keep

	configDir string
}

// open opens the sources of auth_sources.
func (s *server) open(o opening) error {
	for _, spec := range s.Sources {
		src, err := s.openSource(spec, o)
		if err != nil {
			return fmt.Errorf("auth_sources: %s: %w", spec, err)
		}
		s.sources = append(s.sources, src)
	}
	if len(s.sources) == 0 {
		return errNoSource
	}
	if len(s.DomainAliases) == 0 {
		return nil
	}
	var err error
	s.domains, err = lookup.OpenMaps(s.DomainAliases, lookup.Options{ConfigDir: o.configDir, Log: o.log, Sensitive: true})
	if err != nil {
		return fmt.Errorf("domain_alias_maps: %w", err)
	}
	return nil
}

func (s *server) openSource(spec string, o opening) (source, error) {
	kind, arg, _ := strings.Cut(spec, ":")
	switch kind {
	case "userdb":
		if arg == "" {
			arg = s.UserdbPath
		}
		return openUserdb(arg, o)
	case "passwd":
		return openSystem("/etc", s.MinimumUID, o)
	case "passwd-file":
		return openPasswdFile(arg)
	case "pgsql", "mysql", "sqlite":
		return openSQL(kind, arg)
	case "ldap":
		return openLDAP(arg)
	case "pam":
		service := s.PAMService
		if arg != "" {
			service = arg
		}
		return openPAM(service, s.PAMLimit, s.MinimumUID, o)
	case "saslauthd":
		return openSaslauthd(arg)
	}
	return nil, errors.New("no such source; known are userdb, passwd, passwd-file:FILE, pgsql:FILE, mysql:FILE, sqlite:FILE, ldap:FILE, pam, pam:SERVICE and saslauthd:SOCKET")
}

// find asks the sources for a login, in their order. The first that knows it
// decides. realm is the server's own for logins without one.
func (s *server) find(ctx context.Context, login, realm, service string) (*found, error) {
	return s.ask(ctx, login, realm, service, s.sources)
}

// known is find without the sources that say yes to each login, as only a
// password can tell them apart.
func (s *server) known(ctx context.Context, login, service string) (*found, error) {
	var sure []source
	for _, src := range s.sources {
		if u, ok := src.(interface{ unsure() bool }); !ok || !u.unsure() {
			sure = append(sure, src)
		}
	}
	return s.ask(ctx, login, "", service, sure)
}

func (s *server) ask(ctx context.Context, login, realm, service string, sources []source) (*found, error) {
	names := []string{login}
	for _, r := range []string{realm, s.DefaultRealm} {
		if r != "" && !strings.Contains(login, "@") {
			names = append(names, login+"@"+r)
		}
	}
	for _, name := range names {
		for _, src := range sources {
			f, err := src.lookup(ctx, name, service)
			if errors.Is(err, userdb.ErrUnknown) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", src.name(), err)
			}
			f.from = src
			return f, nil
		}
	}
	return nil, userdb.ErrUnknown
}

// userdbSource is the text of pkg/userdb.
type userdbSource struct {
	path string
	db   *userdb.DB
	log  *maillog.Logger

	counted counted
}

func openUserdb(path string, o opening) (source, error) {
	takeOver(path, o)
	src := &userdbSource{path: path, log: o.log, counted: newCounted()}
	opts := userdb.Options{Owner: o.owner, Problem: func(err error) { o.log.Warn("", "user database: %v", err) }}
	db, err := userdb.Open(path, opts)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o.log.Warn("", "user database %s: there is none yet: nobody can log in", path)
		return &absent{path: path, what: "userdb"}, nil
	case err != nil:
		return nil, err
	}
	src.db = db
	return src, nil
}

// takeOver gives the user database to its owner, where root made it: the
// commands that edit it run as root, and need not know more of it. Only files
// with one name are given away, so that nobody can get another file by linking
// it there.
func takeOver(path string, o opening) {
	if os.Getuid() != 0 || o.owner == 0 {
		return
	}
	n := 0
	filepathWalk(path, 0, func(name string) {
		if n++; n > userdb.MaxFiles {
			return
		}
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return
		}
		defer unix.Close(fd)
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Uid != 0 {
			return
		}
		kind := st.Mode & unix.S_IFMT
		if kind != unix.S_IFDIR && (kind != unix.S_IFREG || st.Nlink != 1) {
			return
		}
		if err := unix.Fchown(fd, o.owner, -1); err != nil {
			o.log.Warn("", "give %s to auth_owner: %v", name, err)
		}
	})
	for _, index := range []string{userdb.IndexPath(path), userdb.ShadowPath(path)} {
		var st unix.Stat_t
		if unix.Lstat(index, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Uid == 0 && st.Nlink == 1 {
			unix.Lchown(index, o.owner, -1)
		}
	}
}

// filepathWalk calls f with a path and, if it is a directory, all below.
func filepathWalk(path string, depth int, f func(string)) {
	info, err := os.Lstat(path)
	if err != nil || depth > userdb.MaxDepth || info.Mode()&fs.ModeSymlink != 0 {
		return
	}
	f(path)
	if !info.IsDir() {
		return
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			filepathWalk(path+"/"+e.Name(), depth+1, f)
		}
	}
}

func (u *userdbSource) name() string { return "userdb" }

func (u *userdbSource) lookup(_ context.Context, login, _ string) (*found, error) {
	r, err := u.db.Lookup(login)
	if err != nil {
		return nil, err
	}
	return &found{rec: r}, nil
}

func (u *userdbSource) resolve(_ context.Context, address, delimiter string) (*found, error) {
	r, err := u.db.Resolve(address, delimiter)
	if err != nil {
		return nil, err
	}
	return &found{rec: r}, nil
}

// changed has the process make room for one that starts as root, when a file
// cannot be read: an editor run by root may have made it anew.
func (u *userdbSource) changed() bool { return errors.Is(u.db.Check(), fs.ErrPermission) }

// serves looks through all users now and then.
func (u *userdbSource) serves(mechanism string) bool { return u.counted.serves(mechanism, u.db.All) }

// absent is a source whose file is not there. The process retires when it is.
type absent struct{ path, what string }

func (a *absent) name() string { return a.what }
func (a *absent) lookup(context.Context, string, string) (*found, error) {
	return nil, userdb.ErrUnknown
}
func (a *absent) serves(string) bool { return false }
func (a *absent) changed() bool {
	_, err := os.Lstat(a.path)
	return err == nil
}
