package config

import (
	"slices"
	"strings"
	"sync"
)

// Kind is the type of a parameter.
type Kind byte

// The types of parameters. A List is a string that programs split with
// SplitList; an Enum is a string out of Param.Values; a Raw value is expanded
// by the program that uses it, when it uses it.
const (
	String Kind = iota
	Int
	Bool
	Time
	List
	Enum
	Raw
	// Legacy is an old name. It has no default of its own; the default of the
	// parameter that replaced it may refer to it.
	Legacy
)

// String returns the name of the type.
func (k Kind) String() string {
	names := [...]string{"string", "int", "bool", "time", "list", "enum", "raw", "legacy"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Param describes one parameter of main.cf.
type Param struct {
	Name    string
	Type    Kind
	Default string // expression, unexpanded
	// Min and Max limit an int (numbers), a time (seconds) or the length of
	// a string. Empty means no limit.
	Min, Max string
	Values   []string // of an Enum; empty if not checked
	Programs []string
	// Tier says how much a parameter matters to sites: '1' common, '2'
	// useful, '3' rare, 'X' without meaning here, 'O' our own.
	Tier   byte
	Obeyed bool // some program of this suite acts on it
	Doc    string
}

// row is one line of the table, written short.
type row struct {
	name   string
	kind   Kind
	def    string
	limits string // "min,max", max optional; or the values of an Enum
	progs  string
	tier   byte
	doc    string
}

// param makes the public form of a row.
func (r row) param(obeyed bool) *Param {
	p := &Param{Name: r.name, Type: r.kind, Default: r.def, Programs: strings.Fields(r.progs),
		Tier: r.tier, Obeyed: obeyed, Doc: r.doc}
	if r.kind == Enum {
		p.Values = strings.Fields(r.limits)
		return p
	}
	p.Min, p.Max, _ = strings.Cut(r.limits, ",")
	return p
}

// table returns the parameters by name. It is built once, since every Load
// needs it and nobody changes it.
var table = sync.OnceValue(func() map[string]*Param {
	obeyed := map[string]bool{}
	for _, name := range obeyedNames() {
		obeyed[name] = true
	}
	m := map[string]*Param{}
	for _, rows := range allRows() {
		for _, r := range rows {
			m[r.name] = r.param(obeyed[r.name])
		}
	}
	// This package itself computes defaults from these.
	for _, name := range []string{"compatibility_level", "config_directory", "mydomain", "mynetworks_style", "stress"} {
		markObeyed(m, name)
	}
	for name := range obeyed {
		markObeyed(m, name)
	}
	return m
})

// markObeyed marks a parameter, and those that its default refers to.
func markObeyed(m map[string]*Param, name string) {
	p, ok := m[name]
	if !ok {
		return
	}
	p.Obeyed = true
	for _, other := range references(p.Default) {
		if q, ok := m[other]; ok && !q.Obeyed {
			markObeyed(m, other)
		}
	}
}

// Params returns all parameters, sorted by name.
func Params() []Param {
	var list []Param
	for _, p := range table() {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Param) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Find returns the description of one parameter.
func Find(name string) (Param, bool) {
	p, ok := table()[name]
	if !ok {
		return Param{}, false
	}
	return *p, true
}
