package userdb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/cdb"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Keys of index files that are no logins, as they have a tab. A name with a
// tab behind it leads to the login it is an alias of.
const signKey = "\tsource"

// indexFiles tells when index files change.
type indexFiles struct{ public, shadow stamp }

// indexDB is the pair of files that Make wrote.
type indexDB struct {
	public, shadow *cdb.Reader
	sign           string
	files          indexFiles
}

// IndexPath and ShadowPath name the index files of a database.
func IndexPath(path string) string  { return path + ".dat" }
func ShadowPath(path string) string { return path + "shadow.dat" }

// openIndex opens the index files. The one with the passwords must be private.
func openIndex(path string, owner int) (*indexDB, error) {
	ix := &indexDB{}
	var err error
	if ix.public, err = openDat(IndexPath(path), owner, 0o022, &ix.files.public); err != nil {
		return nil, err
	}
	if ix.shadow, err = openDat(ShadowPath(path), owner, 0o077, &ix.files.shadow); err != nil {
		ix.close()
		return nil, err
	}
	// The two belong together: one that is left from another run of Make is
	// no index of this database.
	for _, r := range []*cdb.Reader{ix.public, ix.shadow} {
		sign, _, err := r.Get(signKey)
		if err != nil || ix.sign != "" && sign != ix.sign || sign == "" {
			ix.close()
			return nil, fmt.Errorf("%s: not a complete index", IndexPath(path))
		}
		ix.sign = sign
	}
	// Lookups go on in an old index while a new one is opened; it is unmapped
	// when nobody has it any more.
	runtime.SetFinalizer(ix, func(ix *indexDB) { ix.close() })
	return ix, nil
}

func openDat(path string, owner int, forbidden os.FileMode, mark *stamp) (*cdb.Reader, error) {
	var fs safefile.FS
	f, st, err := fs.Open(path, os.O_RDONLY, safefile.Check{Owner: safefile.AnyOwner, Forbidden: forbidden, Links: true})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if uid := int(st.Uid); owner != AnyOwner && uid != 0 && uid != os.Geteuid() && uid != owner {
		return nil, fmt.Errorf("%s: %w: it belongs to uid %d", path, ErrUnsafe, uid)
	}
	*mark = newStamp(path, st)
	return cdb.Open(f)
}

func (f *indexFiles) changed() bool {
	return (&source{stamps: []stamp{f.public, f.shadow}}).changed()
}

func (ix *indexDB) close() {
	runtime.SetFinalizer(ix, nil)
	for _, r := range []*cdb.Reader{ix.public, ix.shadow} {
		if r != nil {
			r.Close()
		}
	}
}

func (ix *indexDB) get(key string) (*Record, error) {
	defer runtime.KeepAlive(ix)
	login := key
	public, found, err := ix.public.Get(key)
	if err == nil && !found {
		login, found, err = ix.public.Get(key + "\t")
		if err == nil && found {
			public, found, err = ix.public.Get(login)
		}
	}
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrUnknown
	}
	return ix.record(login, public)
}

// record joins what the two files have of a user.
func (ix *indexDB) record(login, public string) (*Record, error) {
	shadow, _, err := ix.shadow.Get(login)
	if err != nil {
		return nil, err
	}
	r, err := Parse(login, public+"|"+shadow)
	if err != nil {
		return nil, err
	}
	delete(r.Fields, locationField)
	if len(r.Fields) == 0 {
		r.Fields = nil
	}
	return r, nil
}

func (ix *indexDB) all(yield func(*Record, error) bool) bool {
	defer runtime.KeepAlive(ix)
	more := true
	err := ix.public.All(func(key, value string) bool {
		if strings.Contains(key, "\t") || isReverse(key) {
			return true
		}
		r, err := ix.record(key, value)
		more = yield(r, err)
		return more
	})
	if err != nil && more {
		return yield(nil, err)
	}
	return more
}

