package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/table/dbfile"
	"github.com/posthouse-mail/posthouse/pkg/table/ldaptable"
	"github.com/posthouse-mail/posthouse/pkg/table/sqltable"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// sqlSource is users in a database. Its file is that of a table, and the query
// returns one row with a column for each field.
type sqlSource struct {
	kind       string
	users      *sqltable.DB
	recipients *sqltable.DB // recipient_query; nil if there is none
	more       *sqltable.DB // user_query, with further fields; nil if there is none
	scheme     string
	secrets    map[string]bool // mechanisms that all users can use
}

// defaultScheme is the scheme of passwords without a {PREFIX}; Dovecot's name.
func defaultScheme(f *dbfile.File) string { return f.Str("default_pass_scheme", "") }

func openSQL(kind, path string) (source, error) {
	s := &sqlSource{kind: kind}
	var err error
	if s.users, err = sqltable.Open(kind, path); err != nil {
		return nil, err
	}
	s.scheme = defaultScheme(s.users.File())
	if s.secrets, err = storedSecrets(s.users.File()); err != nil {
		s.close()
		return nil, err
	}
	for _, q := range []struct {
		name string
		db   **sqltable.DB
	}{{"recipient_query", &s.recipients}, {"user_query", &s.more}} {
		if !s.users.File().Has(q.name) {
			continue
		}
		if *q.db, err = sqltable.OpenQuery(kind, path, q.name); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *sqlSource) name() string { return s.kind }

// serves: nobody looks through a database. Its file says what it has.
func (s *sqlSource) serves(mechanism string) bool { return s.secrets[mechanism] }

func (s *sqlSource) close() {
	s.users.Close()
	for _, db := range []*sqltable.DB{s.recipients, s.more} {
		if db != nil {
			db.Close()
		}
	}
}

func (s *sqlSource) lookup(ctx context.Context, login, _ string) (*found, error) {
	return s.row(ctx, s.users, login)
}

// resolve asks for the user behind an address: recipient_query may know aliases
// and catch-alls.
func (s *sqlSource) resolve(ctx context.Context, address, _ string) (*found, error) {
	if s.recipients == nil {
		return nil, userdb.ErrUnknown
	}
	return s.row(ctx, s.recipients, address)
}

var errTwoUsers = errors.New("more than one user")

// row makes a record of the row for a key, and of what user_query adds to it.
func (s *sqlSource) row(ctx context.Context, db *sqltable.DB, key string) (*found, error) {
	b := builder{login: key, scheme: s.scheme}
	n, err := b.query(ctx, db, key)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, userdb.ErrUnknown
	}
	if s.more != nil {
		if _, err := b.query(ctx, s.more, b.login); err != nil {
			return nil, err
		}
	}
	r, err := b.record()
	if err != nil {
		return nil, err
	}
	return &found{rec: r}, nil
}

