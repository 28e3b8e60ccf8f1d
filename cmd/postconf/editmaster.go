package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// masterChange is one request to change master.cf.
type masterChange struct {
	request
	value string
	done  bool
}

// editMaster changes master.cf.
func (a *app) editMaster() error {
	changes, err := a.masterChanges()
	if err != nil {
		return err
	}
	path := filepath.Join(a.dir, "master.cf")
	return rewrite(path, func(content string) (string, error) {
		return a.changeMaster(path, content, changes)
	})
}

// masterChanges parses the arguments for master.cf.
func (a *app) masterChanges() ([]*masterChange, error) {
	parts, want, name := 3, "-Fe or -FX requires service_name/type/field_name", "field"
	switch {
	case a.flags['M']:
		parts, want = 2, "-Me, -MX or -M# requires service_name/type"
	case a.flags['P']:
		want, name = "-Pe or -PX requires service_name/type/parameter", "parameter"
	}
	var list []*masterChange
	for _, arg := range a.args {
		c := &masterChange{}
		c.text = arg
		key, value, ok := strings.Cut(arg, "=")
		key, c.value = strings.TrimSpace(key), strings.TrimSpace(value)
		words := strings.Split(key, "/")
		switch {
		case key == "" && a.kind() == replace:
			return nil, fmt.Errorf("missing attribute name: %q", arg)
		case !ok && a.kind() == replace, strings.ContainsAny(key, " \t"):
			return nil, fmt.Errorf("missing '=' after attribute name: %q", arg)
		case ok && a.kind() != replace:
			return nil, fmt.Errorf("-X or -# requires names without value: %q", arg)
		case len(words) < parts || slices.Contains(words, "") || slices.ContainsFunc(words, partPattern):
			return nil, errors.New(want)
		}
		// A service name may contain slashes.
		n := len(words) - parts + 1
		c.service, c.typ = strings.Join(words[:n], "/"), words[n]
		if parts == 3 {
			c.third = words[n+1]
		}
		if err := a.checkChange(c, name); err != nil {
			return nil, err
		}
		if a.flags['M'] && a.kind() == replace {
			list = slices.DeleteFunc(list, func(earlier *masterChange) bool {
				if again := earlier.service == c.service && earlier.typ == c.typ; !again {
					return false
				}
				a.warn("ignoring earlier request: '%s'", earlier.text)
				return true
			})
		}
		list = append(list, c)
	}
	return list, nil
}

// checkChange refuses what would not make an entry.
func (a *app) checkChange(c *masterChange, name string) error {
	switch {
	case c.third == "*" && !a.flags['M']:
		return fmt.Errorf("-%ce does not accept wild-card %s name", name[0]&^0x20, name)
	case a.flags['F'] && !slices.Contains(fieldNames(), c.third):
		return fmt.Errorf("invalid service attribute name: %q", c.third)
	case a.flags['F'] && c.third != "command" && strings.ContainsAny(c.value, " \t"):
		return errors.New("-Fe does not accept whitespace in non-command field")
	case a.flags['M'] && a.kind() == replace:
		if c.service == "*" || c.typ == "*" {
			return errors.New("-Me does not accept a wild-card service name or type")
		}
		if _, err := parseEntry(c.value); err != nil {
			return fmt.Errorf("%w: %q", err, c.text)
		}
	}
	return nil
}

// parseEntry parses one entry of master.cf.
func parseEntry(text string) (*config.Service, error) {
	m, err := config.ParseMaster(strings.NewReader(text), "master.cf")
	if err != nil {
		return nil, unwrapAll(err)
	}
	if len(m.Services) != 1 {
		return nil, errors.New("need one entry")
	}
	return &m.Services[0], nil
}

// changeMaster applies changes to the text of master.cf. Only an entry that is
// changed has to make sense, so that a mistake elsewhere, or in an entry that
// goes, can be put right.
func (a *app) changeMaster(path, content string, changes []*masterChange) (string, error) {
	var failed error
	content = editLines(content, func(number int, text string) (action, string) {
		what, line, err := a.changeEntry(text, changes)
		if err != nil && failed == nil {
			failed = fmt.Errorf("%s:%d: %w", path, number, err)
		}
		return what, line
	})
	if failed != nil {
		return "", failed
	}
	for _, c := range changes {
		switch {
		case c.done:
		case a.flags['M'] && a.kind() == replace:
			s, err := parseEntry(c.value)
			if err != nil {
				return "", err
			}
			line, err := a.entryText(s, true)
			if err != nil {
				return "", err
			}
			content = addLine(content, line)
		case !a.flags['M']:
			a.warn("unmatched service_name/type: %q", c.text)
		}
	}
	return content, nil
}

// changeEntry applies changes to one entry.
func (a *app) changeEntry(text string, changes []*masterChange) (action, string, error) {
	words := strings.Fields(text)
	if len(words) < 2 {
		return keep, "", fmt.Errorf("specify service name and type on the same line: %q", text)
	}
	head := &config.Service{Name: words[0], Type: words[1]}
	var s *config.Service
	for _, c := range changes {
		if !c.match(head) {
			continue
		}
		if c.done && a.flags['M'] && a.kind() == replace {
			return remove, "", nil // one entry takes the place of several
		}
		c.done = true
		var err error
		if s == nil && !a.flags['M'] {
			if s, err = parseEntry(text); err != nil {
				return keep, "", err
			}
		}
		switch {
		case a.flags['M'] && a.kind() != replace:
			return a.kind(), "", nil
		case a.flags['M']:
			s, err = parseEntry(c.value)
		case a.flags['F']:
			s, err = a.setField(s, c.third, c.value)
		default:
			s, err = a.setOverride(s, c.third, c.value)
		}
		if err != nil {
			return keep, "", err
		}
	}
	if s == nil {
		return keep, "", nil
	}
	line, err := a.entryText(s, true)
	return replace, line, err
}

// setField changes one column of an entry.
func (a *app) setField(s *config.Service, field, value string) (*config.Service, error) {
	fields := s.Fields
	fields[slices.Index(fieldNames(), field)] = value
	text := strings.Join(fields[:], " ")
	if field != "command" {
		if value == "" {
			return nil, fmt.Errorf("field %q cannot have the value %q", field, value)
		}
		args, err := a.argumentText(s)
		if err != nil {
			return nil, err
		}
		text += " " + strings.Join(args, " ")
	}
	return parseEntry(text)
}

// setOverride changes, adds or with -X removes a -o setting of an entry.
func (a *app) setOverride(s *config.Service, name, value string) (*config.Service, error) {
	args, err := a.argumentList(s)
	if err != nil {
		return nil, err
	}
	setting, err := a.optionText(s, name+"="+value)
	if err != nil {
		return nil, err
	}
	var words []string
	at, done := 0, a.kind() == remove
	for _, x := range args {
		if x.value && optionName(x.text) == name {
			if done {
				continue
			}
			x.text, done = setting, true
		}
		words = append(words, x.text)
		if x.option {
			at = len(words)
		}
	}
	if !done {
		words = slices.Insert(words, at, setting)
	}
	return parseEntry(strings.Join(append(s.Fields[:], words...), " "))
}

// optionName returns the name in "-o name=value".
func optionName(text string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(text, "-o "), "{"), "=")
	return strings.TrimSpace(name)
}
