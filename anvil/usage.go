package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// maxUsers bounds the users whose sending is counted; they have logged in, so
// there are no more than the site has.
const maxUsers = 200000

// maxUsage bounds what is read back: a line for each user.
const maxUsage = maxUsers * 300

// The windows in which a user's messages and recipients are counted.
var windows = [...]struct {
	name   string
	length int64 // seconds
}{{"hour", 3600}, {"day", 86400}}

// The things that are counted.
const (
	countMessages = iota
	countRecipients
	numCounted
)

func countedNames() [numCounted]string { return [...]string{"messages", "recipients"} }

// window counts in the current span and remembers the one before: what of that
// still lies within one length of time is taken to be evenly spread.
type window struct {
	start   int64
	now     [numCounted]int
	before  [numCounted]int
	noticed [numCounted]bool // the limit was reached in this span, and told
}

// userUse is what one user has sent lately.
type userUse [len(windows)]window

// advance moves a window on to the span of t.
func (w *window) advance(t, length int64) {
	span := t - t%length
	switch {
	case span == w.start:
		return
	case span == w.start+length:
		w.before = w.now
	default:
		w.before = [numCounted]int{}
	}
	w.start, w.now, w.noticed = span, [numCounted]int{}, [numCounted]bool{}
}

// used estimates how much was done within the last length of time.
func (w *window) used(kind int, t, length int64) int {
	left := length - (t - w.start)
	return w.now[kind] + int(int64(w.before[kind])*max(0, min(left, length))/length)
}

// usage is the account of all users.
type usage struct {
	users map[string]*userUse
	dirty bool
}

func newUsage() *usage { return &usage{users: map[string]*userUse{}} }

// spend counts what a user wants to do, if that is within all limits. Nothing
// is counted otherwise.
func (u *usage) spend(req ipc.List, t int64) ipc.List {
	login := req.Value("ident")
	if login == "" || len(login) > 300 {
		return ipc.List{}.Int("status", -1)
	}
	var amount [numCounted]int
	var limits [len(windows)][numCounted]int
	for k, name := range countedNames() {
		amount[k] = small(req, name)
		for i, w := range windows {
			limits[i][k] = small(req, name+"_"+w.name)
		}
	}
	use := u.users[login]
	if use == nil {
		if len(u.users) >= maxUsers {
			u.expire(t)
		}
		if len(u.users) >= maxUsers {
			return ipc.List{}.Int("status", -1)
		}
		use = &userUse{}
		u.users[login] = use
	}
	u.dirty = true
	for i := range use {
		use[i].advance(t, windows[i].length)
	}
	for i := range use {
		for k, n := range amount {
			if limit := limits[i][k]; n > 0 && limit > 0 && use[i].used(k, t, windows[i].length)+n > limit {
				first := !use[i].noticed[k]
				use[i].noticed[k] = true
				return ipc.List{}.Int("status", 0).Str("over", countedNames()[k]+"_"+windows[i].name).
					Int("limit", int64(limit)).Bool("first", first)
			}
		}
	}
	for i := range use {
		for k, n := range amount {
			use[i].now[k] += n
		}
	}
	reply := ipc.List{}.Int("status", 0)
	if ahead := min(small(req, "ahead"), anvilclient.MaxAhead); ahead > 0 {
		more := use.ahead(ahead, limits, t)
		reply = reply.Int("ahead_messages", int64(more[countMessages])).
			Int("ahead_recipients", int64(more[countRecipients])).Int("time", t)
	}
	return reply
}

// aheadPart is which part of the room below a limit may be counted ahead: so
// little that another server of the same user does not come to the limit early.
const aheadPart = 32

// ahead counts up to n more of each kind.
func (use *userUse) ahead(n int, limits [len(windows)][numCounted]int, t int64) (more [numCounted]int) {
	for k := range more {
		more[k] = n
		for i := range use {
			if limit := limits[i][k]; limit > 0 {
				more[k] = min(more[k], (limit-use[i].used(k, t, windows[i].length))/aheadPart)
			}
		}
		more[k] = max(0, more[k])
		for i := range use {
			use[i].now[k] += more[k]
		}
	}
	return more
}

// unspend takes back what was counted ahead and not used, from the spans in
// which it was counted.
func (u *usage) unspend(req ipc.List, t int64) ipc.List {
	use := u.users[req.Value("ident")]
	at, err := req.GetInt("time")
	if use == nil || err != nil {
		return ipc.List{}.Int("status", -1)
	}
	u.dirty = true
	for i := range use {
		w, length := &use[i], windows[i].length
		w.advance(t, length)
		for k, name := range countedNames() {
			n := min(small(req, name), 2*anvilclient.MaxAhead)
			switch at - at%length {
			case w.start:
				w.now[k] = max(0, w.now[k]-n)
			case w.start - length:
				w.before[k] = max(0, w.before[k]-n)
			}
		}
	}
	return ipc.List{}.Int("status", 0)
}

