// Package usertool is what the commands for users and domains share: where the
// site keeps its user database, who owns it, and how a person types a
// password.
package usertool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// defaultConfig is where main.cf is unless -c or MAIL_CONFIG says otherwise.
const defaultConfig = "/etc/posthouse"

// Params is what main.cf says about users.
type Params struct {
	Path       string `param:"userdb_path"`
	Owner      string `param:"auth_owner"`
	Scheme     string `param:"password_scheme"`
	MailUID    string `param:"mail_uid"`
	MailGID    string `param:"mail_gid"`
	MailHome   string `param:"mail_home"`
	QueueDir   string `param:"queue_directory"`
	CommandDir string `param:"command_directory"`
	Delimiter  string `param:"recipient_delimiter"`
	Hostname   string `param:"myhostname"`
	Domain     string `param:"mydomain"`
}

// Site is one installation.
type Site struct {
	Params
	Dir      string // the configuration directory
	Config   *config.Config
	uid, gid int // of auth_owner; -1 where we cannot give files away
}

// ConfigDir is the directory of main.cf: the one that was named, or else the
// one of the environment, or the default.
func ConfigDir(named string) string {
	for _, dir := range []string{named, os.Getenv("MAIL_CONFIG")} {
		if dir != "" {
			return dir
		}
	}
	return defaultConfig
}

// Open reads the configuration in a directory.
func Open(dir string) (*Site, error) {
	cfg, err := config.Load(ConfigDir(dir))
	if err != nil {
		return nil, err
	}
	s := &Site{Dir: cfg.Dir(), Config: cfg, uid: -1, gid: -1}
	if err := cfg.Fill(&s.Params); err != nil {
		return nil, err
	}
	s.Path = strings.TrimRight(s.Path, "/")
	if os.Geteuid() == 0 {
		if u, err := user.Lookup(s.Owner); err == nil {
			s.uid, _ = strconv.Atoi(u.Uid)
			s.gid, _ = strconv.Atoi(u.Gid)
		}
	}
	return s, nil
}

// EditOptions say who owns files that are made.
func (s *Site) EditOptions() userdb.EditOptions { return userdb.EditOptions{UID: s.uid, GID: s.gid} }

// Options are for reading the database.
func (s *Site) Options(problem func(error)) userdb.Options {
	return userdb.Options{Owner: s.uid, Problem: problem}
}

// MakeOptions are for making the index of a database. Those who have no
// auth_owner read and write files of their own.
func (s *Site) MakeOptions() userdb.MakeOptions {
	return userdb.MakeOptions{Owner: s.uid, UID: s.uid, GID: s.gid}
}

// FileOf takes a name in the form of Courier's userdb apart: path/user is the
// user in the file path of the database.
func (s *Site) FileOf(name string) (file, login string) {
	dir, login := filepath.Split(name)
	if dir == "" {
		return s.Path, login
	}
	return filepath.Join(s.Path, filepath.Clean("/"+dir)), login
}

// plainFile is the file of logins without a domain.
const plainFile = "users"

// HomeOf is the file where a new login goes: the database itself where it is a
// file; else the file of its domain.
func (s *Site) HomeOf(login string) (string, error) {
	info, err := os.Stat(s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := s.MakeDir(s.Path); err != nil {
			return "", err
		}
	case err != nil:
		return "", err
	case !info.IsDir():
		return s.Path, nil
	}
	name := plainFile
	if i := strings.LastIndexByte(login, '@'); i >= 0 {
		name = strings.ToLower(login[i+1:])
	}
	if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("%q is not a domain", name)
	}
	return filepath.Join(s.Path, name), nil
}

// MakeDir makes a private directory of auth_owner's.
func (s *Site) MakeDir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if s.uid < 0 {
		return nil
	}
	return os.Lchown(path, s.uid, s.gid)
}

// Files lists the files of the database, as makeuserdb reads them.
func (s *Site) Files() ([]string, error) {
	return userdb.Files(s.Path, s.Options(nil))
}

// Find returns the file that has the record of a login, or ErrUnknown.
func (s *Site) Find(login string) (string, error) {
	files, err := s.Files()
	if errors.Is(err, fs.ErrNotExist) {
		return "", userdb.ErrUnknown
	}
	if err != nil {
		return "", err
	}
	for _, path := range files {
		f, err := userdb.ReadFile(path)
		if err != nil {
			return "", err
		}
		if _, ok := f.Fields(login); ok {
			return path, nil
		}
	}
	return "", userdb.ErrUnknown
}

// OnlyConfig reads the command line of a command that has no option but -c.
func OnlyConfig(name string, args []string) (dir string, err error) {
	switch {
	case len(args) == 0:
		return "", nil
	case len(args) == 2 && args[0] == "-c":
		return args[1], nil
	}
	return "", fmt.Errorf("usage: %s [-c config_dir]", name)
}
