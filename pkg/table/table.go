// Package table is the lookup tables of Posthouse: hash, texthash, regexp,
// proxy and the others, behind one raw lookup.
//
// A lookup has three outcomes, which callers must keep apart: found, not
// found, and failed. A failed lookup must defer mail, never bounce it and
// never grant a permission.
//
// A [Table] is asked for exactly one key. What keys a use of a table asks for
// (user+ext@domain, then user@domain, and so on) is in the package keys.
// [Maps] is a list of tables such as virtual_alias_maps, and [MatchList] a
// list such as mydestination or mynetworks.
//
// # Names
//
// A table is named "type:name". Types that Posthouse reads:
//
//	hash btree lmdb dbm sdbm cdb   indexed text file
//	texthash                       text file without an index
//	inline static environ internal fail
//	regexp pcre cidr               rules in a text file
//	unix                           passwd.byname, group.byname
//	proxy                          a table that the proxymap server opens
//	unionmap randmap pipemap       made from other tables
//	debug                          logs each lookup
//	authd                          users, as authd knows them: authd:mailbox
//	tcp socketmap                  servers with a simple protocol
//	pgsql mysql sqlite ldap        databases, which proxymap asks for the others
//
// # Index files
//
// The text is the source of truth. All indexed types share one index format,
// CDB, in the file NAME.cdb beside the text NAME. Text that is newer than the
// index is read into memory instead, with one warning, so that an edit works
// at once; no daemon ever writes an index. A Berkeley DB file NAME.db that
// Postfix made is read when it is newer than the index and not older than the
// text.
package table

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// ErrEmpty reports a table entry with an empty value. An empty result is a
// configuration error, since neither "found" nor "not found" would be right.
var ErrEmpty = errors.New("an empty string result is not allowed; a table should return NO RESULT in case of NOT FOUND")

// ErrUnsupported reports a table type that does not exist, or that is not
// linked into this program.
var ErrUnsupported = errors.New("unsupported dictionary type")

// Table is one open lookup table. It is safe for concurrent use.
type Table interface {
	// Lookup returns the value for exactly this key. An error means that
	// nothing is known about the key.
	Lookup(ctx context.Context, key string) (value string, found bool, err error)
	Close() error
}

// Patterner is implemented by tables that may match a key by a rule (regexp,
// cidr) or by a program. Such a table is asked for whole keys only: never for
// a parent domain or an address without its extension.
type Patterner interface {
	Pattern() bool
}

// Changer is implemented by tables that can tell that their source changed
// since it was opened. Changed works inside a jail.
type Changer interface {
	Changed() bool
}

// Lister is implemented by tables that can name all their entries, in the
// order of the table.
type Lister interface {
	All(yield func(key, value string) bool) error
}

// Warner is where warnings go; *maillog.Logger is one.
type Warner interface {
	Warn(queueID, format string, args ...any)
}

// Options say how tables are opened. The zero value folds case and opens
// tables directly.
type Options struct {
	// Proxy reaches the proxymap server for proxy: tables. Where it is nil,
	// the table that proxy: names is opened directly.
	Proxy *ipc.Pool
	// ConfigDir is the directory of main.cf.
	ConfigDir string
	// Log receives warnings about the text of tables; nil drops them.
	Log Warner
	// NoFold keeps the case of keys in fixed-string tables.
	NoFold bool
	// FoldASCII leaves letters outside of US-ASCII as they are.
	FoldASCII bool
	// RefuseSubstitution refuses $number in the results of regexp and pcre
	// tables, where text from a message would choose a file or a command.
	RefuseSubstitution bool
	// Sensitive is for tables that decide on user ids, files and commands
	// (alias_maps, virtual_uid_maps): no substitution, no proxy, no server
	// that is not authenticated.
	Sensitive bool
	// Aliases says that the text behind indexed tables is in the form of
	// aliases(5). Without it the form is found out by looking.
	Aliases bool
	// UTF8 makes Maps refuse values that are not valid UTF-8, and find
	// nothing under keys that are not (smtputf8_enable).
	UTF8 bool
	// Position is put in front of errors: "main.cf:12:3", or "".
	Position string
	// Authd is the socket of authd; "" is that of the queue directory, where
	// daemons work.
	Authd string
	// Drivers open tables in databases. Where there is none for such a type,
	// proxymap is asked, as for a proxy: table.
	Drivers map[string]Driver
	// Root replaces "/" when unix: reads /etc/passwd, for tests.
	Root string
}

