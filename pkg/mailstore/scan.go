package mailstore

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/maildir"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/changelog"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/uidlist"
)

// A directory whose names are read costs time for each message, so that is
// done only when its time of change says so, and after changes of our own,
// which may hide those of others, not before scanRest times what a reading
// costs has passed.
const (
	scanRest    = 50
	scanRestMin = 2 * time.Second
)

// needsScan reports whether the directories may differ from the state.
func (f *folder) needsScan() bool {
	now := f.now()
	s, err := readStamps(f.dir, now)
	if err != nil || !s.same(f.st.stamps) || f.dirty {
		return true
	}
	if !f.st.stamps.soft || !f.watchedSince.IsZero() && f.scanned.After(f.watchedSince) {
		return false
	}
	if f.hidden() {
		return true
	}
	rest := max(scanRestMin, scanRest*f.scanCost)
	if f.scanned.IsZero() {
		f.scanned = now
	}
	return now.Sub(f.scanned) > rest && !s.soft
}

// hidden reports whether new has more messages than the state, or fewer. It is
// for times that a change of ours has set as well: deliveries take no lock, and
// who was told of one must find it at once.
func (f *folder) hidden() bool {
	names, err := f.names("new")
	if err != nil {
		return true
	}
	n := 0
	for _, name := range names {
		if maildir.CheckBase(maildir.ParseName(name).Base) {
			n++
		}
	}
	return n != f.st.table.Summary().InNew
}

// found is a message file.
type found struct {
	name  maildir.Name
	inNew bool
}

// readNames reads the names in new and cur. Of a message that is in both, or
// twice, one counts.
func (f *folder) readNames() (map[string]found, error) {
	out := make(map[string]found, f.sizeHint())
	for _, sub := range []string{"new", "cur"} {
		names, err := f.names(sub)
		if err != nil {
			return nil, err
		}
		for _, s := range names {
			n := maildir.ParseName(s)
			if !maildir.CheckBase(n.Base) {
				continue
			}
			if old, twice := out[n.Base]; twice && !old.inNew && old.name.Info > n.Info {
				continue
			}
			out[n.Base] = found{name: n, inNew: sub == "new"}
		}
	}
	return out, nil
}

func (f *folder) sizeHint() int {
	if f.st == nil {
		return 0
	}
	return f.st.table.Len()
}

func (f *folder) names(sub string) ([]string, error) {
	dir, err := f.sh.fs.OpenDirNoLink(f.path(sub))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Readdirnames(-1)
}

// record is what the name of a file says of its message.
func (x found) toRecord() index.Record {
	r := index.Record{Base: x.name.Base, Size: index.Unknown, Internal: index.Unknown}
	var odd bool
	r.Flags, r.Keywords, odd = index.ParseInfo(x.name.Info)
	if odd || !x.name.Plain {
		r.Flags |= index.OddName
	}
	if x.inNew {
		r.Flags, r.Keywords = index.InNew, 0
		if x.name.Info != "" {
			r.Flags |= index.OddName
		}
	}
	if _, wire := maildir.Sizes(r.Base); wire >= 0 {
		r.Size = wire
	}
	return r
}

// fileName is the name that the file has, relative to the folder.
func (x found) fileName() string {
	dir := "cur/"
	if x.inNew {
		dir = "new/"
	}
	switch {
	case x.name.Info == "" && x.name.Plain && x.inNew:
		return dir + x.name.Base
	case x.name.Plain || x.name.Info != "" && x.name.Info[0] != ':':
		return dir + x.name.Base + ":2," + x.name.Info
	default:
		return dir + x.name.Base + x.name.Info
	}
}

// scan makes the state what the directories say.
func (f *folder) scan() error { return f.scanWith(nil) }

// scanWith is scan that takes the UIDs of messages in known from there.
func (f *folder) scanWith(known map[string]uidlist.Entry) error {
	start := f.now()
	f.dirty = false
	s, err := readStamps(f.dir, start)
	if err != nil {
		return err
	}
	names, err := f.readNames()
	if err != nil {
		return err
	}
	ops, err := f.compare(names)
	if err != nil {
		return err
	}
	f.unsynced = f.unsynced || len(names) > 0
	ops = f.addNew(ops, names, known)
	ops = append(ops, changelog.Op{Kind: changelog.Stamp, Text: s.String()})
	rest, err := f.write(ops)
	if isFull(err) {
		rest = withoutNew(rest)
	}
	if err := f.settle(rest, err); err != nil {
		return err
	}
	f.scanned = f.now()
	f.scanCost = f.scanned.Sub(start)
	return nil
}

