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
	parts, want := 3, "-Fe requires service_name/type/field"
	switch {
	case a.flags['M']:
		parts, want = 2, "-Me, -MX or -M# requires service_name/type"
	case a.flags['P']:
		want = "-Pe or -PX requires service_name/type/parameter"
	}
	var list []*masterChange
	for _, arg := range a.args {
		key, value := strings.TrimSpace(arg), ""
		if a.kind() == replace {
			var ok bool
			if key, value, ok = strings.Cut(arg, "="); !ok {
				return nil, fmt.Errorf("missing '=' after attribute name: %q", arg)
			}
		}
		words := strings.Split(strings.TrimSpace(key), "/")
		if len(words) < parts || slices.Contains(words, "") {
			return nil, errors.New(want)
		}
		// A service name may contain slashes.
		n := len(words) - parts + 1
		c := &masterChange{value: strings.TrimSpace(value)}
		c.text, c.service, c.typ = arg, strings.Join(words[:n], "/"), words[n]
		if parts == 3 {
			c.third = words[n+1]
		}
		if a.flags['F'] && !slices.Contains(fieldNames(), c.third) {
			return nil, fmt.Errorf("invalid service attribute name: %q", c.third)
		}
		if a.flags['M'] && a.kind() == replace {
			if _, err := parseEntry(c.value); err != nil {
				return nil, fmt.Errorf("%w: %q", err, arg)
			}
		}
		list = append(list, c)
	}
	return list, nil
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

// changeMaster applies changes to the text of master.cf.
func (a *app) changeMaster(path, content string, changes []*masterChange) (string, error) {
	if _, err := config.ParseMaster(strings.NewReader(content), path); err != nil {
		return "", err
	}
	var failed error
	content = editLines(content, func(text string) (action, string) {
		s, err := parseEntry(text)
		if err != nil {
			failed = err
			return keep, ""
		}
		what, line, err := a.changeEntry(s, changes)
		if err != nil {
			failed = err
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
			content += line + "\n"
		default:
			a.warn("unmatched service_name/type: %q", c.text)
		}
	}
	_, err := config.ParseMaster(strings.NewReader(content), path)
	return content, err
}

// changeEntry applies changes to one entry.
func (a *app) changeEntry(s *config.Service, changes []*masterChange) (action, string, error) {
	what := keep
	for _, c := range changes {
		if !c.match(s) {
			continue
		}
		c.done = true
		var err error
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
		what = replace
	}
	if what == keep {
		return keep, "", nil
	}
	line, err := a.entryText(s, true)
	return what, line, err
}

// setField changes one column of an entry.
func (a *app) setField(s *config.Service, field, value string) (*config.Service, error) {
	fields := s.Fields
	fields[slices.Index(fieldNames(), field)] = value
	text := strings.Join(fields[:], " ")
	if field != "command" {
		if strings.ContainsAny(value, " \t") || value == "" {
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
