// Package sqltable is the tables in SQL databases: pgsql, mysql and sqlite, in
// the form of Postfix's pgsql_table(5), mysql_table(5) and sqlite_table(5).
//
// What a lookup is about never becomes part of the text of a query. A string
// of the query with %s or the like in it, and such a thing without quotes, is
// made a parameter when the table is opened, and the text that stands for it
// is sent apart from the query. So there is nothing to escape, and no
// character set to be wrong about.
//
// Several hosts are tried in random order. One that does not answer is left
// alone for retry_interval. An error that a server reports about the query
// itself is no reason to ask another one.
package sqltable

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/dbfile"
)

// Limits of a table.
const (
	maxConns     = 16
	maxRows      = 10_000
	queryTimeout = 10 * time.Second
)

// DB is a database and the query of a file.
type DB struct {
	kind    string
	file    *dbfile.File
	query   *query
	domains dbfile.Domains
	retry   time.Duration
	hosts   []*host
}

// host is one server.
type host struct {
	name string
	db   *sql.DB

	mu   sync.Mutex
	down time.Time // left alone until then
}

// Open opens the database that a file describes. It connects when it is asked.
func Open(kind, path string) (*DB, error) { return OpenQuery(kind, path, "query") }

// OpenQuery is Open with a query of another name.
func OpenQuery(kind, path, name string) (*DB, error) {
	f, err := dbfile.Read(path)
	if err != nil {
		return nil, err
	}
	d := &DB{kind: kind, file: f}
	if err := d.open(name); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *DB) open(name string) error {
	text := d.file.Str(name, "")
	if text == "" {
		if text = legacyQuery(d.kind, d.file); text == "" {
			return fmt.Errorf("%s: no %s", d.file.Path(), name)
		}
	}
	var err error
	if d.query, err = compile(d.kind, text); err != nil {
		return fmt.Errorf("%s: query: %w", d.file.Path(), err)
	}
	if d.domains, err = d.file.ReadDomains(); err != nil {
		return err
	}
	if d.retry, err = d.file.Seconds("retry_interval", time.Minute); err != nil {
		return err
	}
	idle, err := d.file.Seconds("idle_interval", time.Minute)
	if err != nil {
		return err
	}
	if d.hosts, err = connectors(d.kind, d.file); err != nil {
		return fmt.Errorf("%s: %w", d.file.Path(), err)
	}
	for _, h := range d.hosts {
		h.db.SetMaxOpenConns(maxConns)
		h.db.SetMaxIdleConns(maxConns)
		h.db.SetConnMaxIdleTime(idle)
		h.db.SetConnMaxLifetime(time.Hour)
	}
	return nil
}

// legacyQuery builds a query of the parameters that Postfix had before query.
func legacyQuery(kind string, f *dbfile.File) string {
	tbl, sel, where := f.Str("table", ""), f.Str("select_field", ""), f.Str("where_field", "")
	more := f.Str("additional_conditions", "")
	if kind == "pgsql" {
		if fn := f.Str("select_function", ""); fn != "" {
			return "SELECT " + fn + "('%s')"
		}
	}
	if tbl == "" || sel == "" || where == "" {
		return ""
	}
	return "SELECT " + sel + " FROM " + tbl + " WHERE " + where + " = '%s' " + more
}

// File returns the description, for parameters of the caller's own.
func (d *DB) File() *dbfile.File { return d.file }

// Query runs the query for a key and calls row with the columns and the values
// of each row. A NULL is an empty value.
func (d *DB) Query(ctx context.Context, key string, row func(columns, values []string) error) error {
	if !d.domains.Match(key) || strings.IndexByte(key, 0) >= 0 {
		return nil
	}
	args, ok := d.query.args(key)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err := errors.New("no host")
	for _, h := range d.order() {
		begun := false
		err = h.ask(ctx, d.query.text, args, func(c, v []string) error { begun = true; return row(c, v) })
		if err == nil || !d.isDown(err) || begun {
			return d.wrap(h, err)
		}
		h.rest(d.retry)
		err = d.wrap(h, err)
	}
	return err
}

func (d *DB) wrap(h *host, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s:%s: host %s: %w", d.kind, d.file.Path(), h.name, err)
}

// order returns the hosts that are up, in random order, and then the others:
// when all are down, each lookup tries, so that the first that is back is used.
func (d *DB) order() []*host {
	var up, down []*host
	now := time.Now()
	for _, i := range rand.Perm(len(d.hosts)) {
		h := d.hosts[i]
		h.mu.Lock()
		resting := now.Before(h.down)
		h.mu.Unlock()
		if resting {
			down = append(down, h)
		} else {
			up = append(up, h)
		}
	}
	return append(up, down...)
}

func (h *host) rest(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down = time.Now().Add(d)
}

// ask runs the query on one host.
func (h *host) ask(ctx context.Context, text string, args []any, row func(columns, values []string) error) error {
	rows, err := h.db.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	cells := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range cells {
		into[i] = &cells[i]
	}
	for n := 0; rows.Next(); n++ {
		if n == maxRows {
			return dbfile.ErrTooMany
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		values := make([]string, len(cells))
		for i, c := range cells {
			values[i] = c.String
		}
		if err := row(columns, values); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Close ends the connections.
func (d *DB) Close() error {
	var errs []error
	for _, h := range d.hosts {
		errs = append(errs, h.db.Close())
	}
	return errors.Join(errs...)
}

// sqlTable is a DB as a table.
type sqlTable struct {
	*DB
	results dbfile.Results
	fold    func(string) string
}

// OpenTable opens a table for package table.
func OpenTable(kind, path string, o table.Options) (table.Table, error) {
	d, err := Open(kind, path)
	if err != nil {
		return nil, err
	}
	t := &sqlTable{DB: d, fold: dbfile.Same}
	if !o.NoFold {
		t.fold = table.Fold
	}
	if t.results.Format, err = dbfile.Parse(d.file.Str("result_format", "%s")); err == nil {
		t.results.Limit, err = d.file.Int("expansion_limit", 0, 0, 1<<30)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	if unknown := d.file.Unknown(); o.Log != nil && len(unknown) > 0 {
		o.Log.Warn("", "%s: unused parameters: %s", path, strings.Join(unknown, ", "))
	}
	return t, nil
}

// Lookup implements table.Table. The values of all columns of all rows are
// joined, as in Postfix.
func (t *sqlTable) Lookup(ctx context.Context, key string) (string, bool, error) {
	key = t.fold(key)
	r := t.results.For(key)
	err := t.Query(ctx, key, func(_, values []string) error {
		for _, v := range values {
			if err := r.Add(v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", false, err
	}
	v, found := r.Value()
	return v, found, nil
}
