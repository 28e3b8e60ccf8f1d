package userdb

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how a database is read.
type Options struct {
	// Owner is the user id that the sources may belong to, besides root and
	// the own: the owner of authd. AnyOwner accepts all.
	Owner int
	// Problem is told of each line that is left out, and may be nil.
	Problem func(error)
}

// DB answers lookups, and follows changes of the text: each lookup sees what
// the files said when it began. It is safe for concurrent use.
type DB struct {
	path    string
	opts    Options
	state   atomic.Pointer[state]
	mu      sync.Mutex // held by who reads the database anew
	checked atomic.Int64
}

// store is the text in memory, or its index.
type store interface {
	// get returns the record of a folded login or alias.
	get(key string) (*Record, error)
	// all yields the records, and errors of lines, until yield says false.
	all(yield func(*Record, error) bool) bool
	close()
}

// state is the database as it was read at some time.
type state struct {
	src   *source
	index *indexFiles // nil when the text was read
	store
	err error // why it could not be read
}

func (db *textDB) close() {}

// Open opens the database at path. A database that is not there, or that
// others may read, is an error now; later on, it makes lookups fail.
func Open(path string, o Options) (*DB, error) {
	db := &DB{path: strings.TrimRight(path, "/"), opts: o}
	s := db.load()
	if s.err != nil {
		return nil, s.err
	}
	db.state.Store(s)
	return db, nil
}

// OpenAny opens a database whatever its modes and owners are, to import it. Its
// index is not looked at.
func OpenAny(path string) (*DB, error) {
	path = strings.TrimRight(path, "/")
	src, err := scan(path, trustAll)
	if err != nil {
		return nil, err
	}
	text, err := readText(src, nil)
	if err != nil {
		return nil, err
	}
	db := &DB{path: path, opts: Options{Owner: trustAll}}
	db.state.Store(&state{src: src, store: text})
	return db, nil
}

// load reads the index when it was made from the text as it is, and else the
// text. An index without its text is the database, as with Courier.
func (db *DB) load() *state {
	src, err := scan(db.path, db.opts.Owner)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &state{src: &source{}, err: err}
	}
	if src == nil {
		src = &source{}
	}
	ix, ierr := openIndex(db.path, db.opts.Owner)
	if err != nil { // there is no text
		if ierr != nil {
			return &state{src: src, err: fmt.Errorf("user database: %w", err)}
		}
		return &state{src: src, index: &ix.files, store: ix}
	}
	if ierr == nil && ix.sign == src.signature(db.path) {
		return &state{src: src, index: &ix.files, store: ix}
	}
	if ierr == nil {
		ix.close()
	}
	text, err := readText(src, db.opts.Problem)
	if err != nil {
		return &state{src: src, err: err}
	}
	return &state{src: src, store: text}
}

// manyFiles is how many files each lookup looks at; of more, at most every
// checkPause.
const (
	manyFiles  = 64
	checkPause = 50 * time.Millisecond
)

// current returns the database as the files have it now.
func (db *DB) current() (*state, error) {
	s := db.state.Load()
	if !db.isStale(s) {
		return s, s.err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	s = db.state.Load()
	if !db.isStale(s) { // somebody else was here
		return s, s.err
	}
	// An old index stays mapped until nobody has it: lookups may be in it.
	s = db.load()
	db.state.Store(s)
	return s, s.err
}

func (db *DB) isStale(s *state) bool {
	if s.err != nil {
		return true
	}
	if len(s.src.stamps) > manyFiles {
		now, last := time.Now().UnixNano(), db.checked.Load()
		if now-last < int64(checkPause) && now >= last || !db.checked.CompareAndSwap(last, now) {
			return false
		}
	}
	return s.src.changed() || s.index != nil && s.index.changed()
}

// Check reports why the database cannot be read at the moment.
func (db *DB) Check() error {
	_, err := db.current()
	return err
}

// Lookup returns the record whose login, or one of whose aliases, is the given
// one, without regard to case. The error is ErrUnknown when there is none; any
// other error says nothing about the login.
func (db *DB) Lookup(login string) (*Record, error) {
	if login == "" || len(login) > MaxLogin || login[0] == '@' || isReverse(login) {
		return nil, ErrUnknown
	}
	return db.lookup(login)
}

func (db *DB) lookup(name string) (*Record, error) {
	if strings.ContainsAny(name, "\t\n|\x00") {
		return nil, ErrUnknown
	}
	s, err := db.current()
	if err != nil {
		return nil, err
	}
	return s.get(fold(name))
}

// Resolve returns who gets mail for an address: the user with that login or
// alias; else the one without the address extension that one of the delimiters
// starts; else the user whose alias is the whole @domain. The error is
// ErrUnknown when nobody does.
func (db *DB) Resolve(address, delimiters string) (*Record, error) {
	r, err := db.Lookup(address)
	if !errors.Is(err, ErrUnknown) {
		return r, err
	}
	local, domain := address, ""
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		local, domain = address[:i], address[i:]
	}
	// The extension starts at the first delimiter, but not with the address.
	if i := strings.IndexAny(local, delimiters); i > 0 {
		r, err = db.Lookup(local[:i] + domain)
		if !errors.Is(err, ErrUnknown) {
			return r, err
		}
	}
	if len(domain) > 1 && len(domain) <= MaxLogin {
		return db.lookup(domain)
	}
	return nil, ErrUnknown
}

// All yields all records, and the errors of lines that are left out, until
// yield returns false.
func (db *DB) All(yield func(*Record, error) bool) {
	s, err := db.current()
	if err != nil {
		yield(nil, err)
		return
	}
	s.all(yield)
}
