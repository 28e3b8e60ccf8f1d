package table

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// memTable is a fixed-string table in memory. It keeps the order of its
// entries for listing.
type memTable struct {
	sources
	values map[string]string
	order  []string
	o      Options
}

func newMem(o *Options) *memTable {
	return &memTable{values: map[string]string{}, o: *o}
}

// add keeps the first value of a key and reports whether it was new.
func (t *memTable) add(key, value string) bool {
	key = t.o.fold(key)
	if _, dup := t.values[key]; dup {
		return false
	}
	t.values[key] = value
	t.order = append(t.order, key)
	return true
}

func (t *memTable) Lookup(_ context.Context, key string) (string, bool, error) {
	v, ok := t.values[t.o.fold(key)]
	return v, ok, nil
}

func (t *memTable) All(yield func(key, value string) bool) error {
	for _, k := range t.order {
		if !yield(k, t.values[k]) {
			break
		}
	}
	return nil
}

func (t *memTable) Close() error { return t.sources.close() }

// openInline reads "{ key=value, { key = text with spaces } }".
func openInline(name string, o *Options) (Table, error) {
	need := fmt.Sprintf(`"inline:%s"; need "inline:{name=value...}"`, name)
	items, ok := listItems(name)
	if !ok {
		return nil, fmt.Errorf("bad syntax: %s", need)
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("empty table: %s", need)
	}
	t := newMem(o)
	for _, item := range items {
		if strings.HasPrefix(item, "{") {
			var err error
			if item, err = unwrap(item); err != nil {
				return nil, fmt.Errorf("%w: %s", err, need)
			}
		}
		key, value, err := splitPair(item)
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, need)
		}
		if !t.add(key, value) {
			// Postfix lets the last one win here, and says nothing.
			t.values[t.o.fold(key)] = value
		}
	}
	return t, nil
}

// staticTable answers every question with the same value.
type staticTable struct{ value string }

func openStatic(name string) (Table, error) {
	if !strings.HasPrefix(name, "{") {
		return staticTable{name}, nil
	}
	inner, err := unwrap(name)
	if err != nil {
		return nil, fmt.Errorf("bad static:name syntax: %w", err)
	}
	return staticTable{inner}, nil
}

func (t staticTable) Lookup(context.Context, string) (string, bool, error) {
	return t.value, true, nil
}
func (t staticTable) Close() error { return nil }

// environTable looks up environment variables. It does not fold case.
type environTable struct{}

func (environTable) Lookup(_ context.Context, key string) (string, bool, error) {
	v, ok := os.LookupEnv(key)
	return v, ok, nil
}
func (environTable) Close() error { return nil }

// failTable fails each request, to test what a program does then.
type failTable struct{}

// errFail is Postfix's word for an error that a program makes up.
var errFail = errors.New("Application error")

func (failTable) Lookup(context.Context, string) (string, bool, error) { return "", false, errFail }
func (failTable) Close() error                                         { return nil }
func (failTable) Pattern() bool                                        { return true }

// Internal is a table in memory that its process may change.
type Internal struct {
	mu     sync.Mutex
	values map[string]string
}

// NewInternal returns an empty table.
func NewInternal() *Internal { return &Internal{values: map[string]string{}} }

// Lookup implements [Table].
func (t *Internal) Lookup(_ context.Context, key string) (string, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.values[Fold(key)]
	return v, ok, nil
}

// Set stores a value.
func (t *Internal) Set(key, value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.values[Fold(key)] = value
}

// Delete removes a key and reports whether it was there.
func (t *Internal) Delete(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.values[Fold(key)]
	delete(t.values, Fold(key))
	return ok
}

// Close implements [Table].
func (t *Internal) Close() error { return nil }
