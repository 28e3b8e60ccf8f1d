package mailstore

import (
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/changelog"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
)

// state is all that is known of a folder at one moment. It never changes.
type state struct {
	validity uint32
	id       [16]byte
	next     uint32 // the next UID
	limit    uint32 // UIDs below it can be given without a sync
	modseq   uint64
	recent   uint32 // the first UID that nobody was told to be recent
	keywords []string
	table    *index.Table
	stamps   stamps
	listSize int64 // of the UID list
	gone     *history
}

// stamps are the times of the last change of the directories, as they were
// when their content was the same as the state.
type stamps struct {
	cur, fresh int64 // of cur and new, in nanoseconds
	soft       bool  // something else may have changed within the same tick
}

func (s stamps) String() string { return fmt.Sprintf("%d %d %t", s.cur, s.fresh, s.soft) }

func parseStamps(text string) (s stamps) {
	// What does not parse leads to another look at the directories.
	_, _ = fmt.Sscanf(text, "%d %d %t", &s.cur, &s.fresh, &s.soft)
	return s
}

// same reports whether the directories have the same times.
func (s stamps) same(o stamps) bool { return s.cur == o.cur && s.fresh == o.fresh }

// tick is within which two changes of a directory may leave the same time.
const tick = 20 * time.Millisecond

// readStamps reads the times now. They are soft if a change that comes now
// could leave the same ones.
func readStamps(dir string, now time.Time) (s stamps, err error) {
	if s.cur, err = mtime(dir + "/cur"); err != nil {
		return s, err
	}
	if s.fresh, err = mtime(dir + "/new"); err != nil {
		return s, err
	}
	for _, ns := range []int64{s.cur, s.fresh} {
		window := tick
		if ns%1e9 == 0 {
			window = 2 * time.Second // a file system that counts seconds
		}
		if now.UnixNano()-ns < int64(window) {
			s.soft = true
		}
	}
	return s, nil
}

func mtime(path string) (int64, error) {
	var st unix.Stat_t
	for {
		err := unix.Lstat(path, &st)
		if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			// A link would make any directory a folder, and opening the folder
			// renames what is in new: others may have written into a shared one.
			err = unix.ENOTDIR
		}
		if err == nil {
			return st.Mtim.Nano(), nil
		}
		if err != unix.EINTR {
			return 0, &os.PathError{Op: "stat", Path: path, Err: err}
		}
	}
}

// apply returns the state after a frame of the log.
func (s *state) apply(ops []changelog.Op) (*state, error) {
	n := *s
	edit := s.table.Edit()
	var gone []goneUID
	for i := range ops {
		op := &ops[i]
		r := &op.Record
		n.modseq = max(n.modseq, r.ModSeq)
		switch op.Kind {
		case changelog.Append:
			if r.UID <= edit.Last() {
				return nil, fmt.Errorf("%w: UID %d comes after %d", changelog.ErrDamaged, r.UID, edit.Last())
			}
			edit.Append(*r)
			n.next = max(n.next, r.UID+1)
		case changelog.Update:
			if e := edit.Record(r.UID); e != nil {
				e.Flags, e.Keywords = r.Flags, r.Keywords
				e.ModSeq = max(e.ModSeq, r.ModSeq)
			}
		case changelog.Facts:
			if e := edit.Record(r.UID); e != nil {
				e.Size, e.Internal = r.Size, r.Internal
			}
		case changelog.Expunge:
			if edit.Remove(r.UID) {
				gone = append(gone, goneUID{r.UID, r.ModSeq})
			}
		default:
			n.applyOther(op)
		}
	}
	var err error
	n.table, err = edit.Done()
	n.gone = s.gone.with(gone)
	return &n, err
}

func (s *state) applyOther(op *changelog.Op) {
	switch op.Kind {
	case changelog.Keyword:
		if op.N < 0 || op.N >= maxKeywords {
			return
		}
		words := append([]string(nil), s.keywords...)
		for int64(len(words)) <= op.N {
			words = append(words, "")
		}
		words[op.N] = op.Text
		s.keywords = words
	case changelog.Stamp:
		s.stamps = parseStamps(op.Text)
	case changelog.Recent:
		s.recent = max(s.recent, op.Record.UID)
	case changelog.NextUID:
		s.next = max(s.next, op.Record.UID)
	case changelog.Limit:
		s.limit = max(s.limit, op.Record.UID)
	case changelog.ListSize:
		s.listSize = op.N
	}
}

