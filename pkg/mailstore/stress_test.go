package mailstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// truth is what must hold over all clients and processes: a UID of a folder
// stands for one message for ever.
type truth struct {
	mu      sync.Mutex
	content map[string]string // "folder uidvalidity uid" to body
	made    map[string]bool   // bodies that were acknowledged
	removed map[string]bool   // bodies that somebody was about to remove
}

func newTruth() *truth {
	return &truth{content: map[string]string{}, made: map[string]bool{}, removed: map[string]bool{}}
}

// saw notes that a message has a body, and says what is wrong with that.
func (tr *truth) saw(folder string, validity, uid uint32, body string) error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	key := fmt.Sprint(folder, " ", validity, " ", uid)
	if old, ok := tr.content[key]; ok && old != body {
		return fmt.Errorf("%s was %q and is %q", key, old, body)
	}
	tr.content[key] = body
	return nil
}

func (tr *truth) note(set map[string]bool, body string) {
	tr.mu.Lock()
	set[body] = true
	tr.mu.Unlock()
}

// bodyOf reads the last line of a message.
func bodyOf(m *Mailbox, uid uint32) (string, error) {
	c, err := m.Open(uid)
	if err != nil {
		return "", err
	}
	defer c.Close()
	text := strings.TrimRight(string(c.Bytes()), "\r\n")
	return text[strings.LastIndexByte(text, '\n')+1:], nil
}

// client is a session that checks itself: the model follows the changes as an
// IMAP client would.
type client struct {
	s     *Store
	m     *Mailbox
	name  string
	r     *rand.Rand
	tr    *truth
	id    string
	n     int
	model []string // by sequence number: uid and flags
}

func (c *client) row(seq int) string {
	msg, ok := c.m.Message(seq)
	if !ok {
		return "none"
	}
	words := c.m.KeywordNames(nil, &msg)
	slices.Sort(words)
	return fmt.Sprint(msg.UID, " ", (msg.Flags & System), " ", words)
}

func (c *client) sync(keep bool) error {
	ch, err := c.m.Sync(SyncOptions{KeepExpunged: keep})
	if err != nil {
		return err
	}
	for i, seq := range ch.Expunged {
		if seq < 1 || seq > len(c.model) || !strings.HasPrefix(c.model[seq-1], fmt.Sprint(ch.ExpungedUIDs[i], " ")) {
			return fmt.Errorf("expunge of %d (UID %d) in %v", seq, ch.ExpungedUIDs[i], c.model)
		}
		c.model = slices.Delete(c.model, seq-1, seq)
	}
	for range ch.New {
		c.model = append(c.model, c.row(len(c.model)+1))
	}
	for _, seq := range ch.Changed {
		c.model[seq-1] = c.row(seq)
	}
	if len(c.model) != c.m.Len() {
		return fmt.Errorf("the client knows %d messages, the view has %d", len(c.model), c.m.Len())
	}
	last := uint32(0)
	for seq := 1; seq <= c.m.Len(); seq++ {
		if got := c.row(seq); got != c.model[seq-1] {
			return fmt.Errorf("message %d is %q, the client knows %q", seq, got, c.model[seq-1])
		}
		msg, _ := c.m.Message(seq)
		if msg.UID <= last || msg.UID >= c.m.UIDNext() {
			return fmt.Errorf("UID %d after %d, next is %d", msg.UID, last, c.m.UIDNext())
		}
		last = msg.UID
	}
	return nil
}

// pick returns up to n random UIDs of the view, ascending.
func (c *client) pick(n int) (uids []uint32) {
	for seq := 1; seq <= c.m.Len(); seq++ {
		if msg, _ := c.m.Message(seq); c.r.IntN(c.m.Len()) < n {
			uids = append(uids, msg.UID)
		}
	}
	return uids
}

func (c *client) bg() context.Context { return context.Background() }

func (c *client) newBody() string {
	c.n++
	return fmt.Sprintf("%s-%d", c.id, c.n)
}

// step does one random thing.
func (c *client) step(other string) error {
	switch c.r.IntN(12) {
	case 0, 1:
		body := c.newBody()
		a, err := c.s.Append(c.name, []Incoming{{Content: strings.NewReader("Subject: x\r\n\r\n" + body + "\r\n"), Flags: Flags(c.r.IntN(16))}})
		if err != nil {
			return err
		}
		c.tr.note(c.tr.made, body)
		return c.tr.saw(c.name, a[0].UIDValidity, a[0].UID, body)
	case 2:
		body := c.newBody()
		_, err := c.s.Deliver(c.bg(), Delivery{Folder: c.name, Fill: fill("Subject: x\n\n" + body + "\n")})
		if err == nil {
			c.tr.note(c.tr.made, body)
		}
		return err
	case 3, 4, 5:
		_, err := c.m.Store(StoreRequest{UIDs: c.pick(4), Op: FlagOp(c.r.IntN(3)), Flags: Flags(c.r.IntN(32)) &^ Deleted, Keywords: []string{"a", "b", "c"}[:c.r.IntN(4)]})
		return err
	case 6:
		return c.expunge(c.pick(1))
	case 7:
		_, err := c.m.Move(c.pick(1), other)
		if errors.Is(err, ErrExpunged) {
			err = nil
		}
		return err
	case 8:
		return c.foreignRename()
	case 9, 10:
		return c.look()
	}
	return c.sync(c.r.IntN(3) == 0)
}

