package mailstore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/changelog"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/takeover"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/uidlist"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// followLocked makes f.st what the files say, whatever it takes. The lock is
// held.
func (f *folder) followLocked() error {
	if f.st != nil && f.log != nil {
		done, err := f.followHere()
		if err == nil && done {
			return nil
		}
	}
	err := f.load()
	if err == nil {
		return nil
	}
	if !errors.Is(err, index.ErrDamaged) && !errors.Is(err, changelog.ErrDamaged) && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if !errors.Is(err, os.ErrNotExist) {
		f.sh.log.Warn("index is rebuilt", "folder", f.dir, "reason", err)
	}
	return f.rebuild()
}

// followHere follows the log that is open. done is false if it cannot be
// followed to its end.
func (f *folder) followHere() (done bool, err error) {
	ok, err := f.follow()
	if ok || err != nil {
		return ok, err
	}
	var st unix.Stat_t
	if err := unix.Stat(f.path(fileLog), &st); err != nil || st.Ino != f.logIno || st.Size < f.logOff {
		return f.nextLog()
	}
	// With the lock held nobody is writing: what cannot be read is what a
	// process left that was killed, or damage.
	return false, changelog.ErrDamaged
}

// nextLog goes on with the log that replaced the one that is open, if it
// follows it directly.
func (f *folder) nextLog() (bool, error) {
	if _, err := f.readLog(); err != nil {
		return false, err
	}
	ops, n, err := f.nextFrame()
	if err != nil || n == 0 || len(ops) != 1 || ops[0].Kind != changelog.End {
		return false, nil
	}
	next := ops[0].Record.ModSeq
	file, h, err := f.openLog()
	if err != nil {
		return false, err
	}
	if h.Generation != next || h.Validity != f.st.validity {
		file.Close()
		return false, nil
	}
	f.useLog(file, h)
	return f.readLog()
}

func (f *folder) openLog() (*os.File, changelog.Header, error) {
	file, _, err := f.sh.fs.Open(f.path(fileLog), os.O_RDWR, safefile.Check{Owner: safefile.AnyOwner})
	if err != nil {
		return nil, changelog.Header{}, err
	}
	b := make([]byte, changelog.HeaderSize)
	if _, err := file.ReadAt(b, 0); err != nil && err != io.EOF {
		file.Close()
		return nil, changelog.Header{}, err
	}
	h, err := changelog.ParseHeader(b)
	if err != nil {
		file.Close()
	}
	return file, h, err
}

func (f *folder) useLog(file *os.File, h changelog.Header) {
	if f.log != nil {
		f.log.Close()
	}
	_, ino, _ := safefile.Inode(file)
	f.log, f.logIno, f.logOff, f.gen = file, ino, changelog.HeaderSize, h.Generation
}

// readIndex reads the index, whose file stays open as long as it is used.
func (f *folder) readIndex() (st *state, gen uint64, err error) {
	file, _, err := f.sh.fs.Open(f.path(fileIndex), os.O_RDONLY, safefile.Check{Owner: safefile.AnyOwner})
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	table, meta, err := index.Read(file)
	if err != nil {
		return nil, 0, err
	}
	if st, gen, err = stateOf(table, meta); err != nil {
		return nil, 0, err
	}
	if table.Len() <= readAtOnce {
		// Damage is found now, and not when a client asks.
		if err := table.Load(); err != nil {
			return nil, 0, err
		}
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	f.index, f.indexLen = file, info.Size()
	return st, gen, nil
}

// load reads the index and the log behind it.
func (f *folder) load() error {
	st, gen, err := f.readIndex()
	if err != nil {
		return err
	}
	log, h, err := f.openLog()
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, changelog.ErrDamaged) {
		return err
	}
	if err != nil || h.Generation != gen || h.Validity != st.validity {
		if err == nil {
			log.Close()
		}
		return f.recover(st, "no log for the index")
	}
	f.useLog(log, h)
	f.publish(st)
	ok, err := f.readLog()
	if err != nil {
		return err
	}
	switch {
	case !ok:
		return f.recover(f.st, "the log ends in damage")
	case !f.sh.sameBoot(h.Boot):
		return f.recover(f.st, "")
	}
	return f.checkList()
}

// readAtOnce is up to how many messages an index is read as a whole. Of larger
// ones parts are read when somebody looks at them.
const readAtOnce = 4096

func bootBytes(id string) (b [16]byte) { return uidlist.GUID(id) }

