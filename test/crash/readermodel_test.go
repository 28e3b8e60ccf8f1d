package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// state is what is known of a message in a mailbox.
type state int

const (
	there  state = iota // acknowledged
	gone                // its end was acknowledged
	unsure              // the answer did not come
)

// held is a message in a mailbox, or what may be one.
type held struct {
	box   string // user/mailbox
	uid   uint32 // 0: not told
	state state
	flags []string // that were acknowledged
	at    string   // when
}

// letter is a message by its word, in all mailboxes.
type letter struct {
	word  string
	held  []*held
	ended bool // somebody asked for the end of a copy: it need not be anywhere
}

// readerModel is what must be true, by what the server has acknowledged.
type readerModel struct {
	mu       sync.Mutex
	letters  map[string]*letter
	validity map[string]uint32
	pairs    map[string]map[uint32]string // by mailbox: the word that a UID stands for, ever
	next     int

	// forgets says that flags and expunges may be as before after a fault.
	forgets bool
	// strict says that what was refused is not done later.
	strict bool
	// What is answered without power comes of a kernel that goes on without
	// its disk, and counts for nothing.
	power *atomic.Int64

	fig readerFigures
}

// readerFigures are the counts of a run.
type readerFigures struct {
	fault                         string
	cycles, commands, acked, open int
	lost, wrongUID, torn, ghost   int
	undone                        int // flags and expunges that are as before
	recover                       time.Duration
	findings                      []string
}

func (f *readerFigures) String() string {
	return fmt.Sprintf("fault=%s cycles=%d commands=%d acked=%d unknown=%d lost=%d wronguid=%d torn=%d ghost=%d undone=%d recover_max_ms=%d",
		f.fault, f.cycles, f.commands, f.acked, f.open, f.lost, f.wrongUID, f.torn, f.ghost, f.undone, f.recover.Milliseconds())
}

func newReaderModel(s *site, fault string, forgets bool) *readerModel {
	return &readerModel{power: &s.power, letters: map[string]*letter{}, validity: map[string]uint32{}, pairs: map[string]map[uint32]string{},
		forgets: forgets, fig: readerFigures{fault: fault}}
}

func (m *readerModel) find(format string, args ...any) {
	m.fig.findings = append(m.fig.findings, fmt.Sprintf(format, args...))
}

// word makes a new letter of a client.
func (m *readerModel) word(owner string) *letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	l := &letter{word: fmt.Sprintf("%s-%d", owner, m.next)}
	m.letters[l.word] = l
	return l
}

// saw takes a UID for a word, which it stands for from then on.
func (m *readerModel) saw(box string, validity, uid uint32, word string) {
	if known := m.validity[box]; known == 0 {
		m.validity[box] = validity
	} else if validity != 0 && validity != known {
		m.fig.wrongUID++
		m.find("%s: UIDVALIDITY %d, was %d", box, validity, known)
		m.validity[box], m.pairs[box] = validity, nil
	}
	if m.pairs[box] == nil {
		m.pairs[box] = map[uint32]string{}
	}
	if known, ok := m.pairs[box][uid]; uid != 0 && ok && known != word {
		m.fig.wrongUID++
		m.find("%s: UID %d is %s, was %s", box, uid, word, known)
	}
	if uid != 0 {
		m.pairs[box][uid] = word
	}
}

// result counts a command, which began with the power as it was then, and
// returns what is known after it.
func (m *readerModel) result(began int64, err error) state {
	m.fig.commands++
	if now := m.power.Load(); err == nil && (now != began || now%2 == 1) {
		m.fig.open++
		return unsure
	}
	if err == nil {
		m.fig.acked++
		return there
	}
	if !errors.Is(err, errNo) {
		m.fig.open++
	}
	return unsure
}

// added is a new copy of a letter.
func (m *readerModel) added(l *letter, box string, validity, uid uint32, began int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := &held{box: box, uid: uid, state: m.result(began, err)}
	if m.strict && errors.Is(err, errNo) {
		l.ended = l.ended || len(l.held) == 0
		return // a copy that comes all the same is a ghost
	}
	h.at = fmt.Sprintf("%s, power %d", time.Now().Format("15:04:05.000000"), m.power.Load())
	if h.state == unsure && len(l.held) == 0 {
		l.ended = true // it need not be anywhere
	}
	l.held = append(l.held, h)
	if h.state == there {
		m.saw(box, validity, uid, l.word)
	}
}

// ends is what is known after a copy was to end.
func (m *readerModel) ends(l *letter, h *held, began int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h.state = unsure
	if m.result(began, err) == there {
		h.state = gone
	}
}

