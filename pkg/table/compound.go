package table

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
)

// tableList is the tables of a unionmap or pipemap.
type tableList struct {
	tables []mapped
}

func (l *tableList) Changed() bool {
	for _, t := range l.tables {
		if Changed(t.table) {
			return true
		}
	}
	return false
}

// Pattern is true if any table is one that needs whole keys.
func (l *tableList) Pattern() bool {
	for _, t := range l.tables {
		if IsPattern(t.table) {
			return true
		}
	}
	return false
}

func (l *tableList) Close() error {
	var errs []error
	for _, t := range l.tables {
		errs = append(errs, t.table.Close())
	}
	return errors.Join(errs...)
}

// unionTable joins the results of all its tables with commas.
type unionTable struct{ tableList }

func (t *unionTable) Lookup(ctx context.Context, key string) (string, bool, error) {
	var values []string
	for _, m := range t.tables {
		v, found, err := m.table.Lookup(ctx, key)
		if err != nil {
			return "", false, fmt.Errorf("table %s: %w", m.spec, err)
		}
		if found {
			values = append(values, v)
		}
	}
	return strings.Join(values, ","), len(values) > 0, nil
}

// pipeTable gives the result of each table to the next one as the key.
type pipeTable struct{ tableList }

func (t *pipeTable) Lookup(ctx context.Context, key string) (string, bool, error) {
	for _, m := range t.tables {
		v, found, err := m.table.Lookup(ctx, key)
		if err != nil {
			return "", false, fmt.Errorf("table %s: %w", m.spec, err)
		}
		if !found {
			return "", false, nil
		}
		key = v
	}
	return key, true, nil
}

// randTable answers with any of its values.
type randTable []string

func (t randTable) Lookup(context.Context, string) (string, bool, error) {
	return t[rand.IntN(len(t))], true, nil
}
func (t randTable) Pattern() bool { return true }
func (t randTable) Close() error  { return nil }

// openCompound opens "{type:name, type:name}" or, for randmap, "{value,
// value}".
func openCompound(kind, name string, o *Options, depth int) (Table, error) {
	what := "type:name"
	if kind == "randmap" {
		what = "value"
	}
	bad := fmt.Errorf(`bad syntax: "%s:%s"; need "%s:{%s...}"`, kind, name, kind, what)
	items, ok := listItems(name)
	if !ok || len(items) == 0 {
		return nil, bad
	}
	if kind == "randmap" {
		return randTable(items), nil
	}
	for i, item := range items {
		if strings.HasPrefix(item, "{") {
			var err error
			if items[i], err = unwrap(item); err != nil {
				return nil, err
			}
		}
		if !strings.Contains(items[i], ":") {
			return nil, bad
		}
	}
	var l tableList
	for _, spec := range items {
		t, err := open(spec, o, depth+1)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.tables = append(l.tables, mapped{spec, t})
	}
	if kind == "pipemap" {
		return &pipeTable{l}, nil
	}
	return &unionTable{l}, nil
}

// debugTable reports each lookup of another table.
type debugTable struct {
	Table
	spec string
	o    Options
}

func openDebug(name string, o *Options, depth int) (Table, error) {
	t, err := open(name, o, depth+1)
	if err != nil {
		return nil, err
	}
	return &debugTable{t, name, *o}, nil
}

func (t *debugTable) Lookup(ctx context.Context, key string) (string, bool, error) {
	v, found, err := t.Table.Lookup(ctx, key)
	switch {
	case err != nil:
		t.o.warn("%s lookup: \"%s\" = \"error: %v\"", t.spec, key, err)
	case found:
		t.o.warn("%s lookup: \"%s\" = \"%s\"", t.spec, key, v)
	default:
		t.o.warn("%s lookup: \"%s\" = \"not_found\"", t.spec, key)
	}
	return v, found, err
}

func (t *debugTable) Pattern() bool { return IsPattern(t.Table) }
func (t *debugTable) Changed() bool { return Changed(t.Table) }