// recover goes on from a state of which the newest part may be missing. What
// is told of UIDs and modification sequences from here on must be beyond
// everything that was told before.
func (f *folder) recover(st *state, reason string) error {
	if reason != "" {
		f.sh.log.Warn("index is repaired", "folder", f.dir, "reason", reason)
	}
	n := *st
	n.next = max(n.next, n.limit)
	n.modseq = f.modseqFloor(n.modseq)
	n.stamps = stamps{}
	f.publish(&n)
	known, err := f.mergeList()
	if err == nil {
		err = f.rotate()
	}
	if isFull(err) {
		f.loosen()
	} else if err != nil {
		return err
	}
	return f.scanWith(known)
}

// modseqFloor is a modification sequence that is higher than any that can
// have been told: they grow by one for each change, and this by a million for
// each second.
func (f *folder) modseqFloor(last uint64) uint64 {
	return max(last+1, uint64(f.sh.now().Unix())<<20)
}

// checkList looks whether the UID list is as the log left it.
func (f *folder) checkList() error {
	info, err := os.Lstat(f.path(fileList))
	if err == nil && info.Size() == f.st.listSize {
		return nil
	}
	known, err := f.mergeList()
	if err != nil {
		return err
	}
	return f.scanWith(known)
}

// mergeList reads the UID list, which has lines that the state does not know,
// or lacks some. It returns what the state does not know.
func (f *folder) mergeList() (map[string]uidlist.Entry, error) {
	f.closeList()
	list, size, err := f.readList()
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, uidlist.ErrNoHeader) {
		return nil, err
	}
	if errors.Is(err, uidlist.ErrNoHeader) {
		list.Validity = f.st.validity
	}
	f.learn(list)
	known := f.unknownTo(list)
	if err != nil || list.Validity != f.st.validity || size < f.st.listSize || list.Damaged > 0 {
		f.sh.log.Warn("UID list is written anew", "folder", f.dir, "reason", err)
		return known, f.rewriteList(list)
	}
	n := *f.st
	n.listSize = size
	f.publish(&n)
	return known, nil
}

// learn takes from the UID list which UIDs may have been given, and keywords.
func (f *folder) learn(list *uidlist.List) {
	if list == nil || list.Validity != f.st.validity {
		return
	}
	n := *f.st
	n.limit = max(n.limit, list.Limit)
	if !f.sh.sameBoot(bootBytes(list.Boot)) {
		n.next = max(n.next, list.Limit)
	}
	n.next = max(n.next, nextOf(list))
	for i, k := range list.Keywords {
		if i >= len(n.keywords) || n.keywords[i] == "" {
			n.applyOther(&changelog.Op{Kind: changelog.Keyword, N: int64(i), Text: k})
		}
	}
	f.publish(&n)
}

// unknownTo returns the entries of the list that are newer than the state's
// messages. The next UID does not tell, as it may have been set higher.
func (f *folder) unknownTo(list *uidlist.List) map[string]uidlist.Entry {
	known := make(map[string]uidlist.Entry)
	if list == nil || list.Validity != f.st.validity {
		return known
	}
	for _, e := range list.Entries {
		if e.UID > f.st.table.Summary().Last {
			known[e.Base] = e
		}
	}
	return known
}

func nextOf(list *uidlist.List) uint32 {
	next := uint32(1)
	for i := range list.Entries {
		next = max(next, list.Entries[i].UID+1)
	}
	return next
}

// rebuild makes everything from the UID list and the directories.
func (f *folder) rebuild() error {
	f.closeList()
	known := make(map[string]uidlist.Entry)
	list, size, made, err := f.anyList()
	if err != nil {
		return err
	}
	st := &state{validity: list.Validity, id: list.Folder, limit: list.Limit, keywords: list.Keywords,
		table: index.New(nil), gone: new(history), listSize: size, modseq: 1}
	st.next = max(nextOf(list), list.Limit)
	if !made || len(list.Entries) > 0 {
		// Clients may have seen modification sequences of before.
		st.modseq = f.modseqFloor(0)
	}
	st.gone.since = st.modseq
	for _, e := range list.Entries {
		known[e.Base] = e
	}
	recs, err := f.firstScan(st, known)
	if err != nil {
		return err
	}
	st.table = index.New(recs)
	st.recent = st.next
	if made {
		st.recent = firstRecent(recs, known, st.next)
	}
	f.publish(st)
	if err := f.rewriteList(list); err != nil {
		return err
	}
	return f.rotate()
}