// locationField is where Courier's makeuserdb tells the file of a record,
// relative to the database.
const locationField = "_"

// MakeOptions are for [Make].
type MakeOptions struct {
	Owner    int // as in Options
	UID, GID int // owner of the index files; -1 leaves that of the process
}

// Make writes the index files of a database: PATH.dat with all but the fields
// that end in pw, which go to PATHshadow.dat, that only the owner may read.
// Nothing is written when a line is in error or a name is there twice.
func Make(path string, o MakeOptions) error {
	path = strings.TrimRight(path, "/")
	src, err := scan(path, o.Owner)
	if err != nil {
		return err
	}
	var problems []error
	text, err := readText(src, func(err error) {
		if len(problems) < maxProblems {
			problems = append(problems, err)
		}
	})
	if err != nil {
		return err
	}
	b := &builder{root: path}
	for i, f := range text.files {
		b.addFile(text, i, f, &problems)
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	sign := src.signature(path)
	b.put(&b.public, signKey, sign)
	b.put(&b.shadow, signKey, sign)
	if b.err != nil {
		return b.err
	}
	// The shadow first: an index that is newer than its shadow would know
	// logins without their passwords.
	if err := writeDat(ShadowPath(path), 0o600, o, &b.shadow); err != nil {
		return err
	}
	return writeDat(IndexPath(path), 0o644, o, &b.public)
}

// maxProblems bounds what is told of one database.
const maxProblems = 100

func writeDat(path string, mode os.FileMode, o MakeOptions, w *cdb.Writer) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return fmt.Errorf("%s: %w: it is a symbolic link", path, ErrUnsafe)
	}
	var fs safefile.FS
	return fs.WriteAtomic(path, mode, func(dst io.Writer) error {
		if err := chown(dst, o.UID, o.GID); err != nil {
			return err
		}
		_, err := w.WriteTo(dst)
		return err
	})
}

// builder collects the records of the two files.
type builder struct {
	root           string
	public, shadow cdb.Writer
	err            error
}

func (b *builder) put(w *cdb.Writer, key, value string) {
	if err := w.Put(key, value); err != nil && b.err == nil {
		b.err = err
	}
}

// addFile adds the records of a file, and checks each.
func (b *builder) addFile(db *textDB, i int, f textFile, problems *[]error) {
	location := strings.TrimPrefix(strings.TrimPrefix(f.path, b.root), "/")
	if location != "" {
		location += "/"
	}
	lines(f.text, func(n, off int, line string) {
		login, fields, ok, err := splitLine(line)
		if err != nil || !ok {
			return // told by readText
		}
		if s, ok := db.find(fold(login)); !ok || int(s.file) != i || int(s.off) != off+1 {
			return
		}
		if !isReverse(login) {
			if _, err = Parse(login, fields); err != nil && len(*problems) < maxProblems {
				*problems = append(*problems, at(err, f.path, n))
			}
		}
		b.add(db, login, fields, location)
	})
}

func (b *builder) add(db *textDB, login, fields, location string) {
	var public, shadow []string
	for item := range strings.SplitSeq(fields, "|") {
		name, _, ok := strings.Cut(item, "=")
		switch {
		case ok && strings.HasSuffix(name, "pw"):
			shadow = append(shadow, item)
		case item != "":
			public = append(public, item)
		}
	}
	if !isReverse(login) {
		public = append(public, locationField+"="+location)
	}
	b.put(&b.public, login, strings.Join(public, "|"))
	if len(shadow) > 0 {
		b.put(&b.shadow, login, strings.Join(shadow, "|"))
	}
	if key := fold(login); key != login {
		b.put(&b.public, key+"\t", login)
	}
	for alias := range strings.SplitSeq(fieldOf(fields, "aliases"), ",") {
		key := fold(strings.TrimSpace(alias))
		if s, ok := db.find(key); ok && s.file&aliasBit != 0 {
			b.put(&b.public, key+"\t", login)
		}
	}
}
