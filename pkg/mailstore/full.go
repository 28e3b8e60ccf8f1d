package mailstore

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/changelog"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
)

// A disk without a free block must not keep people from their mail: from
// reading it, and above all from removing it. What a change of flags, a removal
// or a look at the directories tells is in the names of the files; so where the
// log has no room for it, the state goes on in memory only, and is found once
// more from the log and the files until there is room. Nothing that only the
// log knows is told meanwhile: a message that has no UID yet stays out of sight,
// and modification sequences stay as they were, so that what changed is told
// again later.

// isFull reports that a write found no room.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// errAdrift is of a commit where the state is in memory only.
var errAdrift = errors.New("the state of the folder is in memory only")

// adriftRest is how long such a state serves before the files are asked again.
const adriftRest = 2 * time.Second

// adriftStill reports a state in memory that need not be found anew yet.
func (f *folder) adriftStill() bool {
	return f.st != nil && f.log == nil && f.now().Sub(f.adrift) < adriftRest && !f.needsScan()
}

// inNames reports changes that the names of files tell of.
func (f *folder) inNames(ops []changelog.Op) bool {
	const named = 1<<index.InNames - 1
	for i := range ops {
		switch op := &ops[i]; op.Kind {
		case changelog.Expunge, changelog.Facts, changelog.Recent, changelog.Stamp:
		case changelog.Update:
			if (op.Record.Keywords^f.keywordsOf(op.Record.UID))&^named != 0 {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// withoutNew takes the messages out that have no UID yet. The directories then
// are not as the state says.
func withoutNew(ops []changelog.Op) []changelog.Op {
	kept := make([]changelog.Op, 0, len(ops))
	for _, op := range ops {
		if op.Kind != changelog.Append {
			kept = append(kept, op)
		}
	}
	return kept
}

// goAdrift makes ops the state in memory, and leaves the files as they were.
func (f *folder) goAdrift(ops []changelog.Op) error {
	f.takeBackWrites()
	part := make([]changelog.Op, len(ops))
	copy(part, ops)
	for i := range part {
		if part[i].Kind == changelog.Expunge {
			part[i].Record.ModSeq = f.st.modseq
		} else {
			part[i].Record.ModSeq = 0
		}
	}
	st, err := f.st.apply(part)
	if err != nil {
		return err
	}
	f.publish(st)
	f.news = true // the names of files tell it
	f.loosen()
	return nil
}

// loosen is the end of what goAdrift has to do: the files are asked again soon.
func (f *folder) loosen() {
	if f.adrift.IsZero() {
		f.sh.log.Warn("the disk is full: changes are kept in the names of files, new mail waits", "folder", f.dir)
	}
	f.adrift = f.now()
	if f.log != nil {
		f.log.Close()
		f.log = nil
	}
	f.closeList()
}

// takeBackWrites cuts off what of a change has been written.
func (f *folder) takeBackWrites() {
	if f.log != nil {
		_ = f.log.Truncate(f.logOff)
	}
	if f.list != nil && f.st != nil {
		_ = f.list.Truncate(f.st.listSize)
	}
}

// commitWords commits the keywords that a change makes, before a file has them
// in its name: a letter without a keyword would become the next one made.
func (c *change) commitWords() error {
	if len(c.words) == len(c.st.keywords) {
		return nil
	}
	var words, rest []changelog.Op
	for _, op := range c.ops {
		if op.Kind == changelog.Keyword {
			words = append(words, op)
		} else {
			rest = append(rest, op)
		}
	}
	if len(words) == 0 {
		return nil
	}
	c.ops = rest
	if err := c.f.commit(words); err != nil {
		return err
	}
	c.st = c.f.st
	return nil
}