// anyList returns the UID list, or a new one, as made says. One that has lost
// its header counts if the log still tells the UIDVALIDITY.
func (f *folder) anyList() (list *uidlist.List, size int64, made bool, err error) {
	list, size, err = f.readList()
	if errors.Is(err, uidlist.ErrNoHeader) {
		if log, h, lerr := f.openLog(); lerr == nil {
			log.Close()
			f.sh.log.Warn("UID list has lost its header", "folder", f.dir)
			list.Validity = h.Validity
			_, err = rand.Read(list.Folder[:])
			return list, size, false, err
		}
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, uidlist.ErrNoHeader) {
		list, err = f.firstList()
		return list, 0, true, err
	}
	return list, size, false, err
}

// firstRecent returns from which UID on messages are recent: those that no
// list knew.
func firstRecent(recs []index.Record, known map[string]uidlist.Entry, next uint32) uint32 {
	for i := range recs {
		if _, ok := known[recs[i].Base]; !ok {
			return recs[i].UID
		}
	}
	return next
}

// rotate writes the index, begins a new log, and tells in the old one.
func (f *folder) rotate() error {
	gen := uint64(f.sh.now().UnixNano())
	if gen <= f.gen {
		gen = f.gen + 1
	}
	var written *index.Written
	file, err := f.sh.fs.Replace(f.path(fileIndex), 0o600, func(w io.Writer) (err error) {
		written, err = f.st.table.Write(w, f.st.meta(gen))
		return err
	})
	if err != nil {
		return err
	}
	h := changelog.Header{Validity: f.st.validity, Generation: gen, Boot: bootBytes(f.sh.boot)}
	if f.log != nil {
		end := changelog.AppendFrame(nil, []changelog.Op{{Kind: changelog.End, Record: index.Record{ModSeq: gen}}})
		// Who follows the old log reads the index if this gets lost.
		_ = f.sh.fs.Write(f.log, end, f.logOff)
	}
	log, err := f.sh.fs.Replace(f.path(fileLog), 0o600, func(w io.Writer) error {
		_, err := w.Write(changelog.AppendFrame(h.Encode(), []changelog.Op{
			{Kind: changelog.ListSize, N: f.st.listSize},
			{Kind: changelog.Limit, Record: index.Record{UID: f.st.limit}},
		}))
		return err
	})
	if err != nil {
		file.Close()
		if f.log != nil { // it does not belong to the index any more
			f.log.Close()
			f.log = nil
		}
		return err
	}
	f.useLog(log, h)
	f.news = true
	written.Attach(file)
	if f.st.table.Len() > keepInMemory {
		f.st.table.Drop()
	}
	f.index = file
	if info, err := file.Stat(); err == nil {
		f.indexLen = info.Size()
	}
	return nil
}

// keepInMemory is up to how many messages an index that was just written stays
// in memory.
const keepInMemory = 50000

// newValidity returns a UIDVALIDITY that no folder of this Maildir had.
func (f *folder) newValidity(atLeast uint32) (uint32, error) {
	path := f.root + "/" + fileValidity
	file, _, err := f.sh.fs.Open(path, os.O_RDWR, safefile.Check{Owner: safefile.AnyOwner})
	if errors.Is(err, os.ErrNotExist) {
		if file, err = f.sh.fs.Create(path, 0o600); errors.Is(err, os.ErrExist) {
			file, _, err = f.sh.fs.Open(path, os.O_RDWR, safefile.Check{Owner: safefile.AnyOwner})
		}
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	ctx, cancel := contextFor(lockPatience)
	defer cancel()
	if err := lockSoon(ctx, file); err != nil {
		return 0, err
	}
	b := make([]byte, 64)
	n, err := file.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return 0, err
	}
	last := takeover.LastValidity(f.root)
	if noted := uint32(0); n > 0 {
		_, _ = fmt.Sscanf(string(b[:n]), "%d", &noted)
		last = max(last, noted)
	}
	v := atLeast
	if v == 0 {
		v = max(uint32(f.sh.now().Unix()), last+1)
	}
	if v <= last {
		return v, nil
	}
	if err := f.sh.fs.Write(file, fmt.Appendf(nil, "%010d\n", v), 0); err != nil {
		return 0, err
	}
	return v, f.sh.fs.Sync(file)
}

// fileValidity is in the root of a Maildir: the highest UIDVALIDITY given.
const fileValidity = "posthouse-uidvalidity"

// firstUse is when a folder without any of our files is seen first.
func (f *folder) firstUse() bool {
	for _, name := range []string{fileIndex, fileLog, fileList} {
		if _, err := os.Lstat(f.path(name)); err == nil {
			return false
		}
	}
	return true
}

// now is the time by the process's clock.
func (f *folder) now() time.Time { return f.sh.now() }
