package usertool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/alias"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Alias is an address, a name without a domain, or @domain, and what it stands
// for.
type Alias struct {
	Name    string
	Targets []alias.Target
	Line    Line
}

// ReadAliases reads the aliases of Courier: "name: address, address", with
// further lines that start with white space. path is a file or a directory.
func ReadAliases(path string) ([]Alias, error) {
	lines, err := ReadSource(path)
	if err != nil {
		return nil, err
	}
	var list []Alias
	var problems []error
	index := map[string]int{}
	for i := 0; i < len(lines); {
		l := lines[i]
		text := l.Text
		for i++; i < len(lines) && lines[i].File == l.File && strings.ContainsAny(lines[i].Text[:1], " \t"); i++ {
			text += " " + strings.TrimSpace(lines[i].Text)
		}
		a, err := parseAlias(text, l)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		// The same name again adds to it, as in Courier.
		if j, again := index[a.Name]; again {
			list[j].Targets = appendNew(list[j].Targets, a.Targets)
			continue
		}
		index[a.Name] = len(list)
		list = append(list, a)
	}
	return list, errors.Join(problems...)
}

func parseAlias(text string, l Line) (Alias, error) {
	name, value, ok := strings.Cut(text, ":")
	name = strings.ToLower(strings.TrimSpace(strings.Trim(name, `"`)))
	if !ok || name == "" || strings.ContainsAny(name, " \t,|/") {
		return Alias{}, l.Errorf("expected \"alias: address, address\"")
	}
	if domain, whole := strings.CutPrefix(name, "@"); whole {
		if err := CheckDomain(domain); err != nil {
			return Alias{}, l.Errorf("%v", err)
		}
	}
	targets, err := alias.Parse(value)
	if err != nil {
		return Alias{}, l.Errorf("%s: %v", name, err)
	}
	targets, err = includes(targets, l)
	if err != nil {
		return Alias{}, err
	}
	if len(targets) == 0 {
		return Alias{}, l.Errorf("%s: no address", name)
	}
	return Alias{Name: name, Targets: targets, Line: l}, nil
}

// includes reads the files of :include:, which Courier does when the database
// is made.
func includes(targets []alias.Target, l Line) ([]alias.Target, error) {
	var list []alias.Target
	for _, t := range targets {
		if t.Kind != alias.Include {
			list = append(list, t)
			continue
		}
		f, err := os.Open(t.Value)
		if err != nil {
			return nil, l.Errorf("%v", err)
		}
		more, err := alias.Read(io.LimitReader(f, maxSource), t.Value)
		f.Close()
		if err != nil {
			return nil, err
		}
		for _, m := range more {
			if m.Kind == alias.Include {
				return nil, l.Errorf("%s: includes another file", t.Value)
			}
		}
		list = append(list, more...)
	}
	return list, nil
}

func appendNew(list, more []alias.Target) []alias.Target {
	for _, t := range more {
		if !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	return list
}

// IsLocal tells whether an alias has targets that only local(8) can deliver to:
// commands and files.
func (a Alias) IsLocal() bool {
	return slices.ContainsFunc(a.Targets, func(t alias.Target) bool { return t.Kind == alias.Command || t.Kind == alias.File })
}

// Value is the right-hand side in a table.
func (a Alias) Value() string {
	var parts []string
	for _, t := range a.Targets {
		text := t.Value
		switch {
		case t.Kind == alias.Command:
			text = `"|` + t.Value + `"`
		case t.Escaped:
			text = `\` + t.Value
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

// LocalSuffix names the table of the aliases that local(8) has to expand.
const LocalSuffix = ".local"

// WriteAliases writes the two tables that come of a source: SOURCE.map for
// virtual_alias_maps, and SOURCE.local, in the form of aliases(5), for
// alias_maps. An alias for commands or files must be a plain name.
func (s *Site) WriteAliases(source string, list []Alias) error {
	var pairs []Pair
	var local []Alias
	var problems []error
	for _, a := range list {
		switch {
		case !a.IsLocal():
			pairs = append(pairs, Pair{a.Name, a.Value()})
		case strings.Contains(a.Name, "@"):
			problems = append(problems, a.Line.Errorf("%s: a command or a file needs an alias without a domain; let this one lead to it", a.Name))
		default:
			local = append(local, a)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	var files safefile.FS
	err := files.WriteAtomic(source+LocalSuffix, 0o644, func(w io.Writer) error {
		out := bufio.NewWriter(w)
		fmt.Fprintf(out, "# Made from %s, which is the file to edit.\n", filepath.Base(source))
		for _, a := range local {
			fmt.Fprintf(out, "%s: %s\n", a.Name, a.Value())
		}
		return out.Flush()
	})
	if err != nil {
		return err
	}
	return s.WriteMap(source, pairs)
}
