package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// showParameters shows parameters of main.cf.
func (a *app) showParameters() error {
	names := a.args
	if len(names) == 0 {
		names = a.allNames()
	}
	for _, name := range names {
		if !a.exists(name) {
			a.warn("%s: unknown parameter", name)
			continue
		}
		if len(a.args) == 0 && a.flags['n'] && !a.isSet(name) {
			continue
		}
		if a.flags['n'] && !a.isSet(name) {
			continue
		}
		value, err := a.value(name)
		if err != nil {
			return err
		}
		a.printPair(name, value)
	}
	return nil
}

// exists tells whether there is such a parameter.
func (a *app) exists(name string) bool {
	if _, ok := a.usage.Service[name]; ok {
		return true
	}
	return config.IsBuiltin(name) || a.usage.User[name]
}

// isSet tells whether a parameter is set by main.cf, -o or by what the command
// line says about the directory.
func (a *app) isSet(name string) bool {
	return a.cfg.IsSet(name) || name == "config_directory" && a.dirGiven
}

// allNames returns the sorted names of the classes that are asked for.
func (a *app) allNames() []string {
	var names []string
	want := func(class string) bool {
		return len(a.classes) == 0 || slices.Contains(a.classes, class) || slices.Contains(a.classes, "all")
	}
	if want("builtin") {
		for _, p := range config.Params() {
			if config.IsBuiltin(p.Name) {
				names = append(names, p.Name)
			}
		}
	}
	if want("service") {
		for name := range a.usage.Service {
			names = append(names, name)
		}
		names = append(names, a.usage.ServiceBuiltin...)
	}
	if want("user") {
		for name := range a.usage.User {
			if _, ok := a.usage.Service[name]; !ok && !config.IsBuiltin(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// value returns what to show for a parameter.
func (a *app) value(name string) (string, error) {
	raw, ok := a.cfg.Raw(name)
	if a.flags['d'] {
		raw, ok = a.cfg.Default(name)
		if name == "config_directory" {
			p, _ := config.Find(name)
			raw = p.Default
		}
	}
	if def, service := a.usage.Service[name]; service && (a.flags['d'] || !a.cfg.IsSet(name)) {
		raw, ok = def, true
	}
	if !ok {
		return "", nil
	}
	if p, _ := config.Find(name); !a.flags['x'] || p.Type == config.Raw {
		return raw, nil
	}
	v, err := a.cfg.ExpandWith(raw, a.usage)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// printPair prints name and value as the options say.
func (a *app) printPair(name, value string) {
	switch {
	case a.flags['h']:
		a.printLine(value)
	case a.flags['H']:
		a.printLine(name)
	default:
		a.printLine(name + " = " + value)
	}
}

// The limits of folded lines.
const (
	lineLimit = 80
	indent    = "    "
)

// printLine prints words with one space between, on several lines with -f.
func (a *app) printLine(text string) {
	var b strings.Builder
	length := 0
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n", r) }) {
		if length > 0 {
			if !a.flags['f'] || length+len(word) < lineLimit {
				b.WriteByte(' ')
				length++
			} else {
				b.WriteString("\n" + indent)
				length = len(indent)
			}
		}
		b.WriteString(word)
		length += len(word)
	}
	b.WriteByte('\n')
	fmt.Fprint(a.out, b.String())
}
