package imapserver

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/fulltext"
	"github.com/posthouse-mail/posthouse/pkg/mime/structure"
)

const capFuzzy = "SEARCH=FUZZY"

// TextVersion is of how texts are found in messages. A change of that, or of
// fold, needs another number.
const TextVersion = 1

const (
	// worthLooking is how many files must be saved for a look into the index.
	worthLooking = 64
	// worthIndex is how many messages must be missing in the index for an
	// update when a mailbox is selected, worthUpdate after a search.
	worthIndex  = 500
	worthUpdate = 50
)

// lookUp asks the index about the texts of a search for which so many files
// would have to be opened. It reports whether that may decide something.
func (c *conn) lookUp(k *key, files int) bool {
	var texts []*key
	k.texts(&texts)
	if !c.o.FullText || files < worthLooking || len(texts) == 0 {
		return false
	}
	ix, err := c.mb.FullText(TextVersion).Open()
	if err != nil {
		return false
	}
	defer ix.Close()
	defer c.o.Pace.Hurry()()
	for _, t := range texts {
		if t.fuzzy != nil {
			t.scores = ix.Fuzzy(c.ctx, t.fuzzy)
		} else {
			t.found = ix.Find(c.ctx, []byte(t.text), t.kind == keyText)
		}
	}
	return true
}

// texts gathers the keys that look into bodies.
func (k *key) texts(out *[]*key) {
	if k.kind == keyBody || k.kind == keyText {
		*out = append(*out, k)
	}
	for _, sub := range k.keys {
		sub.texts(out)
	}
}

// wantIndex has the index updated if a search had to open so many files.
func (c *conn) wantIndex(files int) {
	if files >= worthUpdate {
		c.o.Indexer.want(c, worthUpdate)
	}
}

// inTextFuzzy is inText for texts that are looked for by their words.
func (m *matcher) inTextFuzzy(k *key) verdict {
	if k.scores != nil {
		if n, ok := k.scores.Score(m.msg.UID); ok {
			return m.scored(n)
		}
	}
	if !m.open {
		return maybe
	}
	if !m.openContent() {
		return no
	}
	if !m.have {
		if m.words == nil {
			m.words = fulltext.NewWords()
		}
		m.have = true
		if err := m.takeWords(m.words, 0); err != nil {
			m.note(err)
			return no
		}
	}
	return m.scored(k.fuzzy.Score(m.words))
}

// inHeaderFuzzy is inHeader for texts that are looked for by their words.
func (m *matcher) inHeaderFuzzy(k *key) verdict {
	header, ok := m.fields(k.word)
	if !ok {
		return maybe
	}
	words := fulltext.NewWords()
	words.Header(true)
	to := &wordSink{words: words}
	structure.Each(header, func(n, value []byte) {
		if equalFold(string(n), k.word) {
			to.write(decodedValue(value))
			to.end()
		}
	})
	return m.scored(k.fuzzy.Score(words))
}

func (m *matcher) scored(n int) verdict {
	if n == 0 {
		return no
	}
	m.scores.sum += n
	m.scores.n++
	return yes
}

// score is that of the message that was tried last: the mean of its keys.
func (m *matcher) score() int {
	if m.scores.n == 0 {
		return 0
	}
	return m.scores.sum / m.scores.n
}

// fullRange makes the scores of a result use the range up to 100 (RFC 6203 4).
func fullRange(found []hit) {
	best := 0
	for _, h := range found {
		best = max(best, h.score)
	}
	for i := range found {
		if best > 0 {
			found[i].score = max(1, found[i].score*100/best)
		}
	}
}

// wordSink takes the words of texts.
type wordSink struct {
	words *fulltext.Words
	limit int64 // of the texts together; 0: none
	n     int64
	buf   []byte
}

func (s *wordSink) write(p []byte) bool {
	if s.n += int64(len(p)); s.limit > 0 && s.n > s.limit {
		s.words.GiveUp()
		return true
	}
	s.buf = fold(s.buf[:0], p)
	s.words.Write(s.buf)
	return s.words.Over()
}

func (s *wordSink) end() { s.words.End() }

// takeWords takes the words of the message that is open.
func (m *matcher) takeWords(words *fulltext.Words, limit int64) error {
	words.Reset()
	to := &wordSink{words: words, limit: limit, buf: m.buf}
	defer func() { m.buf = to.buf[:0] }()
	header, err := readHeader(m.content)
	if err != nil {
		return err
	}
	words.Header(true)
	headerTexts(header, to)
	words.Header(false)
	_, err = m.bodyTexts(to)
	words.End()
	return err
}

// IndexOptions are those of [Index].
type IndexOptions struct {
	MaxText int64         // a message with more text is looked at when it is searched
	Least   int           // with fewer messages to add nothing is done
	Time    time.Duration // how long it may take; 0: as long as it takes
	Easy    bool          // leave half of a processor's time to others
}

