package mailstore

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/changelog"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/uidlist"
)

// change is a change of a folder that is under way, with its lock held.
type change struct {
	f      *folder
	st     *state // as it was before
	modseq uint64 // of this change
	next   uint32
	ops    []changelog.Op
	words  []string // keywords, with those of this change
	files  bool     // a directory was changed
}

// change calls fn with the lock held and then commits what it did, also when
// it fails: files that were renamed stay so.
func (f *folder) change(fn func(c *change) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.locked(func() error {
		before, err := readStamps(f.dir, f.now())
		if err != nil {
			return err
		}
		if !before.same(f.st.stamps) {
			if err := f.scan(); err != nil {
				return err
			}
			if before, err = readStamps(f.dir, f.now()); err != nil {
				return err
			}
		}
		c := &change{f: f, st: f.st, modseq: f.st.modseq + 1, next: f.st.next, words: f.st.keywords}
		ferr := fn(c)
		if len(c.ops) == 0 || f.st == nil { // a commit within fn has failed
			return ferr
		}
		if c.files && before.same(f.st.stamps) {
			// What we changed is known; what others changed at the same
			// time would not be.
			if after, err := readStamps(f.dir, f.now()); err == nil {
				after.soft = true
				c.ops = append(c.ops, changelog.Op{Kind: changelog.Stamp, Text: after.String()})
			}
		}
		if err := f.commit(c.ops); err != nil {
			return err
		}
		return ferr
	})
	if err != nil && !isOurs(err) {
		err = temporary(fmt.Errorf("%s: %w", f.dir, err))
	}
	return err
}