// query adds the columns of the one row that there may be.
func (b *builder) query(ctx context.Context, db *sqltable.DB, key string) (rows int, err error) {
	err = db.Query(ctx, key, func(columns, values []string) error {
		if rows++; rows > 1 {
			return errTwoUsers
		}
		for i, c := range columns {
			if err := b.add(c, values[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return rows, err
}

// builder makes a record of the columns of a row, or of the attributes of an
// entry.
type builder struct {
	login  string
	scheme string
	fields []string
	hashes map[string]string
}

// errValue reports a value that would become more than one field.
var errValue = errors.New("a value has a '|' or a control character")

// add takes a value. Names are those of userdb, and some of Dovecot's.
func (b *builder) add(name, value string) error {
	name = strings.TrimPrefix(strings.ToLower(name), "userdb_")
	if value == "" && name != "nologin" {
		return nil
	}
	if name == "password" || strings.HasSuffix(name, "pw") {
		b.hash(name, value)
		return nil
	}
	if strings.ContainsAny(value, "|\n\r\x00") {
		return fmt.Errorf("%s: %w", name, errValue)
	}
	switch name {
	case "user", "username", "login":
		b.login = strings.ToLower(value)
	case "mail", "quota_rule", "allow_nets", "nologin":
		return addExtra(name, value, b.field)
	default:
		b.field(name, value)
	}
	return nil
}

func (b *builder) field(name, value string) {
	if value != "" {
		b.fields = append(b.fields, name+"="+value)
	}
}

// hash keeps a stored password.
func (b *builder) hash(name, value string) {
	if name == "password" {
		name = "systempw"
	}
	if b.scheme != "" && !strings.HasPrefix(value, "{") && !strings.HasPrefix(value, "$") {
		value = "{" + b.scheme + "}" + value
	}
	if b.hashes == nil {
		b.hashes = map[string]string{}
	}
	b.hashes[name] = value
}

func (b *builder) record() (*userdb.Record, error) {
	r, err := userdb.Parse(b.login, strings.Join(b.fields, "|"))
	if err != nil {
		return nil, err
	}
	joinMaildir(r)
	r.Hashes = b.hashes
	return r, nil
}

// ldapSource is users in a directory.
type ldapSource struct {
	dir      *ldaptable.Directory
	scheme   string
	password string            // attribute with the stored password, "" = bind
	login    string            // attribute with the login, "" = what was looked for
	fields   map[string]string // attribute in lower case to field
	names    []string          // attributes to ask for
	secrets  map[string]bool   // mechanisms that all users can use
}

func openLDAP(path string) (source, error) {
	dir, err := ldaptable.Open(path)
	if err != nil {
		return nil, err
	}
	f := dir.File()
	s := &ldapSource{dir: dir, scheme: defaultScheme(f), password: f.Str("password_attribute", "userPassword"),
		login: f.Str("login_attribute", ""), fields: map[string]string{}}
	if bind, err := f.Bool("auth_bind", false); err != nil || bind {
		s.password = ""
		if err != nil {
			return nil, err
		}
	}
	if s.secrets, err = storedSecrets(f); err != nil {
		dir.Close()
		return nil, err
	}
	for _, w := range f.Words("user_attributes", "uid=uidNumber", "gid=gidNumber", "home=homeDirectory", "gecos=cn") {
		field, attribute, ok := strings.Cut(w, "=")
		if !ok || field == "" || attribute == "" {
			return nil, fmt.Errorf("%s: user_attributes: want field=attribute, got %q", path, w)
		}
		s.fields[strings.ToLower(attribute)] = field
		s.names = append(s.names, attribute)
	}
	for _, a := range []string{s.password, s.login} {
		if a != "" {
			s.names = append(s.names, a)
		}
	}
	return s, nil
}

func (s *ldapSource) name() string         { return "ldap" }
func (s *ldapSource) serves(m string) bool { return s.password != "" && s.secrets[m] }
func (s *ldapSource) hashless() bool       { return s.password == "" }
func (s *ldapSource) close()               { s.dir.Close() }

func (s *ldapSource) lookup(ctx context.Context, login, _ string) (*found, error) {
	entries, err := s.dir.Search(ctx, login, s.names)
	if err != nil {
		return nil, err
	}
	switch len(entries) {
	case 0:
		return nil, userdb.ErrUnknown
	case 1:
	default:
		return nil, errTwoUsers
	}
	e := entries[0]
	b := builder{login: login, scheme: s.scheme}
	for _, a := range e.Attributes {
		field := s.fields[strings.ToLower(a.Name)]
		if field == "" || len(a.Values) == 0 {
			continue
		}
		value := a.Values[0]
		if field == "aliases" || field == "sendas" || field == "disabled" || field == "networks" {
			value = strings.Join(a.Values, ",")
		}
		if err := b.add(field, value); err != nil {
			return nil, err
		}
	}
	if v := e.GetEqualFoldAttributeValue(s.login); s.login != "" && v != "" {
		if err := b.add("login", v); err != nil {
			return nil, err
		}
	}
	if s.password != "" {
		if err := b.add("password", e.GetEqualFoldAttributeValue(s.password)); err != nil {
			return nil, err
		}
	}
	r, err := b.record()
	if err != nil {
		return nil, err
	}
	f := &found{rec: r}
	if _, has := r.Hashes["systempw"]; !has {
		// The directory does not show it to us, but can check it.
		dn := e.DN
		f.check = func(ctx context.Context, password string, _ authclient.Peer) (bool, error) {
			return s.dir.Check(ctx, dn, password)
		}
	}
	return f, nil
}
