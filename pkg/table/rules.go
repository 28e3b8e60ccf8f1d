package table

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/table/pattern"
	"github.com/posthouse-mail/posthouse/pkg/table/pcre"
)

// ruleTable is a regexp, pcre or cidr table.
type ruleTable struct {
	sources
	rules *pattern.Set
	name  string
}

// openRules reads a table of rules from a file, or from the name itself if
// that is in braces.
func openRules(kind, name string, o *Options) (Table, error) {
	t := &ruleTable{name: name}
	var r io.Reader
	var f *os.File
	if strings.HasPrefix(name, "{") {
		rules, err := inlineRules(name)
		if err != nil {
			return nil, err
		}
		r = strings.NewReader(rules)
	} else {
		var err error
		if f, _, err = openSource(name); err != nil {
			return nil, err
		}
		if err := t.watch(f); err != nil {
			f.Close()
			return nil, err
		}
		r = f
	}
	var err error
	if t.rules, err = readRules(kind, name, r, o); err != nil {
		t.Close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return t, nil
}

func readRules(kind, name string, r io.Reader, o *Options) (*pattern.Set, error) {
	warn := func(line int, format string, args ...any) {
		o.warn("%s map %s, line %d: %s", kind, name, line, fmt.Sprintf(format, args...))
	}
	d := pattern.Delimited{Warn: warn, RefuseSubstitution: o.RefuseSubstitution || o.Sensitive}
	switch kind {
	case "cidr":
		return pattern.ReadCIDR(r, warn)
	case "pcre":
		d.Compile, d.Flags = pcre.Compile, pcre.Flags
	default:
		d.Flags = "imx"
		d.Compile = func(expression, flags string) (pattern.Matcher, error) {
			return pattern.POSIX(expression, flags, pcre.Backtrack)
		}
	}
	return d.Read(r)
}

func (t *ruleTable) Lookup(_ context.Context, key string) (string, bool, error) {
	v, found, err := t.rules.Lookup(key)
	if err != nil {
		return "", false, fmt.Errorf("%s: %w", t.name, err)
	}
	return v, found, nil
}

func (t *ruleTable) Pattern() bool { return true }
func (t *ruleTable) Close() error  { return t.sources.close() }
