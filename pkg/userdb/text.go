package userdb

import (
	"hash/maphash"
	"strings"
)

// textDB is the database in memory: the text as it is, and a hash table of
// line starts. Records are made from the line when they are asked for, so that
// 100,000 users cost their text and a few bytes each.
type textDB struct {
	files []textFile
	seed  maphash.Seed
	slots []slot // open addressing; off is 0 in a free one
	used  int
}

type textFile struct {
	path string
	text string
}

// slot leads from the hash of a login or alias to a line.
type slot struct {
	hash uint32
	file uint32 // index in files; the top bit says that the name is an alias
	off  uint32 // of the line, plus 1
}

const aliasBit = 1 << 31

// readText reads the files of a source. problem is called for each line that
// is left out; it may be nil.
func readText(s *source, problem func(error)) (*textDB, error) {
	db := &textDB{seed: maphash.MakeSeed()}
	size := 0
	for _, m := range s.stamps {
		if m.dir {
			continue
		}
		text, err := readFile(m.path)
		if err != nil {
			return nil, err
		}
		db.files = append(db.files, textFile{m.path, text})
		size += strings.Count(text, "\n")
	}
	db.grow(size + size/4)
	if problem == nil {
		problem = func(error) {}
	}
	// Logins of all files go before all aliases: whose login an address is,
	// is not for others to say.
	for i := range db.files {
		db.index(i, false, problem)
	}
	for i := range db.files {
		db.index(i, true, problem)
	}
	return db, nil
}

// lines calls yield for each line of a text, with its number and offset.
func lines(text string, yield func(number, offset int, line string)) {
	for n, off := 1, 0; off < len(text); n++ {
		end := strings.IndexByte(text[off:], '\n')
		if end < 0 {
			end = len(text) - off
		}
		yield(n, off, text[off:off+end])
		off += end + 1
	}
}

// index enters the logins of a file, or the aliases.
func (db *textDB) index(file int, aliases bool, problem func(error)) {
	f := db.files[file]
	lines(f.text, func(n, off int, line string) {
		report := func(err error) { problem(at(err, f.path, n)) }
		login, fields, ok, err := splitLine(line)
		if len(line) > MaxLine {
			err = syntaxErrorf("a line is longer than %d bytes", MaxLine)
		}
		if err != nil || !ok {
			if err != nil && !aliases {
				report(err)
			}
			return
		}
		if !aliases {
			if dup, ok := db.insert(login, file, off, false); !ok {
				report(syntaxErrorf("%q is already in %s", login, db.place(dup)))
			}
			return
		}
		for alias := range strings.SplitSeq(fieldOf(fields, "aliases"), ",") {
			if alias = strings.TrimSpace(alias); alias == "" {
				continue
			}
			if dup, ok := db.insert(alias, file, off, true); !ok {
				report(syntaxErrorf("the alias %q is already in %s", head(alias), db.place(dup)))
			}
		}
	})
}

// at adds the place to a syntax error.
func at(err error, file string, line int) error {
	if s, ok := err.(*SyntaxError); ok && s.File == "" {
		return &SyntaxError{File: file, Line: line, Text: s.Text}
	}
	return err
}

// fieldOf finds a field in text form.
func fieldOf(fields, name string) string {
	value := ""
	for fields != "" {
		var item string
		item, fields, _ = strings.Cut(fields, "|")
		if v, ok := strings.CutPrefix(item, name); ok && strings.HasPrefix(v, "=") {
			value = v[1:]
		}
	}
	return value
}

func (db *textDB) hash(key string) uint32 {
	return uint32(maphash.String(db.seed, key))
}

// grow makes room for n names.
func (db *textDB) grow(n int) {
	size := 64
	for size < n*3/2 {
		size *= 2
	}
	old := db.slots
	db.slots = make([]slot, size)
	for _, s := range old {
		if s.off != 0 {
			db.place1(s)
		}
	}
}

func (db *textDB) place1(s slot) {
	mask := uint32(len(db.slots) - 1)
	i := s.hash & mask
	for db.slots[i].off != 0 {
		i = (i + 1) & mask
	}
	db.slots[i] = s
}

// insert enters a name, unless it is there: then that slot comes back.
func (db *textDB) insert(name string, file, off int, alias bool) (slot, bool) {
	key := fold(name)
	if s, ok := db.find(key); ok {
		return s, false
	}
	if db.used >= len(db.slots)*3/4 {
		db.grow(len(db.slots))
	}
	s := slot{hash: db.hash(key), file: uint32(file), off: uint32(off) + 1}
	if alias {
		s.file |= aliasBit
	}
	db.place1(s)
	db.used++
	return s, true
}

// find looks a folded name up.
func (db *textDB) find(key string) (slot, bool) {
	h := db.hash(key)
	mask := uint32(len(db.slots) - 1)
	for i := h & mask; db.slots[i].off != 0; i = (i + 1) & mask {
		if s := db.slots[i]; s.hash == h && db.holds(s, key) {
			return s, true
		}
	}
	return slot{}, false
}

// line returns the login and fields that a slot leads to.
func (db *textDB) line(s slot) (login, fields string) {
	text := db.files[s.file&^aliasBit].text[s.off-1:]
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	login, fields, _ = strings.Cut(text, "\t")
	return login, fields
}

// holds tells whether the line of a slot has a folded name.
func (db *textDB) holds(s slot, key string) bool {
	login, fields := db.line(s)
	if s.file&aliasBit == 0 {
		return fold(login) == key
	}
	for alias := range strings.SplitSeq(fieldOf(fields, "aliases"), ",") {
		if fold(strings.TrimSpace(alias)) == key {
			return true
		}
	}
	return false
}

// place names the line of a slot as file:line.
func (db *textDB) place(s slot) string {
	file, line := db.where(s)
	return (&SyntaxError{File: file, Line: line}).place()
}

func (db *textDB) where(s slot) (file string, line int) {
	f := db.files[s.file&^aliasBit]
	return f.path, 1 + strings.Count(f.text[:s.off-1], "\n")
}

// get returns the record of a folded login or alias.
func (db *textDB) get(key string) (*Record, error) {
	s, ok := db.find(key)
	if !ok {
		return nil, ErrUnknown
	}
	login, fields := db.line(s)
	if isReverse(login) {
		return nil, ErrUnknown
	}
	// The memory of a record must not keep the whole text alive.
	r, err := Parse(strings.Clone(login), strings.Clone(fields))
	if err != nil {
		file, n := db.where(s)
		return nil, at(err, file, n)
	}
	return r, nil
}

// all yields the records in the order of the text, or the error of a line.
func (db *textDB) all(yield func(*Record, error) bool) bool {
	for i, f := range db.files {
		more := true
		lines(f.text, func(n, off int, line string) {
			if !more {
				return
			}
			r, err := ParseLine(line)
			if err != nil {
				more = yield(nil, at(err, f.path, n))
				return
			}
			if r == nil {
				return
			}
			// Only the first of two with the same name counts.
			if s, ok := db.find(fold(r.Login)); ok && int(s.file) == i && int(s.off) == off+1 {
				more = yield(r, nil)
			}
		})
		if !more {
			return false
		}
	}
	return true
}
