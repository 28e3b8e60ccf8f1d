package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/getopt"
	"github.com/posthouse-mail/posthouse/pkg/printable"
)

const usage = "usage: postconf [-aAbdefFhHlmMnpPtvxX#] [-c config_dir] [-C class] [-o name=value] [-T mode] [name...]"

// app is one run of the command.
type app struct {
	out, err io.Writer
	flags    map[byte]bool
	dir      string
	dirGiven bool
	classes  []string
	tlsMode  string
	override []config.Override
	args     []string

	cfg    *config.Config
	master *config.Master
	usage  *config.Usage
}

// options parses the command line. The letters, # among them, are the interface;
// there are no long names.
func (a *app) options(args []string) error {
	a.flags = map[byte]bool{}
	rest, err := getopt.Each(args, "aAbc:C:defFhHlmMno:pPtT:vxX#", func(c byte, value string) error {
		a.flags[c] = true
		return a.option(c, value)
	})
	if e, ok := errors.AsType[*getopt.Error](err); ok {
		fmt.Fprintln(a.err, "postconf: "+e.Error())
		return errors.New(usage)
	}
	if err != nil {
		return err
	}
	a.args = rest
	return a.conflicts()
}

// option handles an option that has a value.
func (a *app) option(c byte, value string) error {
	switch c {
	case 'c':
		a.dir, a.dirGiven = value, true
	case 'T':
		a.tlsMode = value
	case 'C':
		for _, class := range config.SplitList(value) {
			if !slices.Contains([]string{"builtin", "service", "user", "all"}, class) {
				return fmt.Errorf("unknown -C option value %q in %q", class, value)
			}
			a.classes = append(a.classes, class)
		}
	case 'o':
		name, v, ok := strings.Cut(value, "=")
		if name = strings.TrimSpace(name); name == "" {
			return fmt.Errorf("invalid parameter override: %s: missing attribute name", value)
		} else if !ok {
			return fmt.Errorf("invalid parameter override: %s: missing '=' after attribute name", value)
		}
		a.override = append(a.override, config.Override{Name: name, Value: strings.TrimSpace(v)})
	}
	return nil
}

// conflicts refuses options that do not go together.
func (a *app) conflicts() error {
	// The option may be left out where the first argument has a value.
	if len(a.args) > 0 && strings.Contains(a.args[0], "=") {
		a.flags['e'] = true
	}
	if a.flags['b'] && a.flags['t'] {
		return errors.New("specify one of -b and -t")
	}
	for _, group := range []string{"abdAeFlMnpPmtTX#", "hH", "denX#", "efX#", "ehX#", "eHX#", "eoX#", "exX#"} {
		var set []string
		for _, c := range []byte(group) {
			// -e, -X and -# go with one of -F, -M, -P, -p.
			if a.flags[c] && !(group[0] == 'a' && strings.IndexByte("eX#dn", c) >= 0) {
				set = append(set, "-"+string(c))
			}
		}
		if len(set) > 1 {
			return fmt.Errorf("specify one of %s", strings.Join(set, " "))
		}
	}
	const others = "#deXfhHnox"
	for _, mode := range []string{"MdhHnCp", "FdnX#Cp", "Pdn#Cp", "a" + others, "A" + others, "b" + others, "l" + others,
		"m" + others, "t" + others, "T" + others} {
		for _, c := range []byte(mode[1:]) {
			if a.flags[mode[0]] && a.flags[c] {
				return fmt.Errorf("with option -%c, do not specify -%c", mode[0], c)
			}
		}
	}
	return nil
}

// dispatch does what the options say.
func (a *app) dispatch() error {
	switch f := a.flags; {
	case f['m'] || f['l'] || f['a'] || f['A']:
		return a.lists()
	case f['t'] || f['b']:
		return a.templates()
	case f['T']:
		return a.tls()
	}
	a.findDir()
	if a.editing() {
		return a.edit()
	}
	out := bufio.NewWriter(a.out)
	a.out = out
	if err := a.load(); err != nil {
		return err
	}
	err := a.show()
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	a.flagUnused()
	return err
}

// findDir sets the configuration directory if -c did not.
func (a *app) findDir() {
	if a.dirGiven {
		return
	}
	if a.dir = os.Getenv("MAIL_CONFIG"); a.dir != "" {
		a.dirGiven = true
		return
	}
	p, _ := config.Find("config_directory")
	a.dir = p.Default
}

// editing tells whether a file is to be changed.
func (a *app) editing() bool {
	return a.flags['e'] || a.flags['X'] || a.flags['#']
}

// show shows what is asked for.
func (a *app) show() error {
	switch {
	case a.flags['M']:
		return a.showEntries()
	case a.flags['F']:
		return a.showFields()
	case a.flags['P']:
		return a.showOverrides()
	}
	return a.showParameters()
}

// load reads both files.
func (a *app) load() error {
	overrides := a.override
	opts := []config.Option{config.WithOverrides(overrides), config.WithService("", "postconf")}
	if !a.dirGiven {
		opts = append(opts, config.WithDefaults(map[string]string{"config_directory": a.dir}))
	}
	var err error
	if a.flags['d'] {
		// What is built in does not depend on what the site says.
		a.cfg = config.New(a.dir, &config.Main{Entries: map[string]config.Entry{}}, opts...)
	} else if a.cfg, err = config.Load(a.dir, opts...); err != nil {
		return plainOpen(err)
	}
	for _, w := range a.cfg.Warnings() {
		if strings.HasPrefix(w.Text, "overriding") {
			a.warn("%s, line %d: %s", w.File, w.Line, w.Text)
		} else {
			a.warn("%s: %s", w.File, w.Text)
		}
	}
	path := filepath.Join(a.dir, "master.cf")
	a.master, err = config.LoadMaster(path)
	if err != nil && a.masterMode() {
		return plainOpen(err)
	}
	if err != nil {
		// What main.cf says can be shown nevertheless.
		a.warn("%v", plainOpen(err))
		a.master = &config.Master{File: path}
	}
	for _, w := range a.master.Warnings {
		// Entries that are repeated are master's business.
		if !strings.HasPrefix(w.Text, "duplicate") {
			a.warn("%s: %s", w.File, w.Text)
		}
	}
	a.usage = config.FindUsage(a.cfg, a.master)
	if a.flags['d'] {
		return nil
	}
	for _, name := range a.usage.UndefinedMaster {
		a.warn("%s: undefined parameter: %s", path, name)
	}
	for _, name := range a.usage.UndefinedMain {
		a.warn("%s: undefined parameter: %s", a.cfg.File(), name)
	}
	return nil
}

func (a *app) masterMode() bool { return a.flags['M'] || a.flags['F'] || a.flags['P'] }

// flagUnused warns of settings that mean nothing.
func (a *app) flagUnused() {
	if a.flags['d'] {
		return
	}
	if !a.masterMode() {
		values := map[string]string{}
		for _, name := range a.usage.UnusedMain {
			e, _ := a.cfg.Entry(name)
			values[name] = e.Value
		}
		for _, o := range a.override {
			if !a.usage.Known(o.Name) {
				values[o.Name] = o.Value
			}
		}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			a.warn("%s: unused parameter: %s=%s", a.cfg.File(), name, values[name])
		}
	}
	for _, u := range a.usage.UnusedMaster {
		a.warn("%s: unused parameter: %s=%s", a.master.File, u.Name, u.Value)
	}
}

func (a *app) warn(format string, args ...any) {
	fmt.Fprintf(a.err, "postconf: warning: %s\n", printable.Text(fmt.Sprintf(format, args...)))
}
