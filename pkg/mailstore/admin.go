package mailstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/fulltext"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/uidlist"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Report is what an administrator is told of a folder.
type Report struct {
	Name        string
	Status      Status
	Source      string // who had the folder before: "dovecot", "courier" or ""
	New         bool   // it has no files of ours yet
	Problems    []string
	OwnBytes    int64 // of our own files
	Keywords    int
	OldTemp     int // files in tmp that nobody will finish
	UIDsOfOther int // POP3 UIDLs of another server
}

// ownFiles are ours in a folder, and whether they can be made again.
var ownFiles = map[string]bool{fileIndex: true, fileLog: true, fileCache: true, fileCacheMap: true, fileLock: true, fileList: false}

// Folders returns the names of all folders of the user's own.
func (s *Store) Folders() ([]string, error) {
	names, err := s.folderNames()
	sort.Strings(names)
	return names, err
}

// Report looks at a folder: it opens it, which takes over another server's
// files and repairs what has to be, and then compares the index with the list
// and the directories.
func (s *Store) Report(name string) (Report, error) {
	r := Report{Name: name}
	p, err := s.place(name)
	if err != nil {
		return r, err
	}
	f := s.sh.acquire(p.root, p.dir)
	defer s.sh.release(f)
	r.New = f.firstUse()
	r.Source = sourceOf(p.dir)
	r.Problems = f.before()
	if r.Status, err = s.Status(name, true); err != nil {
		return r, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	err = f.locked(func() error { return f.examine(&r) })
	for file := range ownFiles {
		if info, err := os.Lstat(f.path(file)); err == nil {
			r.OwnBytes += info.Size()
		}
	}
	r.OwnBytes += (&fulltext.Dir{FS: s.fs, Path: f.path(dirFullText)}).Size()
	return r, temporary(err)
}

func sourceOf(dir string) string {
	for _, s := range []struct{ file, name string }{{"dovecot-uidlist", "dovecot"}, {"courierimapuiddb", "courier"}} {
		if _, err := os.Lstat(filepath.Join(dir, s.file)); err == nil {
			return s.name
		}
	}
	return ""
}

// before finds what opening the folder would repair without a word.
func (f *folder) before() (problems []string) {
	if f.firstUse() {
		return nil
	}
	list, _, err := f.readList()
	switch {
	case err != nil:
		problems = append(problems, fmt.Sprintf("UID list: %v", err))
	case list.Damaged > 0:
		problems = append(problems, fmt.Sprintf("UID list: %d damaged lines", list.Damaged))
	}
	file, _, err := f.sh.fs.Open(f.path(fileIndex), os.O_RDONLY, safefile.Check{Owner: safefile.AnyOwner})
	if err != nil {
		return append(problems, fmt.Sprintf("index: %v", err))
	}
	defer file.Close()
	table, _, err := index.Read(file)
	if err == nil {
		err = table.Load()
	}
	if err != nil {
		problems = append(problems, fmt.Sprintf("index: %v", err))
	}
	return problems
}

// oldTemp is after how long a file in tmp is one that nobody finishes.
const oldTemp = 36 * time.Hour

// examine compares the state with the list and the directories. The lock is
// held.
func (f *folder) examine(r *Report) error {
	list, _, err := f.readList()
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, uidlist.ErrNoHeader) {
		// before has told of it, and the index knows what it had.
		if err = f.compactList(); err == nil {
			list, _, err = f.readList()
		}
	}
	if err != nil {
		return err
	}
	byUID := make(map[uint32]*uidlist.Entry, len(list.Entries))
	for i := range list.Entries {
		byUID[list.Entries[i].UID] = &list.Entries[i]
		if list.Entries[i].UIDL != "" {
			r.UIDsOfOther++
		}
	}
	names, err := f.readNames()
	if err != nil {
		return err
	}
	if list.Validity != f.st.validity {
		r.Problems = append(r.Problems, fmt.Sprintf("UID list has UIDVALIDITY %d, the index %d", list.Validity, f.st.validity))
	}
	mend := list.Damaged > 0 || list.Validity != f.st.validity
	err = f.st.table.Range(0, f.st.table.Len(), func(_ int, rec *index.Record) bool {
		if e := byUID[rec.UID]; e == nil || e.Base != rec.Base {
			mend = true
			r.Problems = append(r.Problems, fmt.Sprintf("UID %d is not in the UID list as %s", rec.UID, rec.Base))
		}
		if _, ok := names[rec.Base]; !ok {
			r.Problems = append(r.Problems, fmt.Sprintf("UID %d has no file %s", rec.UID, rec.Base))
		}
		delete(names, rec.Base)
		return len(r.Problems) < 100
	})
	for base := range names {
		if len(r.Problems) < 100 {
			r.Problems = append(r.Problems, fmt.Sprintf("file %s has no UID", base))
		}
	}
	for _, k := range f.st.keywords {
		if k != "" {
			r.Keywords++
		}
	}
	tmp, _ := f.names("tmp")
	for _, name := range tmp {
		if info, err := os.Lstat(f.path("tmp/" + name)); err == nil && f.now().Sub(info.ModTime()) > oldTemp {
			r.OldTemp++
		}
	}
	if mend && err == nil {
		// The index has what the list lost.
		return f.compactList()
	}
	return err
}