// Driver opens a table of a type that this package does not know.
type Driver func(kind, name string, o Options) (Table, error)

// IsDatabase reports a type of table in a database. Only some programs link
// its driver.
func IsDatabase(kind string) bool {
	switch kind {
	case "pgsql", "mysql", "sqlite", "ldap":
		return true
	}
	return false
}

// openDatabase opens a table in a database, or has proxymap do so.
func openDatabase(kind, name string, o *Options, depth int) (Table, error) {
	if d := o.Drivers[kind]; d != nil {
		return d(kind, name, *o)
	}
	if o.Proxy == nil || o.Sensitive {
		return nil, fmt.Errorf("%w: %s: tables are opened by proxymap only: write proxy:%s:%s", ErrUnsupported, kind, kind, name)
	}
	return openProxy(kind+":"+name, o, depth)
}

func (o *Options) warn(format string, args ...any) {
	if o.Log != nil {
		o.Log.Warn("", format, args...)
	}
}

func (o *Options) fold(key string) string {
	switch {
	case o.NoFold:
		return key
	case o.FoldASCII:
		return FoldASCII(key)
	}
	return Fold(key)
}

// SplitSpec splits "type:name". ok is false if there is no type.
func SplitSpec(spec string) (kind, name string, ok bool) {
	kind, name, ok = strings.Cut(spec, ":")
	if !ok || kind == "" {
		return "", "", false
	}
	return kind, name, true
}

// Open opens the table that spec names as "type:name".
func Open(spec string, o Options) (Table, error) {
	t, err := open(spec, &o, 0)
	if err != nil {
		if o.Position != "" {
			return nil, fmt.Errorf("%s: open table %s: %w", o.Position, spec, err)
		}
		return nil, fmt.Errorf("open table %s: %w", spec, err)
	}
	return t, nil
}

// maxNesting bounds tables within tables (pipemap of pipemap).
const maxNesting = 10

func open(spec string, o *Options, depth int) (Table, error) {
	kind, name, ok := SplitSpec(spec)
	if !ok || name == "" {
		return nil, fmt.Errorf(`open dictionary: expecting "type:name" form instead of "%s"`, spec)
	}
	if depth > maxNesting {
		return nil, fmt.Errorf("tables nested more than %d deep", maxNesting)
	}
	switch kind {
	case "hash", "btree", "lmdb", "dbm", "sdbm", "cdb":
		return openIndexed(kind, name, o)
	case "texthash":
		return openTextHash(name, o)
	case "inline":
		return openInline(name, o)
	case "static":
		return openStatic(name)
	case "environ":
		return environTable{}, nil
	case "internal":
		return NewInternal(), nil
	case "fail":
		return failTable{}, nil
	case "regexp", "pcre", "cidr":
		return openRules(kind, name, o)
	case "unix":
		return openUnix(name, o)
	case "proxy":
		return openProxy(name, o, depth)
	case "unionmap", "randmap", "pipemap":
		return openCompound(kind, name, o, depth)
	case "debug":
		return openDebug(name, o, depth)
	case "authd":
		return openAuthd(name, o)
	case "tcp", "socketmap":
		return openNetwork(kind, name, o)
	case "pgsql", "mysql", "sqlite", "ldap":
		return openDatabase(kind, name, o, depth)
	}
	return nil, unsupported(kind)
}

func unsupported(kind string) error {
	switch kind {
	case "memcache", "mongodb", "nis":
		return fmt.Errorf("%w: %s: tables are not yet supported", ErrUnsupported, kind)
	case "netinfo", "nisplus":
		return fmt.Errorf("%w: %s: tables are not supported", ErrUnsupported, kind)
	}
	return fmt.Errorf("%w: %s", ErrUnsupported, kind)
}

// Types lists the table types that Open knows, sorted.
func Types() []string {
	return []string{"authd", "btree", "cdb", "cidr", "dbm", "debug", "environ", "fail",
		"hash", "inline", "internal", "ldap", "lmdb", "mysql", "pcre", "pgsql", "pipemap", "proxy",
		"randmap", "regexp", "sdbm", "socketmap", "sqlite", "static", "tcp",
		"texthash", "unionmap", "unix"}
}

// IsPattern reports whether a table must be asked for whole keys only.
func IsPattern(t Table) bool {
	p, ok := t.(Patterner)
	return ok && p.Pattern()
}
