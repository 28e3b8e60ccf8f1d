package table

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/bdb"
	"github.com/posthouse-mail/posthouse/pkg/cdb"
	"github.com/posthouse-mail/posthouse/pkg/table/text"
)

// IndexSuffix is what the name of an index file adds to that of its text.
const IndexSuffix = ".cdb"

// file is one of the files that may hold an indexed table.
type file struct {
	*os.File
	mtime time.Time
}

// tryOpen opens a file; one that does not exist is no error.
func tryOpen(path string) (file, error) {
	f, info, err := openSource(path)
	if errors.Is(err, os.ErrNotExist) {
		return file{}, nil
	}
	if err != nil {
		return file{}, err
	}
	return file{f, info.ModTime()}, nil
}

func (f *file) close() {
	if f.File != nil {
		f.File.Close()
	}
}

// candidates are the files of one table.
type candidates struct{ text, cdb, bdb file }

func (c *candidates) closeAll() {
	c.text.close()
	c.cdb.close()
	c.bdb.close()
}

// openIndexed opens the newest of a table's text, its index and its Berkeley
// DB file. All indexed types are one: what the text says, looked up fast.
func openIndexed(kind, name string, o *Options) (Table, error) {
	if strings.HasPrefix(name, "{") {
		return nil, fmt.Errorf("%s: tables cannot be given inline; use inline: or texthash: instead", kind)
	}
	var c candidates
	err := c.open(kind, name)
	if err == nil {
		var t Table
		if t, err = c.choose(kind, name, o); err == nil {
			return t, nil
		}
	}
	c.closeAll()
	return nil, err
}

func (c *candidates) open(kind, name string) (err error) {
	if c.cdb, err = tryOpen(name + IndexSuffix); err != nil {
		return openDatabaseError(name+IndexSuffix, err)
	}
	if kind == "hash" || kind == "btree" {
		if c.bdb, err = tryOpen(name + ".db"); err != nil {
			return openDatabaseError(name+".db", err)
		}
	}
	c.text, err = tryOpen(name)
	// The text may be readable by root alone, as the index then is too,
	// or be gone; an index is enough.
	if err != nil && (c.cdb.File != nil || c.bdb.File != nil) {
		err = nil
	}
	return err
}

func (c *candidates) choose(kind, name string, o *Options) (Table, error) {
	index, isBDB := c.cdb, false
	if c.bdb.File != nil && (c.cdb.File == nil || c.bdb.mtime.After(c.cdb.mtime)) {
		index, isBDB = c.bdb, true
	}
	switch {
	case index.File == nil && c.text.File == nil:
		return nil, missing(kind, name)
	case index.File == nil:
		return c.fromText(name, o)
	case c.text.File != nil && c.text.mtime.After(index.mtime):
		o.warn("database %s is older than source file %s; reading the source", index.Name(), name)
		return c.fromText(name, o)
	case isBDB:
		return c.fromBDB(o)
	}
	return c.fromCDB(o)
}

// missing explains why there is nothing to open.
func missing(kind, name string) error {
	if _, err := os.Stat(name + ".lmdb"); kind == "lmdb" && err == nil {
		return fmt.Errorf("%s.lmdb: LMDB files cannot be read, and there is no text; convert it: "+
			"postmap -s lmdb:%s >%s with the Postfix that made it, then postmap lmdb:%s", name, name, name, name)
	}
	if _, err := os.Stat(name + ".pag"); (kind == "dbm" || kind == "sdbm") && err == nil {
		return fmt.Errorf("%s.pag: DBM files cannot be read, and there is no text; convert it: "+
			"postmap -s %s:%s >%s with the Postfix that made it, then postmap %s:%s", name, kind, name, name, kind, name)
	}
	return fmt.Errorf("open database %s%s: %w", name, IndexSuffix, syscall.ENOENT)
}

// fromText reads the text into memory.
func (c *candidates) fromText(name string, o *Options) (Table, error) {
	aliases := o.Aliases
	if !aliases {
		var err error
		if aliases, err = text.LooksLikeAliases(c.text); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if _, err := c.text.Seek(0, 0); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	t, err := readMemFile(c.text.File, name, aliases, o)
	c.text.File = nil // closed, or kept by the table
	if err != nil {
		return nil, err
	}
	// A new index is a reason to look again, too.
	for _, f := range []*file{&c.cdb, &c.bdb} {
		if f.File == nil {
			continue
		}
		if err := t.watch(f.File); err != nil {
			t.Close()
			return nil, err
		}
		f.File = nil
	}
	return t, nil
}

// lookuper is an index file.
type lookuper interface {
	Get(key string) (value string, found bool, err error)
	All(yield func(key, value string) bool) error
}

// indexTable is a table in an index file.
type indexTable struct {
	sources
	index lookuper
	o     Options
	bdb   bool
	shut  func() error
}

func (c *candidates) fromCDB(o *Options) (Table, error) {
	r, err := cdb.Open(c.cdb.File)
	if err != nil {
		return nil, err
	}
	t := &indexTable{index: r, o: *o, shut: r.Close}
	return t.watchAll(c)
}

func (c *candidates) fromBDB(o *Options) (Table, error) {
	r, err := bdb.Open(c.bdb.File)
	if err != nil {
		return nil, err
	}
	t := &indexTable{index: r, o: *o, bdb: true, shut: func() error { return nil }}
	return t.watchAll(c)
}

// watchAll hands the open files over to the table.
func (t *indexTable) watchAll(c *candidates) (Table, error) {
	for _, f := range []*file{&c.text, &c.cdb, &c.bdb} {
		if f.File == nil {
			continue
		}
		if err := t.watch(f.File); err != nil {
			return nil, err
		}
	}
	// From here on Close of the table closes them.
	*c = candidates{}
	return t, nil
}

func (t *indexTable) Lookup(_ context.Context, key string) (string, bool, error) {
	// Postfix rewrites a Berkeley DB file in place; half of one must not
	// say "not found".
	if t.bdb && t.Changed() {
		return "", false, errors.New("database file changed while it was open")
	}
	key = t.o.fold(key)
	// Postfix adds a NUL to keys and values in some file types, and sites
	// have both forms.
	for _, k := range t.forms(key) {
		v, found, err := t.index.Get(k)
		if err != nil || found {
			return strings.TrimSuffix(v, "\x00"), found, err
		}
	}
	return "", false, nil
}

func (t *indexTable) forms(key string) [2]string {
	if t.bdb {
		return [2]string{key + "\x00", key}
	}
	return [2]string{key, key + "\x00"}
}

func (t *indexTable) All(yield func(key, value string) bool) error {
	return t.index.All(func(k, v string) bool {
		return yield(strings.TrimSuffix(k, "\x00"), strings.TrimSuffix(v, "\x00"))
	})
}

func (t *indexTable) Close() error {
	return errors.Join(t.shut(), t.sources.close())
}
