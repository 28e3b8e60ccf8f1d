// Package ldaptable is the tables in LDAP directories, in the form of
// Postfix's ldap_table(5).
//
// What a lookup is about is escaped wherever it stands: in filters as RFC 4515
// 3 says, in names as RFC 4514 2.4 says.
package ldaptable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/dbfile"
)

// Directory is a directory and the search of a file.
type Directory struct {
	file    *dbfile.File
	base    dbfile.Template
	filter  dbfile.Template
	scope   int
	deref   int
	size    int
	timeout time.Duration
	domains dbfile.Domains
	pool    *pool
}

// Open reads the description of a table. It connects when it is asked.
func Open(path string) (*Directory, error) {
	f, err := dbfile.Read(path)
	if err != nil {
		return nil, err
	}
	d := &Directory{file: f}
	if err := d.open(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

func (d *Directory) open() error {
	var err error
	f := d.file
	if d.base, err = dbfile.Parse(f.Str("search_base", "")); err != nil {
		return fmt.Errorf("search_base: %w", err)
	}
	text := f.Str("query_filter", "(mailacceptinggeneralid=%s)")
	if d.filter, err = dbfile.Parse(text); err != nil {
		return fmt.Errorf("query_filter: %w", err)
	}
	sample, _ := d.filter.Expand("a@b.c.d.e.f.g.h.i.j.k", "a@b.c.d.e.f.g.h.i.j.k", ldap.EscapeFilter)
	if _, err := ldap.CompileFilter(sample); err != nil {
		return fmt.Errorf("query_filter: %w", err)
	}
	scopes := map[string]int{"sub": ldap.ScopeWholeSubtree, "base": ldap.ScopeBaseObject, "one": ldap.ScopeSingleLevel}
	var ok bool
	if d.scope, ok = scopes[f.Str("scope", "sub")]; !ok {
		return errors.New("scope is none of sub, base and one")
	}
	if d.deref, err = f.Int("dereference", 0, 0, 3); err != nil {
		return err
	}
	if d.size, err = f.Int("size_limit", 0, 0, 1<<20); err != nil {
		return err
	}
	if d.timeout, err = f.Seconds("timeout", 10*time.Second); err != nil {
		return err
	}
	if d.domains, err = f.ReadDomains(); err != nil {
		return err
	}
	d.pool, err = newPool(f, d.timeout)
	return err
}

// File returns the description, for parameters of the caller's own.
func (d *Directory) File() *dbfile.File { return d.file }

// escapeDN escapes a value for use within a name. The "#" and spaces at its
// ends count there too.
func escapeDN(s string) string { return ldap.EscapeDN(s) }

// Search returns the entries for a key with the given attributes.
func (d *Directory) Search(ctx context.Context, key string, attributes []string) ([]*ldap.Entry, error) {
	if !d.domains.Match(key) || strings.IndexByte(key, 0) >= 0 {
		return nil, nil
	}
	base, ok1 := d.base.Expand(key, key, escapeDN)
	filter, ok2 := d.filter.Expand(key, key, ldap.EscapeFilter)
	if !ok1 || !ok2 {
		return nil, nil
	}
	return d.search(ctx, ldap.NewSearchRequest(base, d.scope, d.deref, d.size, int(d.timeout.Seconds()), false, filter, attributes, nil))
}

// entry reads one entry by its name; nil if there is none.
func (d *Directory) entry(ctx context.Context, dn string, attributes []string) (*ldap.Entry, error) {
	list, err := d.search(ctx, ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, d.deref, 1, int(d.timeout.Seconds()), false,
		"(objectclass=*)", attributes, nil))
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

func (d *Directory) search(ctx context.Context, req *ldap.SearchRequest) ([]*ldap.Entry, error) {
	var res *ldap.SearchResult
	err := d.pool.with(ctx, func(c *ldap.Conn) error {
		var err error
		res, err = c.Search(req)
		return err
	})
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("ldap:%s: %w", d.file.Path(), err)
	}
	return res.Entries, nil
}

// Check binds as an entry, to see whether a password is its own.
func (d *Directory) Check(ctx context.Context, dn, password string) (bool, error) {
	// RFC 4513 5.1.2: without a password the bind succeeds, as nobody.
	if password == "" || dn == "" {
		return false, nil
	}
	err := d.pool.fresh(ctx, func(c *ldap.Conn) error { return c.Bind(dn, password) })
	switch {
	case err == nil:
		return true, nil
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication,
		ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultInvalidDNSyntax):
		return false, nil
	}
	return false, fmt.Errorf("ldap:%s: bind: %w", d.file.Path(), err)
}

