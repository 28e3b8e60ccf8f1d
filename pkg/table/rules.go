package table

import (
	"context"
	"errors"
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
		rules, err := inlineRules(kind, name)
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
		if line == pattern.NoLine {
			o.warn(format, args...)
			return
		}
		o.warn("%s map %s, line %d: %s", kind, name, line, fmt.Sprintf(format, args...))
	}
	d := pattern.Delimited{Warn: warn, RefuseSubstitution: o.RefuseSubstitution || o.Sensitive}
	switch kind {
	case "cidr":
		return pattern.ReadCIDR(r, name, warn)
	case "pcre":
		d.Compile, d.Flags = pcre.Compile, pcre.Flags
		d.NoDelimiter, d.OutOfRange = "ignoring this rule", "out of range"
	default:
		d.NoDelimiter, d.OutOfRange = "skipping this rule", "out-of-range"
		d.Flags = "imx"
		d.Compile = func(expression, flags string) (pattern.Matcher, error) {
			m, err := pattern.POSIX(expression, flags, pcre.Backtrack)
			if err != nil {
				// The C library's messages begin with a capital.
				reason := err.Error()
				err = errors.New(strings.ToUpper(reason[:1]) + reason[1:])
			}
			return m, err
		}
	}
	return d.Read(r, name)
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