// check compares a mailbox with the model, which then is as the mailbox is.
func (m *readerModel) check(box string, validity uint32, list []seenMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := uint32(0)
	byWord := map[string][]seenMessage{}
	for _, msg := range list {
		if msg.uid <= last {
			m.fig.wrongUID++
			m.find("%s: UID %d after %d", box, msg.uid, last)
		}
		last = msg.uid
		if msg.word == "" || m.letters[msg.word] == nil {
			m.fig.torn++
			m.find("%s: UID %d is not whole, or of nobody", box, msg.uid)
			continue
		}
		m.saw(box, validity, msg.uid, msg.word)
		byWord[msg.word] = append(byWord[msg.word], msg)
	}
	for _, l := range m.letters {
		m.checkLetter(l, box, byWord[l.word])
	}
}

// checkLetter compares the copies of a letter in a mailbox: first those whose
// UID is known, then the others.
func (m *readerModel) checkLetter(l *letter, box string, found []seenMessage) {
	var keep, nameless []*held
	for _, h := range l.held {
		switch {
		case h.box != box:
			keep = append(keep, h)
		case h.uid == 0:
			nameless = append(nameless, h)
		default:
			i := slices.IndexFunc(found, func(msg seenMessage) bool { return msg.uid == h.uid })
			keep, found = m.checkHeld(l, h, i, keep, found)
		}
	}
	slices.SortStableFunc(nameless, func(a, b *held) int { return int(a.state - b.state) })
	for _, h := range nameless {
		keep, found = m.checkHeld(l, h, min(0, len(found)-1), keep, found)
	}
	l.held = keep
	for _, msg := range found {
		m.fig.ghost++
		m.find("%s: %s has a copy (UID %d) that nobody asked for", box, l.word, msg.uid)
		l.held = append(l.held, &held{box: box, uid: msg.uid})
	}
}

// checkHeld compares a copy with found[i], if i is not -1. It returns what is
// kept of the copies, and what is left of those that were found.
func (m *readerModel) checkHeld(l *letter, h *held, i int, keep []*held, found []seenMessage) ([]*held, []seenMessage) {
	if i < 0 {
		if h.state == there {
			m.fig.lost++
			m.find("%s: %s (UID %d), acknowledged at %s, is lost at %s", h.box, l.word, h.uid, h.at, time.Now().Format("15:04:05.000000"))
		}
		if h.uid != 0 && m.forgets {
			h.state = gone // and may come back
			keep = append(keep, h)
		}
		return keep, found
	}
	undone := ""
	if h.state == gone {
		undone = "is back"
	}
	for _, f := range h.flags {
		if h.state == there && !strings.Contains(found[i].flags, " "+f+" ") {
			undone = "has lost " + f
		}
	}
	if undone != "" {
		m.fig.undone++
		if !m.forgets {
			m.find("%s: %s (UID %d) %s", h.box, l.word, h.uid, undone)
		}
	}
	h.uid, h.state, h.flags = found[i].uid, there, nil
	return append(keep, h), slices.Delete(found, i, i+1)
}

// settled is called when all mailboxes were compared: what nobody ended must be
// somewhere.
func (m *readerModel) settled() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for word, l := range m.letters {
		if slices.ContainsFunc(l.held, func(h *held) bool { return h.state == there }) {
			continue
		}
		if !l.ended {
			m.fig.lost++
			m.find("%s is nowhere", word)
			l.ended = true
		}
		if len(l.held) == 0 && !m.forgets {
			delete(m.letters, word)
		}
	}
}

// report prints the figures and fails the test for what is wrong.
func (m *readerModel) report(t testing.TB) {
	t.Helper()
	reportLine(t, m.fig.String())
	for n, text := range m.fig.findings {
		if n == maxFindings {
			t.Logf("... and %d more", len(m.fig.findings)-n)
			break
		}
		t.Log(text)
	}
	if m.fig.lost+m.fig.wrongUID+m.fig.torn > 0 || m.fig.undone+m.fig.ghost > 0 && !m.forgets {
		t.Errorf("the promise was broken")
	}
}

// person is a client that works on messages of its own, in mailboxes that it
// shares with others.
type person struct {
	s      *site
	m      *readerModel
	name   string
	user   string
	random *rand.Rand
	c      *reader
}

var readerBoxes = []string{"INBOX", "Other"}

