package check

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// service checks what a line of master.cf names.
func (k *checker) service(s *config.Service) {
	at := config.Pos{File: s.File, Line: s.Line}
	k.program(s, at)
	if len(s.Overrides) == 0 {
		return
	}
	c := k.c.With(config.WithOverrides(s.Overrides), config.WithService(s.Name, filepath.Base(s.Program)))
	for _, o := range s.Overrides {
		k.parameter(c, o.Name, at)
	}
	if filepath.Base(s.Program) == "smtpd" && affects(s.Overrides) {
		k.restrictions(c, at, "service "+s.Name+": ")
	}
}

// absent are the programs of Postfix that this suite does without or does not
// have yet. Lines for them are in most sites' master.cf, and few use them all,
// so they do not keep the mail system from running.
var absent = []string{"pipe", "scache", "verify", "postscreen", "dnsblog", "tlsproxy", "spawn", "oqmgr", "nqmgr", "qmqpd", "nbdb_reindexd"}

// program checks that the program of a service is there.
func (k *checker) program(s *config.Service, at config.Pos) {
	path := s.Program
	if !filepath.IsAbs(path) {
		dir, err := k.c.Value("daemon_directory")
		if err != nil {
			return
		}
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && (info.IsDir() || info.Mode()&0o111 == 0):
		k.add(at, config.Error, fmt.Sprintf("service %s: %s is not a program", s.Name, path))
	case err == nil && s.Name == "proxywrite":
		k.add(at, config.Caution, "service proxywrite: tables cannot be written through proxymap here; remove the line")
	case err == nil:
		k.mode(path, config.Error)
	case slices.Contains(absent, s.Program):
		k.add(at, config.Caution, fmt.Sprintf("service %s: this suite has no %s; the service will not work", s.Name, s.Program))
	default:
		k.add(at, config.Error, fmt.Sprintf("service %s: %v", s.Name, err))
	}
}

// transport checks that a parameter names a transport that exists.
func (k *checker) transport(s *setting) {
	name, _, _ := strings.Cut(s.value, ":")
	if len(k.m.Services) == 0 || name == "" || strings.ContainsAny(name, " ,/") || k.m.Find(name, "unix") != nil {
		return
	}
	// A default that master.cf cannot serve only matters when mail comes
	// that needs it; old files lack some lines.
	severity := config.Note
	if s.c.IsSet(s.name) {
		severity = config.Error
	}
	k.add(s.at(name), severity, fmt.Sprintf("%s: master.cf has no service %q of type unix", s.name, name))
}

// proxymap checks that somebody answers for proxy: tables.
func (k *checker) proxymap() {
	if k.tables["proxy"] && len(k.m.Services) > 0 && k.m.Find("proxymap", "unix") == nil {
		k.add(config.Pos{File: k.m.File}, config.Error, "there are proxy: tables, but no service proxymap of type unix")
	}
}
