package table

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Maps is an ordered list of tables, such as the value of virtual_alias_maps.
// The first table that has the key gives the result. It is safe for
// concurrent use.
type Maps struct {
	tables []mapped
	o      Options
}

type mapped struct {
	spec  string
	table Table
}

// OpenMaps opens a list of tables, each "type:name". specs may hold several
// tables per string, separated as in main.cf.
func OpenMaps(specs []string, o Options) (*Maps, error) {
	m := &Maps{o: o}
	for _, s := range specs {
		items, err := SplitList(s)
		if err != nil {
			m.Close()
			return nil, err
		}
		for _, spec := range items {
			t, err := openOrDefer(spec, o)
			if err != nil {
				m.Close()
				return nil, err
			}
			m.tables = append(m.tables, mapped{spec, t})
		}
	}
	return m, nil
}

// NewMaps makes Maps of tables that are open already, for tests and for
// tables that exist only in a program.
func NewMaps(tables ...Table) *Maps {
	m := &Maps{}
	for i, t := range tables {
		m.tables = append(m.tables, mapped{fmt.Sprintf("table %d", i+1), t})
	}
	return m
}

// Lookup asks the tables in order for exactly this key. An error stops the
// search: a later table must not answer for one that failed. The receiver
// may be nil, which is an empty list.
func (m *Maps) Lookup(ctx context.Context, key string) (string, bool, error) {
	return m.lookup(ctx, key, false)
}

// LookupFixed is Lookup without regexp, pcre, cidr and other tables that must
// see whole keys only. The partial keys of an address or a domain are looked
// up with it.
func (m *Maps) LookupFixed(ctx context.Context, key string) (string, bool, error) {
	return m.lookup(ctx, key, true)
}

func (m *Maps) lookup(ctx context.Context, key string, fixed bool) (string, bool, error) {
	// An empty key would match what a rule means for any key, and no
	// fixed-string table has one.
	if m == nil || key == "" {
		return "", false, nil
	}
	if m.o.UTF8 && !utf8.ValidString(key) {
		m.o.warn("non-UTF-8 key \"%s\": malformed UTF-8 or invalid codepoint", key)
		return "", false, nil
	}
	for _, t := range m.tables {
		if fixed && IsPattern(t.table) {
			continue
		}
		v, found, err := t.table.Lookup(ctx, key)
		if err != nil {
			return "", false, fmt.Errorf("table %s: lookup: %w", t.spec, err)
		}
		if !found {
			continue
		}
		if v == "" {
			m.o.warn("table %s: key %s: empty string result is not allowed", t.spec, key)
			m.o.warn("table %s should return NO RESULT in case of NOT FOUND", t.spec)
			return "", false, fmt.Errorf("table %s: lookup: %w", t.spec, ErrEmpty)
		}
		if m.o.UTF8 && !utf8.ValidString(v) {
			return "", false, fmt.Errorf("table %s: lookup: value is not valid UTF-8", t.spec)
		}
		return v, true, nil
	}
	return "", false, nil
}

// Empty reports whether the list has no tables.
func (m *Maps) Empty() bool { return m == nil || len(m.tables) == 0 }

// Specs returns the names of the tables.
func (m *Maps) Specs() []string {
	if m == nil {
		return nil
	}
	var specs []string
	for _, t := range m.tables {
		specs = append(specs, t.spec)
	}
	return specs
}

// Changed reports whether the source of any table changed since it was
// opened.
func (m *Maps) Changed() bool {
	if m == nil {
		return false
	}
	for _, t := range m.tables {
		if Changed(t.table) {
			return true
		}
	}
	return false
}

// Changed reports whether the source of t changed since it was opened, as far
// as t can tell.
func Changed(t Table) bool {
	c, ok := t.(Changer)
	return ok && c.Changed()
}

// Close closes all tables.
func (m *Maps) Close() error {
	if m == nil {
		return nil
	}
	var errs []error
	for _, t := range m.tables {
		errs = append(errs, t.table.Close())
	}
	m.tables = nil
	return errors.Join(errs...)
}
