// Package config reads main.cf and master.cf as Postfix does, and owns the
// one table of parameters.
//
// Load parses main.cf. Values stay expressions until somebody asks for them:
// Fill copies the parameters that a daemon uses into a struct with `param`
// tags, checks types and ranges, and reports the first problem with file,
// line and column. A daemon reads parameters only with Fill and the Transport
// functions, so that a test can tell which parameters are obeyed.
package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// Pos is a place in a configuration file. Line and Col count from 1; a zero
// Line means that the value does not come from a file.
type Pos struct {
	File string
	Line int
	Col  int
}

// String returns "file:line:column", as far as known.
func (p Pos) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Warning is a remark about a configuration file that does not stop a start.
type Warning struct {
	Pos
	Text string
}

// String returns the place and the text.
func (w Warning) String() string { return w.Pos.String() + ": " + w.Text }

// Override is one -o name=value of a command line or of master.cf.
type Override struct {
	Name, Value string
}

// Entry is the definition of one parameter in main.cf that is in force.
type Entry struct {
	Name  string
	Value string // unexpanded
	Pos          // where the value starts (or would start)
	// NamePos is where the name starts.
	NamePos Pos

	line    *logicalLine // nil if the entry was not parsed
	valueAt int          // where the value starts in it
}

// At returns the place of the byte at an offset of the value, which may be on
// a continuation line.
func (e Entry) At(offset int) Pos {
	if e.line == nil {
		return e.Pos
	}
	return e.line.at(e.valueAt + offset)
}

// Config is one main.cf with overrides. It does not change after Load and may
// be used by several goroutines.
type Config struct {
	dir       string
	file      string
	entries   map[string]Entry
	order     []string // names in the order of the file
	overrides map[string]string
	defaults  map[string]string
	host      hostFacts
	warnings  []Warning
	params    map[string]*Param
	hidden    []string // defaults that are being computed
}

// Option changes what Load does.
type Option func(*Config)

// WithOverrides lets -o settings win over main.cf, the last one of a name over
// the earlier ones.
func WithOverrides(list []Override) Option {
	return func(c *Config) {
		for _, o := range list {
			c.overrides[o.Name] = o.Value
		}
	}
}

// WithStress sets the value of $stress, "yes" or empty, as master does for a
// service under overload.
func WithStress(on bool) Option {
	return func(c *Config) {
		c.defaults["stress"] = ""
		if on {
			c.defaults["stress"] = "yes"
		}
	}
}

// WithDefaults replaces built-in default expressions, for instance the
// installation paths.
func WithDefaults(defaults map[string]string) Option {
	return func(c *Config) {
		for name, value := range defaults {
			c.defaults[name] = value
		}
	}
}

// WithService sets $service_name, the name in master.cf, and $process_name,
// the program.
func WithService(service, program string) Option {
	return func(c *Config) {
		c.defaults["service_name"] = service
		c.defaults["process_name"] = program
	}
}

// Load reads dir/main.cf. A file that cannot be parsed is an error; what is
// only suspicious is in Warnings.
func Load(dir string, opts ...Option) (*Config, error) {
	path := filepath.Join(dir, "main.cf")
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, errors.Unwrap(err))
	}
	defer f.Close()
	main, err := ParseMain(f, path)
	if err != nil {
		return nil, err
	}
	return New(dir, main, opts...), nil
}

// New makes a Config from an already parsed main.cf.
func New(dir string, main *Main, opts ...Option) *Config {
	c := &Config{
		dir:       dir,
		file:      filepath.Join(dir, "main.cf"),
		entries:   main.Entries,
		order:     main.Order,
		warnings:  main.Warnings,
		overrides: map[string]string{},
		defaults:  map[string]string{"config_directory": dir},
		params:    table(),
	}
	for _, o := range opts {
		o(c)
	}
	return c
}

// Dir returns the configuration directory.
func (c *Config) Dir() string { return c.dir }

// File returns the path of main.cf.
func (c *Config) File() string { return c.file }

// Warnings returns what the parser found suspicious.
func (c *Config) Warnings() []Warning { return c.warnings }

// Names returns the parameters that main.cf sets, in the order of the file.
func (c *Config) Names() []string { return append([]string(nil), c.order...) }

// Entry returns the definition of a parameter in main.cf.
func (c *Config) Entry(name string) (Entry, bool) {
	e, ok := c.entries[name]
	return e, ok
}

// Value returns the expanded value of a parameter: from -o, main.cf or the
// built-in default. A parameter that nobody defined is an error.
func (c *Config) Value(name string) (string, error) {
	raw, ok := c.Raw(name)
	if !ok {
		return "", fmt.Errorf("unknown parameter %q", name)
	}
	v, err := c.Expand(raw)
	if err != nil {
		return "", fmt.Errorf("%s%s: %w", c.where(name), name, err)
	}
	return c.indirect(name, v)
}

// Lookup tells whether a parameter is set by main.cf or -o, and returns its
// expanded value if so.
func (c *Config) Lookup(name string) (value string, ok bool, err error) {
	if !c.IsSet(name) {
		return "", false, nil
	}
	value, err = c.Value(name)
	return value, true, err
}

// IsSet tells whether main.cf or -o sets a parameter.
func (c *Config) IsSet(name string) bool {
	if _, ok := c.overrides[name]; ok {
		return true
	}
	_, ok := c.entries[name]
	return ok
}

// Raw returns the unexpanded value of a parameter.
func (c *Config) Raw(name string) (value string, ok bool) {
	if v, ok := c.overrides[name]; ok {
		return v, true
	}
	if e, ok := c.entries[name]; ok {
		return e.Value, true
	}
	return c.Default(name)
}

// Default returns the default expression of a parameter.
func (c *Config) Default(name string) (value string, ok bool) {
	if v, ok := c.defaults[name]; ok {
		return v, true
	}
	if v, ok := c.computed(name); ok {
		return v, true
	}
	p, ok := c.params[name]
	if !ok {
		return "", false
	}
	return p.Default, true
}

// Position returns where the value of a parameter comes from.
func (c *Config) Position(name string) Pos {
	if _, ok := c.overrides[name]; ok {
		return Pos{File: "-o " + name}
	}
	if e, ok := c.entries[name]; ok {
		return e.Pos
	}
	return Pos{}
}

// where returns the position of a parameter as a prefix for an error.
func (c *Config) where(name string) string {
	if p := c.Position(name).String(); p != "" {
		return p + ": "
	}
	return ""
}

// indirect handles Debian's form of myorigin, the name of a file whose first
// line is the value.
func (c *Config) indirect(name, value string) (string, error) {
	if name != "myorigin" || !strings.HasPrefix(value, "/") {
		return value, nil
	}
	line, err := firstLine(value)
	if err != nil {
		return "", fmt.Errorf("%smyorigin: %w", c.where(name), err)
	}
	return line, nil
}

// With returns a copy with further options, for instance the settings of one
// service.
func (c *Config) With(opts ...Option) *Config {
	d := *c
	d.overrides, d.defaults = maps.Clone(c.overrides), maps.Clone(c.defaults)
	for _, o := range opts {
		o(&d)
	}
	return &d
}

// ExpandWith is Expand that also knows the parameters of transports.
func (c *Config) ExpandWith(s string, u *Usage) (string, error) {
	return expandWith(s, func(name string) (string, bool) {
		if def, ok := u.Service[name]; ok && !c.IsSet(name) {
			return def, true
		}
		return c.Raw(name)
	})
}
