package usertool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
)

// Domain is a domain that is hosted here. Target is another one whose users get
// its mail, and "" for a domain of its own.
type Domain struct {
	Name, Target string
	Line         Line
}

// CheckDomain refuses what is no domain name.
func CheckDomain(name string) error {
	ascii, err := address.ToASCII(name)
	if err != nil {
		return fmt.Errorf("%q is not a domain name", name)
	}
	if ascii == "" || len(ascii) > 253 || strings.HasPrefix(ascii, ".") || strings.HasSuffix(ascii, ".") || strings.Contains(ascii, "..") {
		return fmt.Errorf("%q is not a domain name", name)
	}
	for _, c := range ascii {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return fmt.Errorf("%q is not a domain name", name)
		}
	}
	return nil
}

// ReadDomains reads hosteddomains: "domain" or "alias<TAB>domain" in a line.
func ReadDomains(path string) ([]Domain, error) {
	lines, err := ReadSource(path)
	if err != nil {
		return nil, err
	}
	var list []Domain
	seen := map[string]Line{}
	var problems []error
	for _, l := range lines {
		fields := strings.Fields(l.Text)
		d := Domain{Name: strings.ToLower(fields[0]), Line: l}
		if len(fields) == 2 {
			d.Target = strings.ToLower(fields[1])
		}
		var err error
		switch {
		case len(fields) > 2:
			err = l.Errorf("expected a domain, or an alias, a tab and a domain")
		case seen[d.Name].File != "":
			err = l.Errorf("%s is in %s:%d, too", d.Name, seen[d.Name].File, seen[d.Name].Number)
		default:
			for _, f := range fields {
				if e := CheckDomain(strings.TrimPrefix(f, ".")); e != nil {
					err = l.Errorf("%v", e)
				}
			}
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		seen[d.Name] = l
		list = append(list, d)
	}
	for _, d := range list {
		if d.Target != "" && seen[d.Target].File == "" {
			problems = append(problems, d.Line.Errorf("%s is not a hosted domain", d.Target))
		}
	}
	return list, errors.Join(problems...)
}

// Hosted is the file of hosted domains, or the directory.
func (s *Site) Hosted() string { return filepath.Join(s.Dir, HostedFile) }

// MakeHosted makes the table of hosted domains: each domain, and the domain
// whose users get its mail.
func (s *Site) MakeHosted() error {
	list, err := ReadDomains(s.Hosted())
	if err != nil {
		return err
	}
	var pairs []Pair
	for _, d := range list {
		target := d.Target
		if target == "" {
			target = d.Name
		}
		pairs = append(pairs, Pair{d.Name, target})
	}
	return s.WriteMap(s.Hosted(), pairs)
}

// hostedFile is the file that commands edit: of a directory, the one with the
// name of the domain.
func (s *Site) hostedFile(name string) string {
	if info, err := os.Stat(s.Hosted()); err == nil && info.IsDir() {
		return filepath.Join(s.Hosted(), name)
	}
	return s.Hosted()
}

// AddDomain adds a hosted domain, or an alias of one, and makes the table.
func (s *Site) AddDomain(name, target string) error {
	name, target = strings.ToLower(name), strings.ToLower(target)
	for _, d := range []string{name, target} {
		if d != "" || d == name {
			if err := CheckDomain(d); err != nil {
				return err
			}
		}
	}
	list, err := ReadDomains(s.Hosted())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	has := func(name string) bool {
		return slices.ContainsFunc(list, func(d Domain) bool { return d.Name == name })
	}
	if has(name) {
		return fmt.Errorf("%s is hosted already", name)
	}
	if target != "" && !has(target) {
		return fmt.Errorf("%s is not a hosted domain", target)
	}
	line := name
	if target != "" {
		line += "\t" + target
	}
	err = EditLines(s.hostedFile(name), func(lines []string) ([]string, error) { return append(lines, line), nil })
	if err != nil {
		return err
	}
	return s.MakeHosted()
}

// DeleteDomain takes a domain out, and makes the table. The aliases of a domain
// have to go first.
func (s *Site) DeleteDomain(name string) error {
	name = strings.ToLower(name)
	list, err := ReadDomains(s.Hosted())
	if err != nil {
		return err
	}
	file := ""
	for _, d := range list {
		if d.Target == name {
			return fmt.Errorf("%s is an alias of %s: delete that first", d.Name, name)
		}
		if d.Name == name {
			file = d.Line.File
		}
	}
	if file == "" {
		return fmt.Errorf("%s is not hosted", name)
	}
	err = EditLines(file, func(lines []string) ([]string, error) {
		return slices.DeleteFunc(lines, func(l string) bool {
			fields := strings.Fields(l)
			return len(fields) > 0 && strings.EqualFold(fields[0], name)
		}), nil
	})
	if err != nil {
		return err
	}
	return s.MakeHosted()
}