// step does something at random; a connection that is lost is made anew with
// the next.
func (p *person) step() {
	if p.c == nil {
		var err error
		if p.c, err = p.s.login(p.user); err != nil {
			p.c = nil
			time.Sleep(10 * time.Millisecond)
			return
		}
	}
	var err error
	l, h := p.pick()
	switch n := p.random.IntN(100); {
	case n < 35 || h == nil:
		err = p.append()
	case n < 55:
		err = p.flag(h)
	case n < 70:
		err = p.copy(l, h, "COPY")
	case n < 85:
		err = p.copy(l, h, "MOVE")
	default:
		err = p.expunge(l, h)
	}
	if err != nil && !errors.Is(err, errNo) {
		p.c.conn.Close()
		p.c = nil
	}
}

// pick chooses one of its messages that is there.
func (p *person) pick() (*letter, *held) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	for _, l := range p.m.letters {
		if !strings.HasPrefix(l.word, p.name+"-") {
			continue
		}
		for _, h := range l.held {
			if h.state == there && h.uid != 0 {
				return l, h
			}
		}
	}
	return nil, nil
}

func boxName(h *held) string { return h.box[strings.IndexByte(h.box, '/')+1:] }

// codeNumbers are those in a response code, such as [APPENDUID 1 2].
func codeNumbers(lines []string, code string) (nums []uint32) {
	for _, line := range lines {
		_, rest, ok := strings.Cut(line, "["+code+" ")
		if !ok {
			continue
		}
		rest, _, _ = strings.Cut(rest, "]")
		for _, f := range strings.Fields(rest) {
			n, _ := strconv.ParseUint(f, 10, 32)
			nums = append(nums, uint32(n))
		}
	}
	return append(nums, 0, 0, 0)
}

func (p *person) append() error {
	l := p.m.word(p.name)
	box := readerBoxes[p.random.IntN(len(readerBoxes))]
	text := readerText(l.word, p.random.IntN(200))
	lines, err := p.c.cmd("APPEND %s {%d+}\r\n%s", box, len(text), text)
	nums := codeNumbers(lines, "APPENDUID")
	p.m.added(l, p.user+"/"+box, nums[0], nums[1], p.c.began, err)
	return err
}

func (p *person) flag(h *held) error {
	if _, err := p.c.open(boxName(h)); err != nil {
		return err
	}
	flag := []string{`\Flagged`, `\Answered`, "$Forwarded", fmt.Sprintf("k%d", p.random.IntN(40))}[p.random.IntN(4)]
	_, err := p.c.cmd("UID STORE %d +FLAGS.SILENT (%s)", h.uid, flag)
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.m.result(p.c.began, err) == there {
		h.flags = append(h.flags, flag)
	}
	return err
}

func (p *person) copy(l *letter, h *held, verb string) error {
	if _, err := p.c.open(boxName(h)); err != nil {
		return err
	}
	to := readerBoxes[p.random.IntN(len(readerBoxes))]
	if to == boxName(h) {
		return nil
	}
	lines, err := p.c.cmd("UID %s %d %s", verb, h.uid, to)
	nums := codeNumbers(lines, "COPYUID")
	p.m.added(l, p.user+"/"+to, nums[0], nums[2], p.c.began, err)
	if verb == "MOVE" {
		p.m.ends(l, h, p.c.began, err)
	}
	return err
}

func (p *person) expunge(l *letter, h *held) error {
	if _, err := p.c.open(boxName(h)); err != nil {
		return err
	}
	p.m.mu.Lock()
	l.ended = true
	p.m.mu.Unlock()
	if _, err := p.c.cmd("UID STORE %d +FLAGS.SILENT (\\Deleted)", h.uid); err != nil {
		return err
	}
	_, err := p.c.cmd("UID EXPUNGE %d", h.uid)
	p.m.ends(l, h, p.c.began, err)
	return err
}

// deliver brings a message by LMTP.
func (p *person) deliver() {
	l := p.m.word(p.name)
	began := p.s.power.Load()
	ok, err := p.s.lmtp(p.user, readerText(l.word, p.random.IntN(200)))
	if err == nil && !ok {
		err = errNo
	}
	p.m.added(l, p.user+"/INBOX", 0, 0, began, err)
}

// fetchmail takes the first message by POP3.
func (p *person) fetchmail() {
	began := p.s.power.Load()
	word, uid, done, err := p.s.pop3(p.user)
	p.m.mu.Lock()
	l := p.m.letters[word]
	p.m.mu.Unlock()
	if l == nil || !done && err == nil {
		return // nothing was to end
	}
	p.m.mu.Lock()
	l.ended = true
	p.m.mu.Unlock()
	for _, h := range l.held {
		if h.box == p.user+"/INBOX" && (h.uid == uid || h.uid == 0) {
			p.m.ends(l, h, began, err)
			return
		}
	}
}
