// Package check finds out what is wrong with a configuration before a daemon
// does: beyond what config.Check sees in main.cf and master.cf themselves it
// looks at the tables, restrictions, programs and files that they name.
//
// It opens tables but asks them nothing, talks to nobody and changes nothing.
package check

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// All returns what is wrong with the configuration in a directory, worst last.
// The error is for files that cannot be read at all.
func All(dir string, opts ...config.Option) ([]config.Problem, error) {
	problems, err := config.Check(dir, opts...)
	if err != nil {
		return nil, err
	}
	k := &checker{problems: problems, tables: map[string]bool{}, names: map[string]bool{}, files: map[string]bool{}}
	if k.c, err = config.Load(dir, opts...); err != nil {
		// config.Check has said so.
		return problems, nil
	}
	if k.m, err = config.LoadMaster(filepath.Join(dir, "master.cf")); err != nil {
		k.m = &config.Master{}
	}
	k.all(dir)
	slices.SortStableFunc(k.problems, func(a, b config.Problem) int { return int(a.Severity - b.Severity) })
	return k.problems, nil
}

// checker collects problems.
type checker struct {
	c        *config.Config
	m        *config.Master
	problems []config.Problem
	tables   map[string]bool // specifications that were looked at
	names    map[string]bool // paths of the tables among them
	files    map[string]bool // files whose owner and mode were looked at
}

func (k *checker) add(at config.Pos, s config.Severity, text string) {
	p := config.Problem{File: at.File, Line: at.Line, Col: at.Col, Severity: s, Text: text}
	if !slices.Contains(k.problems, p) {
		k.problems = append(k.problems, p)
	}
}

// setting is the value of a parameter that is in force somewhere.
type setting struct {
	c     *config.Config
	name  string
	value string // expanded
	entry config.Entry
	from  config.Pos // of a service's -o setting, else empty
}

// at returns the place of a word of the setting, if the word stands in main.cf
// as it is.
func (s *setting) at(word string) config.Pos {
	if s.from.File != "" {
		return s.from
	}
	if i := strings.Index(s.entry.Value, word); i >= 0 && word != "" {
		return s.entry.At(i)
	}
	if s.entry.Pos.File == "" {
		return config.Pos{File: s.c.File()}
	}
	return s.entry.Pos
}

// all runs the checks.
func (k *checker) all(dir string) {
	k.mode(k.c.File(), config.Error)
	k.mode(filepath.Join(dir, "master.cf"), config.Error)
	// What the site wrote comes first, so that a problem is reported there and
	// not at a default that repeats the value.
	for _, name := range k.c.Names() {
		k.parameter(k.c, name, config.Pos{})
	}
	for _, p := range config.Params() {
		if !k.c.IsSet(p.Name) {
			k.parameter(k.c, p.Name, config.Pos{})
		}
	}
	k.restrictions(k.c, config.Pos{}, "")
	for i := range k.m.Services {
		k.service(&k.m.Services[i])
	}
	k.indexes(dir)
	k.proxymap()
}

// parameter checks the value that a parameter has in c.
func (k *checker) parameter(c *config.Config, name string, from config.Pos) {
	value, err := c.Value(name)
	if err != nil || value == "" || strings.HasPrefix(name, "proxy_") {
		// An error was found with the expansion; the lists of proxymap repeat
		// the values of others.
		return
	}
	s := &setting{c: c, name: name, value: value, from: from}
	s.entry, _ = c.Entry(name)
	k.tablesIn(s, value, 0)
	if strings.HasSuffix(name, "_transport") || name == "content_filter" {
		k.transport(s)
	}
	if strings.HasSuffix(name, "_key_file") && c.IsSet(name) {
		k.secret(s)
	}
	if name == "auth_sources" || name == "userdb_path" {
		k.users(c, from)
	}
}
