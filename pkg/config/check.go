package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Severity tells how bad a problem is.
type Severity int

// The severities. An Error keeps a program from starting, or makes it do what
// the site cannot want.
const (
	Note Severity = iota
	Caution
	Error
)

// String returns the word for messages.
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Caution:
		return "warning"
	}
	return "note"
}

// Problem is one finding of Check.
type Problem struct {
	File     string
	Line     int
	Col      int
	Severity Severity
	Text     string
}

// String returns "file:line:column: severity: text".
func (p Problem) String() string {
	if p.File == "" {
		// The text of a file that cannot be parsed names its place itself.
		return fmt.Sprintf("%s: %s", p.Severity, p.Text)
	}
	return fmt.Sprintf("%s: %s: %s", Pos{File: p.File, Line: p.Line, Col: p.Col}, p.Severity, p.Text)
}

// Check reads main.cf and master.cf in a directory, and returns what is wrong
// with them, worst last. The error is for files that cannot be read at all; a
// file that cannot be parsed is a problem.
func Check(dir string, opts ...Option) ([]Problem, error) {
	k := &checker{}
	c, err := Load(dir, opts...)
	if err != nil {
		if isFileError(err) {
			return nil, err
		}
		k.add(Pos{}, Error, "%v", err)
		return k.problems, nil
	}
	k.c = c
	m, err := LoadMaster(filepath.Join(dir, "master.cf"))
	if err != nil {
		if isFileError(err) && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		k.add(Pos{}, Error, "%v", err)
		m = &Master{}
	}
	k.m = m
	k.usage = FindUsage(c, m)
	k.all()
	slices.SortStableFunc(k.problems, func(a, b Problem) int { return int(a.Severity - b.Severity) })
	return k.problems, nil
}

// isFileError tells whether an error comes from the file system.
func isFileError(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission)
}

// checker collects problems.
type checker struct {
	c        *Config
	m        *Master
	usage    *Usage
	problems []Problem
}

func (k *checker) add(p Pos, s Severity, format string, args ...any) {
	k.problems = append(k.problems, Problem{File: p.File, Line: p.Line, Col: p.Col, Severity: s,
		Text: fmt.Sprintf(format, args...)})
}

// all runs the checks.
func (k *checker) all() {
	for _, w := range append(k.c.Warnings(), k.m.Warnings...) {
		k.add(w.Pos, Caution, "%s", w.Text)
	}
	for _, name := range k.c.order {
		k.setting(name)
	}
	k.defaults()
	for _, name := range k.usage.UndefinedMain {
		k.undefined(Pos{File: k.c.file}, name)
	}
	for _, name := range k.usage.UndefinedMaster {
		k.undefined(Pos{File: k.m.File}, name)
	}
	for i := range k.m.Services {
		k.service(&k.m.Services[i])
	}
}

func (k *checker) undefined(p Pos, name string) {
	k.add(p, Caution, "a value refers to the parameter %q, which is not defined%s", name, k.meant(name))
}

// setting checks one definition of main.cf.
func (k *checker) setting(name string) {
	e := k.c.entries[name]
	if slices.Contains(k.usage.UnusedMain, name) {
		k.add(e.NamePos, Caution, "unknown parameter %q, ignored%s", name, k.meant(name))
		return
	}
	p, ok := k.describe(name)
	if !ok {
		if _, err := k.c.Expand(e.Value); err != nil && !k.elsewhere(name) {
			k.add(e.Pos, Error, "%s: %v", name, err)
		}
		return
	}
	k.remark(p, e.NamePos)
	value, err := k.value(p, e.Value)
	if err != nil && !k.elsewhere(name) {
		k.add(e.Pos, Error, "%s = %s: %v", name, value, err)
	}
	if i := strings.Index(e.Value, " #"); i >= 0 && p.Type != Raw {
		k.add(e.Pos, Caution, "%s: text after # is part of the value; a comment needs a line of its own", name)
	}
}

// describe returns the description of a known parameter, dynamic ones
// included.
func (k *checker) describe(name string) (*Param, bool) {
	if _, ok := k.usage.Service[name]; ok {
		for _, t := range transportSuffixes() {
			if transport, ok := strings.CutSuffix(name, t.suffix); ok {
				p, err := k.c.transportParam(transport, t.suffix)
				if err == nil {
					base := k.c.params[t.def]
					p.Tier, p.Obeyed = '1', base == nil || base.Obeyed || k.c.params["transport"+t.suffix].Obeyed
					return p, true
				}
			}
		}
	}
	p, ok := k.c.params[name]
	return p, ok
}