// Index brings the full-text index of a folder up to date, and returns how
// many messages it added. Of two at once one does nothing.
func Index(ctx context.Context, store *mailstore.Store, folder string, o IndexOptions) (added int, err error) {
	mb, err := store.Mailbox(folder, true)
	if err != nil {
		return 0, err
	}
	defer mb.Close()
	if !mb.OwnsFiles() {
		return 0, nil
	}
	update, err := mb.FullText(TextVersion).Begin()
	if err != nil || update == nil {
		return 0, err
	}
	defer update.End()
	todo, err := missing(mb)
	if err != nil || len(todo) < o.Least {
		return 0, err
	}
	added, unread, err := addMissing(ctx, mb, update, todo, o)
	if err != nil {
		return added, err
	}
	there := func(uid uint32) bool {
		_, ok := mb.Find(uid)
		return ok
	}
	for more := true; more && err == nil && ctx.Err() == nil; {
		more, err = update.Tidy(there)
	}
	return added, errors.Join(unread, err)
}

// missing returns the messages that are not in the index.
func missing(mb *mailstore.Mailbox) ([]uint32, error) {
	ix, err := mb.FullText(TextVersion).Open()
	if err != nil {
		return nil, err
	}
	defer ix.Close()
	var todo []uint32
	err = mb.Range(1, mb.Len(), func(_ int, msg *mailstore.Message) bool {
		if !ix.Has(msg.UID) {
			todo = append(todo, msg.UID)
		}
		return true
	})
	return todo, err
}

// addMissing adds messages to the index. When the time is over, what was
// looked at is written, and the rest comes next time. unread says why one was left
// out: others shall not lack an index for it.
func addMissing(ctx context.Context, mb *mailstore.Mailbox, update *fulltext.Update, todo []uint32, o IndexOptions) (added int, unread, err error) {
	m := &matcher{mb: mb}
	var b fulltext.Builder
	var scratch mailstore.Scratch
	words := fulltext.NewWords()
	began := time.Now()
	busy := began
	for i, uid := range todo {
		if ctx.Err() != nil || o.Time > 0 && time.Since(began) > o.Time {
			break
		}
		m.content, err = mb.OpenIn(uid, &scratch)
		switch {
		case err == nil:
			m.root = nil
			if m.takeWords(words, o.MaxText) != nil {
				words.GiveUp()
			}
			m.content.Close()
			b.Add(uid, words)
		case unread == nil && !errors.Is(err, mailstore.ErrExpunged):
			unread = err
		}
		if b.Full() {
			added += b.Len()
			if err := update.Add(&b); err != nil {
				return added, unread, err
			}
		}
		if o.Easy && i%32 == 31 {
			time.Sleep(time.Since(busy))
			busy = time.Now()
		}
	}
	if b.Len() > 0 {
		added += b.Len()
		if err := update.Add(&b); err != nil {
			return added, unread, err
		}
	}
	return added, unread, nil
}

// Indexer updates full-text indexes for the sessions of a process, one after
// the other. The zero value is ready.
type Indexer struct {
	mu    sync.Mutex
	queue []indexJob
	last  map[string]time.Time // when a folder was selected, by place
	busy  bool
	wait  sync.WaitGroup
}

type indexJob struct {
	ctx    context.Context
	store  *mailstore.Store
	folder string
	o      IndexOptions
}

const (
	// maxJobs bounds the folders that wait, and indexTime how long one of
	// them has at once.
	maxJobs   = 64
	indexTime = 2 * time.Minute
	// selectPause is how often an index is looked at because its folder is
	// selected.
	selectPause = 10 * time.Minute
)

// want has the index of the selected mailbox updated in the background, if at
// least so many messages are missing.
func (x *Indexer) want(c *conn, least int) {
	if x == nil || !c.o.FullText || !c.mb.OwnsFiles() {
		return
	}
	j := indexJob{ctx: c.o.Background, store: c.store, folder: c.mb.Name(), o: IndexOptions{MaxText: c.o.MaxText, Least: least, Time: indexTime, Easy: true}}
	if j.ctx == nil {
		j.ctx = context.Background()
	}
	place := c.store.Root() + "\x00" + j.folder
	x.mu.Lock()
	defer x.mu.Unlock()
	if least == worthIndex {
		if time.Since(x.last[place]) < selectPause {
			return
		}
		if x.last == nil || len(x.last) > 10000 {
			x.last = make(map[string]time.Time)
		}
		x.last[place] = time.Now()
	}
	for _, other := range x.queue {
		if other.store.Root() == c.store.Root() && other.folder == j.folder {
			return
		}
	}
	if len(x.queue) >= maxJobs {
		return
	}
	x.queue = append(x.queue, j)
	if !x.busy {
		x.busy = true
		x.wait.Add(1)
		go x.work()
	}
}

func (x *Indexer) work() {
	defer x.wait.Done()
	for {
		x.mu.Lock()
		if len(x.queue) == 0 {
			x.busy = false
			x.mu.Unlock()
			return
		}
		j := x.queue[0]
		x.mu.Unlock()
		// What fails here fails again for who reads the mailbox, and is told
		// there.
		_, _ = Index(j.ctx, j.store, j.folder, j.o)
		x.mu.Lock()
		x.queue = x.queue[1:]
		x.mu.Unlock()
	}
}

// Wait waits for the end of what is under way.
func (x *Indexer) Wait() { x.wait.Wait() }