func small(req ipc.List, name string) int {
	n, err := req.GetInt(name)
	if err != nil {
		return 0
	}
	return int(max(0, min(n, 1<<30)))
}

// expire forgets users that have sent nothing for two days.
func (u *usage) expire(t int64) {
	for login, use := range u.users {
		if day := use[len(use)-1]; t-day.start > 2*windows[len(windows)-1].length {
			delete(u.users, login)
		}
	}
}

// The account survives a restart: it is written now and then into one of two
// files in turn, so that one of them is always whole. Losing the last minute
// does no harm, so nothing is synced.
const usageMagic = "posthouse usage 1"

// ledger is the two files, which were opened before the jail.
type ledger struct {
	files [2]*os.File
	last  int // which was written last
	seq   int64
}

// openLedger opens the files and returns what the newer whole one says.
func openLedger(dir string) (*ledger, *usage, error) {
	l := &ledger{last: 1}
	best := newUsage()
	for i := range l.files {
		f, err := os.OpenFile(fmt.Sprintf("%s/%s.%d", dir, anvilclient.UsageFile, i), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, nil, err
		}
		l.files[i] = f
		text, err := io.ReadAll(io.LimitReader(f, maxUsage))
		if err != nil {
			return nil, nil, err
		}
		if u, seq, err := parseUsage(text); err == nil && seq > l.seq {
			best, l.seq, l.last = u, seq, i
		}
	}
	return l, best, nil
}

// save writes the account into the older file.
func (l *ledger) save(u *usage) error {
	i := 1 - l.last
	text := formatUsage(u, l.seq+1)
	if _, err := l.files[i].WriteAt(text, 0); err != nil {
		return err
	}
	if err := l.files[i].Truncate(int64(len(text))); err != nil {
		return err
	}
	l.last, l.seq = i, l.seq+1
	return nil
}

func formatUsage(u *usage, seq int64) []byte {
	var b bytes.Buffer
	for login, use := range u.users {
		b.WriteString(strconv.Quote(login))
		for _, w := range use {
			fmt.Fprintf(&b, " %d", w.start)
			for k := range numCounted {
				fmt.Fprintf(&b, " %d %d %t", w.now[k], w.before[k], w.noticed[k])
			}
		}
		b.WriteByte('\n')
	}
	head := fmt.Sprintf("%s %d %d %08x\n", usageMagic, seq, b.Len(), crc32.ChecksumIEEE(b.Bytes()))
	return append([]byte(head), b.Bytes()...)
}

var errUsage = errors.New("not a usage file")

func parseUsage(text []byte) (*usage, int64, error) {
	head, rest, _ := bytes.Cut(text, []byte("\n"))
	fields, ok := strings.CutPrefix(string(head), usageMagic+" ")
	if !ok {
		return nil, 0, errUsage
	}
	var seq int64
	var size int
	var sum uint32
	if n, err := fmt.Sscanf(fields, "%d %d %08x", &seq, &size, &sum); n != 3 || err != nil || size < 0 || size > len(rest) || crc32.ChecksumIEEE(rest[:size]) != sum {
		return nil, 0, errUsage
	}
	u := newUsage()
	for s := bufio.NewScanner(bytes.NewReader(rest[:size])); s.Scan(); {
		quoted, err := strconv.QuotedPrefix(s.Text())
		if err != nil {
			return nil, 0, errUsage
		}
		login, _ := strconv.Unquote(quoted)
		use, err := parseUse(strings.Fields(s.Text()[len(quoted):]))
		if err != nil || len(u.users) >= maxUsers {
			return nil, 0, errUsage
		}
		u.users[login] = use
	}
	return u, seq, nil
}

// parseUse reads the numbers of one user.
func parseUse(f []string) (*userUse, error) {
	const each = 1 + 3*numCounted
	use := &userUse{}
	if len(f) != each*len(use) {
		return nil, errUsage
	}
	for i := range use {
		w, f := &use[i], f[i*each:]
		var err error
		if w.start, err = strconv.ParseInt(f[0], 10, 64); err != nil {
			return nil, err
		}
		for k := range numCounted {
			now, err1 := strconv.Atoi(f[1+3*k])
			before, err2 := strconv.Atoi(f[2+3*k])
			if err1 != nil || err2 != nil || now < 0 || before < 0 {
				return nil, errUsage
			}
			w.now[k], w.before[k], w.noticed[k] = now, before, f[3+3*k] == "true"
		}
	}
	return use, nil
}

// saveUsage writes the account if it has changed.
func (s *server) saveUsage(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledger == nil || !s.usage.dirty {
		return
	}
	s.usage.expire(now.Unix())
	if err := s.ledger.save(s.usage); err != nil {
		s.log.Warn("", "cannot save what users have sent: %v", err)
		return
	}
	s.usage.dirty = false
}