// Rebuild removes what can be made again of a folder and makes it again. UIDs
// and UIDVALIDITY stay.
func (s *Store) Rebuild(name string) error {
	p, err := s.place(name)
	if err != nil {
		return err
	}
	if !p.exists() {
		return p.missing()
	}
	f := s.sh.acquire(p.root, p.dir)
	defer s.sh.release(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	return temporary(f.locked(func() error {
		if list, _, err := f.readList(); err != nil || list.Damaged > 0 {
			// The index has what the list lost, as long as it is there.
			if err := f.compactList(); err != nil {
				return err
			}
		}
		f.closeCache()
		if err := f.removeFullText(); err != nil {
			return err
		}
		for _, file := range []string{fileCache, fileCacheMap, fileIndex} {
			if err := s.fs.Remove(f.path(file)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		f.drop()
		return f.rebuild()
	}))
}

// CleanTemp removes files in tmp that are so old that nobody finishes them.
func (s *Store) CleanTemp(name string) (removed int, err error) {
	p, err := s.place(name)
	if err != nil {
		return 0, err
	}
	if p.root != s.o.Root {
		return 0, nil // somebody else's
	}
	f := &folder{sh: s.sh, dir: p.dir, root: p.root}
	names, err := f.names("tmp")
	if err != nil {
		return 0, temporary(err)
	}
	for _, n := range names {
		info, err := os.Lstat(f.path("tmp/" + n))
		if err != nil || !info.Mode().IsRegular() || f.now().Sub(info.ModTime()) <= oldTemp {
			continue
		}
		if err := s.fs.Remove(f.path("tmp/" + n)); err == nil {
			removed++
		}
	}
	return removed, nil
}

// Expire removes messages that came into a folder before a time, with those
// of the folders below it: for Trash and Junk.
func (s *Store) Expire(name string, before time.Time) (removed int, err error) {
	names, err := s.below(name)
	if err != nil {
		return 0, err
	}
	for _, n := range append(names, name) {
		k, err := s.expireOne(n, before)
		removed += k
		if err != nil && !errors.Is(err, ErrNoMailbox) {
			return removed, err
		}
	}
	return removed, nil
}

func (s *Store) expireOne(name string, before time.Time) (int, error) {
	m, err := s.Mailbox(name, false)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	var old []uint32
	var all []Message
	err = m.Range(1, m.Len(), func(_ int, msg *Message) bool {
		all = append(all, *msg)
		return true
	})
	if err != nil {
		return 0, err
	}
	for i := range all {
		at := savedAt(&all[i])
		if at == Unknown {
			facts, err := m.Facts(&all[i])
			if errors.Is(err, ErrExpunged) {
				continue
			}
			if err != nil {
				return 0, err
			}
			at = facts.Internal
		}
		if at < before.Unix() {
			old = append(old, all[i].UID)
		}
	}
	gone, err := m.Expunge(old, true)
	return len(gone), err
}

// FolderForUse returns the folder with a special use, or def if none has it.
func (s *Store) FolderForUse(use, def string) (string, error) {
	uses, err := s.specialUses()
	if err != nil {
		return "", err
	}
	var found []string
	for name, attrs := range uses {
		for _, a := range attrs {
			if strings.EqualFold(a, use) {
				found = append(found, name)
			}
		}
	}
	sort.Strings(found)
	if len(found) > 0 {
		return found[0], nil
	}
	return def, nil
}