// keyword returns the number of a keyword, or -1. RFC 9051 2.3.2: keywords are
// the same in upper and lower case.
func (s *state) keyword(name string) int {
	for i, k := range s.keywords {
		if strings.EqualFold(k, name) {
			return i
		}
	}
	return -1
}

// meta returns what the index file keeps beside the table, as one frame.
func (s *state) meta(gen uint64) []byte {
	ops := []changelog.Op{
		{Kind: changelog.NextUID, Record: index.Record{UID: s.next, ModSeq: gen}},
		{Kind: changelog.Limit, Record: index.Record{UID: s.limit}},
		{Kind: changelog.ModSeq, Record: index.Record{ModSeq: s.modseq}},
		{Kind: changelog.Recent, Record: index.Record{UID: s.recent, ModSeq: uint64(s.validity)}},
		{Kind: changelog.Stamp, Text: s.stamps.String()},
		{Kind: changelog.ListSize, N: s.listSize, Text: string(s.id[:])},
	}
	for i, k := range s.keywords {
		if k != "" {
			ops = append(ops, changelog.Op{Kind: changelog.Keyword, N: int64(i), Text: k})
		}
	}
	ops = append(ops, s.gone.ops()...)
	return changelog.AppendFrame(nil, ops)
}

// history remembers which UIDs were expunged when, for clients that come back
// (RFC 7162 3.2.10).
type history struct {
	since uint64 // what was expunged up to here is forgotten
	list  []goneUID
}

type goneUID struct {
	uid    uint32
	modseq uint64
}

// maxHistory bounds it; twice as many are kept until it is cut.
const maxHistory = 1 << 16

func (h *history) with(more []goneUID) *history {
	if len(more) == 0 {
		return h
	}
	n := &history{since: h.since, list: h.list}
	if len(n.list) > 2*maxHistory {
		cut := len(n.list) - maxHistory
		n.since = n.list[cut-1].modseq
		n.list = append([]goneUID(nil), n.list[cut:]...)
	}
	// Histories share an array; only the newest one may write behind its
	// end, and states follow one another under the folder's lock.
	n.list = append(n.list, more...)
	return n
}

func (h *history) ops() []changelog.Op {
	out := make([]changelog.Op, 0, 1+len(h.list))
	out = append(out, changelog.Op{Kind: changelog.End, Record: index.Record{ModSeq: h.since}})
	for _, g := range h.list {
		out = append(out, changelog.Op{Kind: changelog.Expunge, Record: index.Record{UID: g.uid, ModSeq: g.modseq}})
	}
	return out
}

// stateOf reads what meta wrote.
func stateOf(table *index.Table, meta []byte) (s *state, gen uint64, err error) {
	ops, n, err := changelog.NextFrame(meta)
	if err != nil || n != len(meta) || n == 0 {
		return nil, 0, index.ErrDamaged
	}
	s = &state{table: table, gone: new(history)}
	for i := range ops {
		op := &ops[i]
		switch op.Kind {
		case changelog.End:
			s.gone.since = op.Record.ModSeq
		case changelog.Expunge:
			s.gone.list = append(s.gone.list, goneUID{op.Record.UID, op.Record.ModSeq})
		case changelog.ModSeq:
			s.modseq = op.Record.ModSeq
		case changelog.ListSize:
			s.listSize = op.N
			copy(s.id[:], op.Text)
		case changelog.NextUID:
			s.next, gen = op.Record.UID, op.Record.ModSeq
		case changelog.Recent:
			s.recent, s.validity = op.Record.UID, uint32(op.Record.ModSeq)
		default:
			s.applyOther(op)
		}
	}
	if s.next <= table.Summary().Last || s.validity == 0 {
		return nil, 0, index.ErrDamaged
	}
	return s, gen, nil
}

// after returns the UIDs that were expunged after modseq, in ascending order.
func (h *history) after(modseq uint64) []uint32 {
	i := sort.Search(len(h.list), func(i int) bool { return h.list[i].modseq > modseq })
	out := make([]uint32, 0, len(h.list)-i)
	for _, g := range h.list[i:] {
		out = append(out, g.uid)
	}
	slices.Sort(out)
	return out
}