// compare returns what changed of the messages that are known, and takes them
// out of names.
func (f *folder) compare(names map[string]found) ([]changelog.Op, error) {
	var ops []changelog.Op
	var missing []index.Record
	modseq := f.st.modseq + 1
	table := f.st.table
	err := table.Range(0, table.Len(), func(_ int, r *index.Record) bool {
		x, ok := names[r.Base]
		if !ok {
			missing = append(missing, *r)
			return true
		}
		delete(names, r.Base)
		if op, changed := f.compareOne(r, x); changed {
			if op.Record.Flags&^index.InNew != r.Flags&^index.InNew || op.Record.Keywords != r.Keywords {
				op.Record.ModSeq = modseq
			}
			ops = append(ops, op)
		}
		return true
	})
	if err != nil || len(missing) == 0 {
		return ops, err
	}
	again, err := f.readNames()
	if err != nil {
		return nil, err
	}
	for i := range missing {
		r := &missing[i]
		// A rename during the first reading can hide a file from it.
		if x, ok := again[r.Base]; ok {
			if op, changed := f.compareOne(r, x); changed {
				op.Record.ModSeq = modseq
				ops = append(ops, op)
			}
			continue
		}
		delete(f.odd, r.UID)
		ops = append(ops, changelog.Op{Kind: changelog.Expunge, Record: index.Record{UID: r.UID, ModSeq: modseq}})
	}
	return ops, nil
}

// compareOne compares a record with its file.
func (f *folder) compareOne(r *index.Record, x found) (changelog.Op, bool) {
	n := x.toRecord()
	if n.Flags&index.OddName != 0 {
		f.odd[r.UID] = x.fileName()
	}
	const named = 1<<index.InNames - 1
	keywords := n.Keywords | r.Keywords&^named
	if n.Flags == r.Flags && keywords == r.Keywords {
		return changelog.Op{}, false
	}
	return changelog.Op{Kind: changelog.Update, Record: index.Record{UID: r.UID, Flags: n.Flags, Keywords: keywords}}, true
}

// order is how messages that are seen first get their UIDs: those that a list
// knew by that, the others by the time in their names.
func order(list []index.Record) []index.Record {
	type key struct {
		uid     uint32
		seconds int64
		i       int
	}
	keys := make([]key, len(list))
	for i := range list {
		keys[i] = key{list[i].UID, maildir.Seconds(list[i].Base), i}
		if keys[i].uid == 0 {
			keys[i].uid = 1<<32 - 1
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		if n := cmp.Or(cmp.Compare(a.uid, b.uid), cmp.Compare(a.seconds, b.seconds)); n != 0 {
			return n
		}
		return strings.Compare(list[a.i].Base, list[b.i].Base)
	})
	out := make([]index.Record, len(list))
	for i, k := range keys {
		out[i] = list[k.i]
	}
	return out
}

// addNew adds the messages that are left in names.
func (f *folder) addNew(ops []changelog.Op, names map[string]found, known map[string]uidlist.Entry) []changelog.Op {
	if len(names) == 0 {
		return ops
	}
	list := collect(names, known, f.st.table.Summary().Last)
	modseq, next := f.st.modseq+1, f.st.next
	for i := range list {
		r := &list[i]
		uidl := known[r.Base].UIDL
		if r.UID == 0 {
			r.UID = next
			next++
		}
		r.ModSeq = modseq
		if r.Flags&index.OddName != 0 {
			f.odd[r.UID] = names[r.Base].fileName()
		}
		ops = append(ops, changelog.Op{Kind: changelog.Append, Record: *r, Text: uidl})
	}
	return ops
}

// collect makes records of the files in names in the order of their UIDs. A
// UID that is not above last cannot be used any more.
func collect(names map[string]found, known map[string]uidlist.Entry, last uint32) []index.Record {
	list := make([]index.Record, 0, len(names))
	for base, x := range names {
		r := x.toRecord()
		if e, ok := known[base]; ok && e.UID > last {
			r.UID, r.GUID = e.UID, e.GUID
			r.Keywords |= e.More
		} else {
			r.GUID = uidlist.GUID(base)
		}
		list = append(list, r)
	}
	return order(list)
}

// firstScan reads the directories for a state that has no messages, gives the
// messages UIDs, and returns them.
func (f *folder) firstScan(st *state, known map[string]uidlist.Entry) ([]index.Record, error) {
	start := f.now()
	s, err := readStamps(f.dir, start)
	if err != nil {
		return nil, err
	}
	names, err := f.readNames()
	if err != nil {
		return nil, err
	}
	list := collect(names, known, 0)
	for i := range list {
		r := &list[i]
		if r.UID == 0 {
			if st.next == 1<<32-1 {
				return nil, errors.New("no UID is left")
			}
			r.UID = st.next
			st.next++
		}
		r.ModSeq = st.modseq
		if r.Flags&index.OddName != 0 {
			f.odd[r.UID] = names[r.Base].fileName()
		}
	}
	st.stamps = s
	f.scanned = f.now()
	f.scanCost = f.scanned.Sub(start)
	return list, nil
}