func (c *client) expunge(uids []uint32) error {
	for _, uid := range uids {
		body, err := bodyOf(c.m, uid)
		if errors.Is(err, ErrExpunged) {
			continue
		}
		if err != nil {
			return err
		}
		c.tr.note(c.tr.removed, body)
	}
	_, err := c.m.Expunge(uids, true)
	return err
}

// foreignRename sets a flag as another program does.
func (c *client) foreignRename() error {
	names, err := filepath.Glob(filepath.Join(c.m.f.dir, "cur", "*"))
	if err != nil || len(names) == 0 {
		return err
	}
	old := names[c.r.IntN(len(names))]
	base, info, _ := strings.Cut(old, ":2,")
	err = os.Rename(old, base+":2,"+[]string{"", "S", "F", "FS", info}[c.r.IntN(5)])
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return err
}

// look reads a message.
func (c *client) look() error {
	for _, uid := range c.pick(1) {
		body, err := bodyOf(c.m, uid)
		if errors.Is(err, ErrExpunged) {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.tr.saw(c.name, c.m.UIDValidity(), uid, body); err != nil {
			return err
		}
	}
	return nil
}

// stressTime is how long the stress goes on: an hour with
// POSTHOUSE_STRESS=1h, say.
func stressTime(short time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv("POSTHOUSE_STRESS")); err == nil {
		return d
	}
	return short
}

// TestStress: clients in several processes, deliveries and a foreign program
// at the same time. In the end all see the same.
func TestStress(t *testing.T) {
	root := newRoot(t)
	tr := newTruth()
	if err := open(t, root).Create("Other"); err != nil {
		t.Fatal(err)
	}
	var clients []*client
	stores := []*Store{open(t, root), open(t, root), open(t, root)}
	for i := range 12 {
		name, s := "INBOX", stores[i%len(stores)]
		if i%4 == 3 {
			name = "Other"
		}
		c := &client{s: s, m: selectBox(t, s, name), name: name, tr: tr, id: fmt.Sprint("c", i), r: rand.New(rand.NewPCG(uint64(i), 7))}
		clients = append(clients, c)
	}
	end := time.Now().Add(stressTime(4 * time.Second))
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			other := map[string]string{"INBOX": "Other", "Other": "INBOX"}[c.name]
			for n := 0; time.Now().Before(end) && !t.Failed(); n++ {
				if err := c.step(other); err != nil {
					t.Errorf("%s, step %d: %v", c.id, n, err)
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	left := map[string]bool{}
	for _, name := range []string{"INBOX", "Other"} {
		fresh := open(t, root)
		os.Remove(filepath.Join(fresh.o.Root, map[string]string{"INBOX": "", "Other": ".Other"}[name], fileIndex))
		all := []*client{{s: fresh, m: selectBox(t, fresh, name), name: name, tr: tr, id: "fresh"}}
		all[0].model = nil
		for seq := range all[0].m.Len() {
			all[0].model = append(all[0].model, all[0].row(seq+1))
		}
		for _, c := range clients {
			if c.name == name {
				all = append(all, c)
			}
		}
		agree(t, all, left)
	}
	for body := range tr.made {
		if !left[body] && !tr.removed[body] {
			t.Errorf("%s was acknowledged and is gone", body)
		}
	}
	t.Logf("%d messages made, %d left", len(tr.made), len(left))
}

// agree checks that all clients of a folder see the same, and notes the bodies.
func agree(t *testing.T, all []*client, left map[string]bool) {
	t.Helper()
	waitFor(t, "the same view for all", func() bool {
		for _, c := range all {
			if err := c.sync(false); err != nil {
				t.Fatalf("%s: %v", c.id, err)
			}
		}
		for _, c := range all[1:] {
			if !slices.Equal(c.model, all[0].model) {
				return false
			}
		}
		return true
	})
	m := all[0].m
	for seq := 1; seq <= m.Len(); seq++ {
		msg, _ := m.Message(seq)
		body, err := bodyOf(m, msg.UID)
		if err != nil {
			t.Fatal(err)
		}
		if err := all[0].tr.saw(m.name, m.UIDValidity(), msg.UID, body); err != nil {
			t.Error(err)
		}
		left[body] = true
	}
}