// value expands and checks one value.
func (k *checker) value(p *Param, raw string) (string, error) {
	if p.Type == Raw {
		return raw, checkLength(p, raw)
	}
	value, err := k.c.Expand(raw)
	if err != nil {
		return raw, err
	}
	if value, err = k.c.indirect(p.Name, value); err != nil {
		return value, err
	}
	return value, k.c.checkValue(p, value)
}

// remark says so if setting the parameter has no effect.
func (k *checker) remark(p *Param, at Pos) {
	switch {
	case p.Obeyed:
	case p.Tier == 'X' || p.Tier == '3':
		k.add(at, Note, "%s has no effect here: %s", p.Name, p.Doc)
	default:
		k.add(at, Caution, "%s is not obeyed by any program yet", p.Name)
	}
}

// defaults expands the defaults that are in force, since they may refer to
// settings that are wrong.
func (k *checker) defaults() {
	for _, p := range Params() {
		if k.c.IsSet(p.Name) || p.Type == Legacy || perTransport(p.Name) || !strings.Contains(p.Default, "$") {
			continue
		}
		if value, err := k.value(&p, p.Default); err != nil && !k.elsewhere(p.Name) {
			k.add(Pos{File: k.c.file}, Error, "the default of %s does not work: %s: %v", p.Name, value, err)
		}
	}
}

// elsewhere tells whether the error in the value of a parameter is that of
// another one, to which it refers, and which is reported itself.
func (k *checker) elsewhere(name string) bool {
	raw, _ := k.c.Raw(name)
	return slices.ContainsFunc(references(raw), func(other string) bool {
		return k.fails(other) && !k.reaches(other, name, map[string]bool{})
	})
}

// fails tells whether a parameter has a value that does not work.
func (k *checker) fails(name string) bool {
	raw, ok := k.c.Raw(name)
	if !ok {
		return false
	}
	var err error
	if p, known := k.describe(name); known {
		_, err = k.value(p, raw)
	} else {
		_, err = k.c.Expand(raw)
	}
	return err != nil
}

// reaches tells whether a value refers to a parameter, if only by way of others.
func (k *checker) reaches(from, name string, seen map[string]bool) bool {
	if seen[from] {
		return false
	}
	seen[from] = true
	raw, _ := k.c.Raw(from)
	return slices.ContainsFunc(references(raw), func(other string) bool {
		return other == name || k.reaches(other, name, seen)
	})
}

// service checks the -o settings of one service.
func (k *checker) service(s *Service) {
	at := Pos{File: s.File, Line: s.Line}
	c := *k.c
	c.overrides = map[string]string{}
	c.defaults = map[string]string{}
	for name, v := range k.c.defaults {
		c.defaults[name] = v
	}
	c.defaults["service_name"], c.defaults["process_name"] = s.Name, baseName(s.Program)
	for _, o := range s.Overrides {
		c.overrides[o.Name] = o.Value
	}
	inner := &checker{c: &c, m: k.m, usage: k.usage}
	for _, o := range s.Overrides {
		if slices.ContainsFunc(k.usage.UnusedMaster, func(x UnusedOverride) bool { return x.Service == s && x.Name == o.Name }) {
			k.add(at, Caution, "service %s: unknown parameter %q, ignored%s", s.Name, o.Name, k.meant(o.Name))
			continue
		}
		p, ok := inner.describe(o.Name)
		if !ok {
			continue
		}
		if value, err := inner.value(p, o.Value); err != nil {
			k.add(at, Error, "service %s: %s = %s: %v", s.Name, o.Name, value, err)
		}
		k.remark(p, at)
	}
}

// meant returns a suggestion for a misspelt name.
func (k *checker) meant(name string) string {
	best, distance := "", len(name)/4+1
	try := func(candidate string) {
		d := editDistance(name, candidate, distance)
		if d < distance || d == distance && best == "" {
			best, distance = candidate, d
		}
	}
	for _, p := range Params() {
		if p.Type != Legacy {
			try(p.Name)
		}
	}
	for candidate := range k.usage.Service {
		try(candidate)
	}
	if best == "" || best == name {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance returns the number of insertions, deletions, replacements and
// swaps that turn a into b, or limit+1 if it is more than limit.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit || len(a) > 200 {
		return limit + 1
	}
	rows := [3][]int{}
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row := rows[(i-1)%3], rows[i%3], rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return min(rows[(len(a)+1)%3][len(b)], limit+1)
}