// isOurs reports errors that callers tell apart.
func isOurs(err error) bool {
	for _, e := range []error{ErrExpunged, ErrKeywordLimit, ErrOverQuota, ErrNoMailbox, ErrReplaced, ErrReadOnly, ErrTemporary, ErrNoPermission, ErrBadRights, ErrMetadataCount} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// maxFrameOps keeps frames below what the log allows.
const maxFrameOps = 10000

// commit writes ops to the UID list and the log, and makes them the state. It
// is called with the lock held. After an error the state is loaded anew.
func (f *folder) commit(ops []changelog.Op) error {
	rest, err := f.write(ops)
	return f.settle(rest, err)
}

// settle is what comes after write.
func (f *folder) settle(rest []changelog.Op, err error) error {
	if isFull(err) && f.inNames(rest) {
		err = f.goAdrift(rest)
	}
	if err != nil {
		f.takeBackWrites()
		f.drop()
		return err
	}
	if f.log == nil || f.logOff <= max(minLog, min(f.indexLen/4, maxLog)) {
		return nil
	}
	if f.st.listSize > minList+maxListLine*int64(f.st.table.Len()) {
		err = f.compactList()
	} else {
		err = f.rotate()
	}
	if isFull(err) {
		f.loosen() // all of it is on disk
		return nil
	}
	if err != nil {
		f.drop()
	}
	return err
}

// write is commit without what comes after. With an error it returns what is
// not written.
func (f *folder) write(ops []changelog.Op) ([]changelog.Op, error) {
	if f.log == nil {
		return ops, fmt.Errorf("%w: %w", errAdrift, unix.ENOSPC)
	}
	for len(ops) > 0 {
		n := min(len(ops), maxFrameOps)
		part, err := f.addToList(ops[:n:n])
		if err != nil {
			return ops, err
		}
		st, err := f.st.apply(part)
		if err != nil {
			return ops, err
		}
		frame := changelog.AppendFrame(nil, part)
		if err := f.sh.fs.Write(f.log, frame, f.logOff); err != nil {
			return ops, err
		}
		f.news = true
		ops = ops[n:]
		f.logOff += int64(len(frame))
		f.publish(st)
	}
	f.adrift = time.Time{}
	return nil, nil
}

// A UID list that is longer than this for what it has is written anew.
const (
	minList     = 64 << 10
	maxListLine = 256
)

// The log is folded into the index when it is longer than a quarter of that,
// within these bounds.
const (
	minLog = 256 << 10
	maxLog = 8 << 20
)

// drop forgets the state, so that the next use loads it from the files.
func (f *folder) drop() {
	if f.log != nil {
		f.log.Close()
		f.log = nil
	}
	f.closeList()
	f.st = nil
}

// keyword returns the number of a keyword, which gets one if it has none.
func (c *change) keyword(name string) (int, error) {
	st := state{keywords: c.words}
	if k := st.keyword(name); k >= 0 {
		return k, nil
	}
	if !uidlist.CheckKeyword(name) {
		return 0, fmt.Errorf("%w: %q cannot be one", ErrKeywordLimit, name)
	}
	if len(c.words) >= maxKeywords {
		return 0, ErrKeywordLimit
	}
	c.ops = append(c.ops, changelog.Op{Kind: changelog.Keyword, N: int64(len(c.words)), Text: name})
	c.words = append(c.words[:len(c.words):len(c.words)], name)
	return len(c.words) - 1, nil
}

// path returns where the file of a message is.
func (f *folder) filePath(r *index.Record) string {
	if r.Flags&index.OddName != 0 {
		if name, ok := f.odd[r.UID]; ok {
			return f.path(name)
		}
	}
	return f.path(r.Path())
}

// update gives a message flags and keywords, and its file the name that says so.
func (c *change) update(r index.Record, flags index.Flags, keywords uint64) error {
	old := c.f.filePath(&r)
	n := r
	n.Flags, n.Keywords = flags&index.Kept, keywords
	path := c.f.path(n.Path())
	if old != path {
		c.f.expect(c.f.relative(old), c.f.relative(path))
		if err := c.f.sh.fs.Rename(old, path); err != nil {
			return err
		}
		c.files = true
	}
	delete(c.f.odd, r.UID)
	op := changelog.Op{Kind: changelog.Update, Record: index.Record{UID: r.UID, Flags: n.Flags, Keywords: keywords}}
	if n.Flags != r.Flags&index.Kept || keywords != r.Keywords {
		op.Record.ModSeq = c.modseq
	}
	c.ops = append(c.ops, op)
	return nil
}

// otherNames is how often a file is looked for that another program keeps
// renaming.
const otherNames = 10

// remove removes a message and its file. One that is gone already is fine.
func (c *change) remove(r index.Record) error {
	path := c.f.filePath(&r)
	for try := 0; ; try++ {
		c.f.expect(c.f.relative(path))
		err := c.f.sh.fs.Remove(path)
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrNotExist) || try == otherNames {
			return err
		}
		there := false
		if path, there, err = c.f.locate(&r); err != nil {
			return err
		}
		if !there {
			break
		}
	}
	c.files = true
	delete(c.f.odd, r.UID)
	c.ops = append(c.ops, changelog.Op{Kind: changelog.Expunge, Record: index.Record{UID: r.UID, ModSeq: c.modseq}})
	return nil
}

// add adds a message whose file has its name already, and returns its UID.
func (c *change) add(r index.Record) (uint32, error) {
	if c.next == 1<<32-1 {
		return 0, errors.New("no UID is left")
	}
	r.UID, r.ModSeq = c.next, c.modseq
	c.next++
	c.files = true
	c.ops = append(c.ops, changelog.Op{Kind: changelog.Append, Record: r})
	return r.UID, nil
}

// relative is a path below the folder.
func (f *folder) relative(path string) string { return strings.TrimPrefix(path, f.dir+"/") }

// locate looks for the file of a message under other names than expected.
func (f *folder) locate(r *index.Record) (path string, there bool, err error) {
	names, err := f.readNames()
	if err != nil {
		return "", false, err
	}
	x, ok := names[r.Base]
	if !ok {
		return "", false, nil
	}
	return f.path(x.fileName()), true, nil
}
