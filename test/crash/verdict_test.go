package crash

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// where says in what kind of place a copy was found.
type where string

const (
	inPlace  where = "delivered"
	inTmp    where = "tmp" // the part of a Maildir where no reader looks
	inQueue  where = "queued"
	inLimbo  where = "stranded" // corrupt, or in a place that nothing looks at
	inBounce where = "bounced"
	inNotice where = "notice" // a queued bounce
)

// found is a copy of a message, or a notice about one.
type found struct {
	Where where
	ID    string // empty: a copy that names no message
	Place string // the address
	Text  string // of a delivered copy, to be compared
	From  string // file, for the report
}

// figures are the counts of one run, printed as one line.
type figures struct {
	Fault  string
	Seed   uint64
	Cycles int

	Sent, Acked, Unknown, Delivered, Queued, Bounced int
	Dup, Lost, Torn, Ghost, Stranded, WrongBounce    int
	Late, Leak                                       int
	Recover                                          []time.Duration
	Rate                                             float64
	DupBy                                            map[class]int
	Findings                                         []string
}

// bad says whether the run broke the promise.
func (f *figures) bad() bool {
	return f.Lost+f.Torn+f.Ghost+f.Stranded+f.WrongBounce > 0
}

func (f *figures) note(format string, args ...any) {
	f.Findings = append(f.Findings, fmt.Sprintf(format, args...))
}

// String is the figure line.
func (f *figures) String() string {
	p50, most := time.Duration(0), time.Duration(0)
	if len(f.Recover) > 0 {
		s := slices.Sorted(slices.Values(f.Recover))
		p50, most = s[len(s)/2], s[len(s)-1]
	}
	return fmt.Sprintf("fault=%s seed=%d cycles=%d sent=%d acked=%d unknown=%d delivered=%d queued=%d bounced=%d"+
		" dup=%d lost=%d torn=%d ghost=%d stranded=%d wrongbounce=%d recover_p50_ms=%d recover_max_ms=%d rate_msg_s=%.0f late=%d leak=%d",
		f.Fault, f.Seed, f.Cycles, f.Sent, f.Acked, f.Unknown, f.Delivered, f.Queued, f.Bounced,
		f.Dup, f.Lost, f.Torn, f.Ghost, f.Stranded, f.WrongBounce, p50.Milliseconds(), most.Milliseconds(), f.Rate, f.Late, f.Leak)
}

// key is one recipient of one message.
type key struct{ id, place string }

// tally is what was found for a key.
type tally struct {
	delivered, queued, bounced, stranded int
	from                                 []string
}

// judge compares the ledger with what was found.
func judge(f *figures, entries []entry, copies []found) {
	byID := make(map[string]*entry, len(entries))
	for i := range entries {
		byID[entries[i].ID] = &entries[i]
	}
	counts := map[key]*tally{}
	for _, c := range copies {
		f.count(counts, byID, c)
	}
	for i := range entries {
		e := &entries[i]
		f.Sent++
		switch e.Reply {
		case ack:
			f.Acked++
		case unknown:
			f.Unknown++
		}
		for _, r := range e.Rcpts {
			for _, place := range r.Places {
				c := counts[key{e.ID, place}]
				if c == nil {
					c = new(tally)
				}
				f.verdict(e, r, place, c)
			}
		}
	}
}

// count files one copy under its recipient, after comparing it with what was
// sent.
func (f *figures) count(counts map[key]*tally, byID map[string]*entry, c found) {
	e := byID[c.ID]
	if e == nil {
		if c.Where == inPlace {
			f.Torn++
			f.note("TORN: %s has no message of the ledger: %.200q", c.From, c.Text)
		}
		return
	}
	places := e.placesOf(c.Place)
	if len(places) == 0 {
		if c.Where == inPlace || c.Where == inBounce {
			f.Torn++
			f.note("MIXED: %s: %s was not sent to %s", c.From, c.ID, c.Place)
		}
		return
	}
	if c.Where == inPlace && !e.whole(c.Text) {
		f.Torn++
		f.note("TORN: %s: %s of %d bytes is not what was sent", c.From, c.ID, len(c.Text))
		return
	}
	for _, place := range places {
		k := key{c.ID, place}
		if counts[k] == nil {
			counts[k] = new(tally)
		}
		t := counts[k]
		t.from = append(t.from, string(c.Where)+" "+c.From)
		switch c.Where {
		case inPlace:
			t.delivered++
		case inQueue, inNotice:
			t.queued++
		case inBounce:
			t.bounced++
		case inTmp, inLimbo:
			t.stranded++
		}
	}
}

// placesOf returns the places that an address stands for: itself, or those of
// a recipient that is not expanded yet.
func (e *entry) placesOf(address string) []string {
	for _, r := range e.Rcpts {
		if slices.Contains(r.Places, address) {
			return []string{address}
		}
		if r.Address == address {
			return r.Places
		}
	}
	return nil
}

// verdict judges one recipient.
func (f *figures) verdict(e *entry, r recipient, place string, c *tally) {
	f.Delivered += min(c.delivered, 1)
	f.Bounced += min(c.bounced, 1)
	f.Queued += min(c.queued, 1)
	where := strings.Join(c.from, ", ")
	arrived := c.delivered + c.bounced
	switch {
	case e.Reply == nackNow:
		if arrived > 0 {
			f.Ghost++
			f.note("GHOST: %s for %s: answered %q, and yet %s", e.ID, place, e.Text, where)
		}
		return
	case e.Reply == later && arrived > 0:
		f.Late++ // committed, then the reply was lost on its way inside
	case e.Reply == ack && arrived+c.queued == 0 && c.stranded > 0:
		f.Stranded++
		f.note("STRANDED: %s by %s for %s: only %s", e.ID, e.Via, place, where)
	case e.Reply == ack && arrived+c.queued == 0:
		f.Lost++
		f.note("LOST: %s by %s for %s at %.3f s", e.ID, e.Via, place, e.Acked)
	}
	if n := arrived + c.queued; n > 1 {
		f.Dup += n - 1
		if f.DupBy == nil {
			f.DupBy = map[class]int{}
		}
		f.DupBy[r.Class] += n - 1
	}
	if c.delivered > 0 && c.bounced > 0 || c.bounced > 0 && r.Class != classHard || c.delivered > 0 && r.Class == classHard {
		f.WrongBounce++
		f.note("WRONG-BOUNCE: %s for %s (%s): %s", e.ID, place, r.Class, where)
	}
}
