package mailstore

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/changelog"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/takeover"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/uidlist"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// maxList bounds a UID list that is read: one for ten million messages has a
// gigabyte. Memory is taken for good lines only.
const maxList = 8 << 30

// reserve is how many UIDs are set aside with one sync. After a crash of the
// system that many may be left out.
const reserve = 1000

func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// readList reads the UID list.
func (f *folder) readList() (*uidlist.List, int64, error) {
	file, st, err := f.sh.fs.Open(f.path(fileList), os.O_RDONLY, safefile.Check{Owner: safefile.AnyOwner})
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	if st.Size > maxList {
		return nil, 0, &os.PathError{Op: "read", Path: file.Name(), Err: safefile.ErrUnsafe}
	}
	list, err := uidlist.Read(io.LimitReader(file, st.Size))
	return list, st.Size, err
}

// firstList is the list of a folder that has none of ours: what another server
// knew, or nothing.
func (f *folder) firstList() (*uidlist.List, error) {
	list := new(uidlist.List)
	if f.firstUse() {
		found, err := takeover.Find(f.dir)
		if err != nil {
			return nil, err
		}
		if found != nil {
			list = found
		}
	}
	// Without a UIDVALIDITY of before it is a new one: also when our own
	// list was lost, as then UIDs would repeat.
	v, err := f.newValidity(list.Validity)
	if err != nil {
		return nil, err
	}
	list.Validity = v
	if list.Folder == [16]byte{} {
		if _, err := rand.Read(list.Folder[:]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// rewriteList writes the list of all messages of the state anew, and syncs it.
// POP3 UIDLs are taken from old, which may be nil.
func (f *folder) rewriteList(old *uidlist.List) error {
	st := f.st
	list := &uidlist.List{Validity: st.validity, Folder: st.id, Limit: st.next + reserve, Boot: f.sh.boot, Keywords: st.keywords}
	names := make(map[uint32]string)
	if old != nil && old.Validity == st.validity {
		for i := range old.Entries {
			if e := &old.Entries[i]; e.UIDL != "" {
				names[e.UID] = e.UIDL
			}
		}
	}
	list.Entries = make([]uidlist.Entry, 0, st.table.Len())
	err := st.table.Range(0, st.table.Len(), func(_ int, r *index.Record) bool {
		list.Entries = append(list.Entries, uidlist.Entry{UID: r.UID, Base: r.Base, GUID: r.GUID, UIDL: names[r.UID], More: r.Keywords &^ (1<<index.InNames - 1)})
		return true
	})
	if err != nil {
		return err
	}
	data := list.Encode()
	err = f.sh.fs.WriteAtomic(f.path(fileList), 0o600, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	f.closeList()
	f.unsynced = false
	n := *st
	n.limit, n.listSize = list.Limit, int64(len(data))
	f.publish(&n)
	return nil
}

// compactList writes the list anew and begins a new log that says so.
func (f *folder) compactList() error {
	old, _, err := f.readList()
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, uidlist.ErrNoHeader) {
		return err
	}
	if err := f.rewriteList(old); err != nil {
		return err
	}
	return f.rotate()
}

func (f *folder) closeList() {
	if f.list != nil {
		f.list.Close()
		f.list = nil
	}
}

// listFile returns the list opened for writing, as long as the state says.
func (f *folder) listFile() (*os.File, error) {
	info, err := os.Lstat(f.path(fileList))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err != nil || info.Size() < f.st.listSize {
		// Somebody has removed or cut it.
		if err := f.rewriteList(nil); err != nil {
			return nil, err
		}
		if info, err = os.Lstat(f.path(fileList)); err != nil {
			return nil, err
		}
	}
	if f.list != nil {
		// Another process may have replaced it.
		if open, err := f.list.Stat(); err != nil || !os.SameFile(info, open) {
			f.closeList()
		}
	}
	if f.list == nil {
		file, _, err := f.sh.fs.Open(f.path(fileList), os.O_RDWR, safefile.Check{Owner: safefile.AnyOwner})
		if err != nil {
			return nil, err
		}
		f.list = file
	}
	if info.Size() > f.st.listSize {
		// A process was killed before it told the log. Nobody knows those UIDs.
		if err := f.list.Truncate(f.st.listSize); err != nil {
			return nil, err
		}
	}
	return f.list, nil
}

// addToList writes the lines that ops need, and returns ops with what the log
// has to know of that.
func (f *folder) addToList(ops []changelog.Op) ([]changelog.Op, error) {
	var lines []byte
	last := uint32(0)
	for i := range ops {
		r := &ops[i].Record
		switch ops[i].Kind {
		case changelog.Append:
			lines = uidlist.AppendEntry(lines, &uidlist.Entry{UID: r.UID, Base: r.Base, GUID: r.GUID, UIDL: ops[i].Text})
			ops[i].Text = ""
			last = r.UID
			lines = f.moreKeywords(lines, r, 0)
		case changelog.Update:
			lines = f.moreKeywords(lines, r, f.keywordsOf(r.UID))
		case changelog.Keyword:
			lines = uidlist.AppendKeyword(lines, int(ops[i].N), ops[i].Text)
		}
	}
	if len(lines) == 0 {
		return ops, nil
	}
	file, err := f.listFile()
	if err != nil {
		return nil, err
	}
	off := f.st.listSize
	if last >= f.st.limit {
		limit := last + reserve
		if limit < last {
			return nil, errors.New("no UID is left")
		}
		line := uidlist.AppendLimit(nil, limit, f.sh.boot)
		if err := f.sh.fs.Write(file, line, off); err != nil {
			return nil, err
		}
		if err := f.sh.fs.Sync(file); err != nil {
			return nil, err
		}
		off += int64(len(line))
		ops = append(ops, changelog.Op{Kind: changelog.Limit, Record: index.Record{UID: limit}})
	}
	if err := f.sh.fs.Write(file, lines, off); err != nil {
		return nil, err
	}
	return append(ops, changelog.Op{Kind: changelog.ListSize, N: off + int64(len(lines))}), nil
}

// moreKeywords adds the line of keywords that no file name keeps, if they are
// not those that the list has.
func (f *folder) moreKeywords(lines []byte, r *index.Record, before uint64) []byte {
	const named = 1<<index.InNames - 1
	if r.Keywords&^named == before&^named {
		return lines
	}
	return uidlist.AppendMore(lines, r.UID, r.Keywords&^named)
}

func (f *folder) keywordsOf(uid uint32) uint64 {
	i, ok, err := f.st.table.Search(uid)
	if err != nil || !ok {
		return 0
	}
	r, err := f.st.table.At(i)
	if err != nil {
		return 0
	}
	return r.Keywords
}