// Close ends the connections.
func (d *Directory) Close() error { d.pool.close(); return nil }

// ldapTable is a directory as a table.
type ldapTable struct {
	*Directory
	results  dbfile.Results
	fold     func(string) string
	plain    []string // result_attribute
	special  []string // attributes that name further entries
	terminal []string // when there is one of these, special ones are not followed
	leaf     []string // only of entries that lead nowhere
	depth    int
}

// OpenTable opens a table for package table.
func OpenTable(_, path string, o table.Options) (table.Table, error) {
	d, err := Open(path)
	if err != nil {
		return nil, err
	}
	f := d.file
	t := &ldapTable{Directory: d, fold: dbfile.Same, plain: f.Words("result_attribute", "maildrop"),
		special: f.Words("special_result_attribute"), terminal: f.Words("terminal_result_attribute"), leaf: f.Words("leaf_result_attribute")}
	if !o.NoFold {
		t.fold = table.Fold
	}
	if t.results.Format, err = dbfile.Parse(f.Str("result_format", f.Str("result_filter", "%s"))); err == nil {
		t.results.Limit, err = f.Int("expansion_limit", 0, 0, 1<<30)
	}
	if err == nil {
		t.depth, err = f.Int("recursion_limit", 1000, 1, 100_000)
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	if unknown := f.Unknown(); o.Log != nil && len(unknown) > 0 {
		o.Log.Warn("", "%s: unused parameters: %s", path, strings.Join(unknown, ", "))
	}
	return t, nil
}

// errLoop reports entries that lead to each other without end.
var errLoop = errors.New("more entries than recursion_limit")

// Lookup implements table.Table.
func (t *ldapTable) Lookup(ctx context.Context, key string) (string, bool, error) {
	key = t.fold(key)
	r := t.results.For(key)
	entries, err := t.Search(ctx, key, t.all())
	if err != nil {
		return "", false, err
	}
	left := t.depth
	for _, e := range entries {
		if err := t.collect(ctx, e, r, &left); err != nil {
			return "", false, err
		}
	}
	v, found := r.Value()
	return v, found, nil
}

// all are the attributes to ask for.
func (t *ldapTable) all() []string {
	return slices.Concat(t.plain, t.special, t.terminal, t.leaf)
}

// collect takes the values of an entry, and follows those that name others.
func (t *ldapTable) collect(ctx context.Context, e *ldap.Entry, r *dbfile.Results, left *int) error {
	if *left--; *left < 0 {
		return errLoop
	}
	values := func(names []string) (list []string) {
		for _, n := range names {
			list = append(list, e.GetEqualFoldAttributeValues(n)...)
		}
		return list
	}
	add := func(list []string) error {
		for _, v := range list {
			if err := r.Add(v); err != nil {
				return err
			}
		}
		return nil
	}
	ends := values(t.terminal)
	if err := errors.Join(add(values(t.plain)), add(ends)); err != nil {
		return err
	}
	if len(ends) > 0 {
		return nil
	}
	next := values(t.special)
	if len(next) == 0 {
		return add(values(t.leaf))
	}
	for _, dn := range next {
		if strings.Contains(dn, "://") {
			return fmt.Errorf("ldap:%s: a URL in %v is not supported", t.file.Path(), t.special)
		}
		other, err := t.entry(ctx, dn, t.all())
		if err != nil {
			return err
		}
		if other == nil {
			continue
		}
		if err := t.collect(ctx, other, r, left); err != nil {
			return err
		}
	}
	return nil
}
