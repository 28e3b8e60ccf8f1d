package imap

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// stressTime is how long TestStress runs: POSTHOUSE_STRESS, as in "1h", or
// some seconds. `make test` gives it a minute, `make stress` an hour.
func stressTime(t *testing.T) time.Duration {
	if text := os.Getenv("POSTHOUSE_STRESS"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return 5 * time.Second
}

// stressClients is how many work at once.
const stressClients = 20

// mirror is what a client knows of the selected mailbox: nothing but what the
// server has told it.
type mirror struct {
	uid   uint32 // 0: not told yet
	flags string // sorted, without \Recent
}

// stresser is a client with its own idea of the mailbox, which it keeps by the
// responses and compares with what it asks for.
type stresser struct {
	t       *testing.T
	name    string
	c       *conn
	r       *rand.Rand
	n       int
	box     string
	msgs    []mirror
	told    map[uint32]bool // messages whose flags this command has told
	fail    error
	qresync bool
	log     []string
}

func (s *stresser) errorf(format string, args ...any) {
	if s.fail == nil {
		s.fail = fmt.Errorf("%s: %s\nlast lines:\n%s", s.name, fmt.Sprintf(format, args...), strings.Join(s.log[max(0, len(s.log)-40):], "\n"))
	}
}

func (s *stresser) note(line string) {
	s.log = append(s.log, line)
	if len(s.log) > 200 {
		s.log = slices.Clone(s.log[100:])
	}
}

// run sends a command and takes in its responses. It returns the tagged line.
func (s *stresser) run(format string, args ...any) string {
	s.n++
	tag := fmt.Sprintf("a%d", s.n)
	s.told = map[uint32]bool{}
	line := tag + " " + fmt.Sprintf(format, args...)
	s.note("C: " + line)
	s.c.Write([]byte(line + "\r\n"))
	return s.until(tag)
}

func (s *stresser) until(tag string) string {
	for s.fail == nil {
		s.c.SetDeadline(time.Now().Add(patience))
		line, err := s.c.r.ReadString('\n')
		if err != nil {
			s.errorf("read: %v", err)
			return ""
		}
		line = strings.TrimRight(line, "\r\n")
		s.note("S: " + line)
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			if strings.HasPrefix(rest, "BAD") || strings.Contains(rest, "UNAVAILABLE") {
				s.errorf("%s", line)
			}
			return rest
		}
		s.take(line)
	}
	return ""
}

var (
	numbered = regexp.MustCompile(`^\* (\d+) (EXISTS|EXPUNGE|RECENT|FETCH \((.*)\))$`)
	uidItem  = regexp.MustCompile(`UID (\d+)`)
	flagItem = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	vanished = regexp.MustCompile(`^\* VANISHED ([0-9:,]+)$`)
)

// take applies a response to the mirror.
func (s *stresser) take(line string) {
	if m := vanished.FindStringSubmatch(line); m != nil {
		s.vanish(m[1])
		return
	}
	m := numbered.FindStringSubmatch(line)
	if m == nil {
		return
	}
	n, _ := strconv.Atoi(m[1])
	switch {
	case m[2] == "EXISTS":
		if n < len(s.msgs) {
			s.errorf("EXISTS %d, but there are %d", n, len(s.msgs))
			return
		}
		for len(s.msgs) < n {
			s.msgs = append(s.msgs, mirror{})
		}
	case m[2] == "EXPUNGE":
		if n < 1 || n > len(s.msgs) {
			s.errorf("EXPUNGE %d of %d", n, len(s.msgs))
			return
		}
		s.msgs = slices.Delete(s.msgs, n-1, n)
	case strings.HasPrefix(m[2], "FETCH"):
		s.fetched(n, m[3])
	}
}

func (s *stresser) vanish(set string) {
	for _, part := range strings.Split(set, ",") {
		from, to, ok := strings.Cut(part, ":")
		if !ok {
			to = from
		}
		lo, _ := strconv.ParseUint(from, 10, 32)
		hi, _ := strconv.ParseUint(to, 10, 32)
		for uid := uint32(lo); uid <= uint32(hi); uid++ {
			// A message that was not asked for yet is one of the last.
			i := slices.IndexFunc(s.msgs, func(m mirror) bool { return m.uid == uid })
			if i < 0 {
				i = slices.IndexFunc(s.msgs, func(m mirror) bool { return m.uid > uid }) - 1
				if i < -1 {
					i = len(s.msgs) - 1
				}
			}
			if i < 0 || s.msgs[i].uid != uid && s.msgs[i].uid != 0 {
				s.errorf("VANISHED %d, which is not there", uid)
				return
			}
			s.msgs = slices.Delete(s.msgs, i, i+1)
		}
	}
}

func (s *stresser) fetched(n int, items string) {
	if n < 1 || n > len(s.msgs) {
		s.errorf("FETCH %d of %d", n, len(s.msgs))
		return
	}
	msg := &s.msgs[n-1]
	if m := uidItem.FindStringSubmatch(items); m != nil {
		uid, _ := strconv.ParseUint(m[1], 10, 32)
		if msg.uid != 0 && msg.uid != uint32(uid) {
			s.errorf("message %d has UID %d, had %d", n, uid, msg.uid)
		}
		if n > 1 && s.msgs[n-2].uid >= uint32(uid) {
			s.errorf("message %d has UID %d, the one before %d", n, uid, s.msgs[n-2].uid)
		}
		msg.uid = uint32(uid)
	}
	if m := flagItem.FindStringSubmatch(items); m != nil {
		msg.flags = sortFlags(strings.Fields(m[1]))
		s.told[msg.uid] = true
	}
}

func sortFlags(flags []string) string {
	flags = slices.DeleteFunc(flags, func(f string) bool { return f == `\Recent` || f == "" })
	slices.Sort(flags)
	return strings.Join(slices.Compact(flags), " ")
}

// learn asks for what the mirror lacks.
func (s *stresser) learn() {
	for s.fail == nil {
		i := slices.IndexFunc(s.msgs, func(m mirror) bool { return m.uid == 0 })
		if i < 0 {
			return
		}
		s.run("FETCH %d:%d (UID FLAGS)", i+1, len(s.msgs))
	}
}

func (s *stresser) selectBox(name string) {
	s.box, s.msgs = name, nil
	s.run("SELECT %s", name)
	if len(s.msgs) > 0 {
		s.run("FETCH 1:* (UID FLAGS)")
	}
}

var words = []string{`\Seen`, `\Flagged`, `\Deleted`, `\Answered`, `\Draft`, "$Forwarded", "one", "two"}

func (s *stresser) some() string {
	var out []string
	for range 1 + s.r.IntN(3) {
		out = append(out, words[s.r.IntN(len(words))])
	}
	return sortFlags(out)
}

// store changes flags; with .SILENT the mirror is changed by the client.
func (s *stresser) store() {
	s.learn()
	if len(s.msgs) == 0 || s.fail != nil {
		return
	}
	i := s.r.IntN(len(s.msgs))
	j := min(len(s.msgs)-1, i+s.r.IntN(4))
	op := []string{"", "+", "-"}[s.r.IntN(3)]
	flags := s.some()
	silent := s.r.IntN(2) == 0
	suffix := ""
	if silent {
		suffix = ".SILENT"
	}
	uids := []uint32{}
	for k := i; k <= j; k++ {
		uids = append(uids, s.msgs[k].uid)
	}
	var reply string
	if s.r.IntN(2) == 0 {
		reply = s.run("STORE %d:%d %sFLAGS%s (%s)", i+1, j+1, op, suffix, flags)
	} else {
		reply = s.run("UID STORE %d:%d %sFLAGS%s (%s)", uids[0], uids[len(uids)-1], op, suffix, flags)
	}
	if !silent || !strings.HasPrefix(reply, "OK") && !strings.Contains(reply, "EXPUNGEISSUED") {
		return
	}
	for k := range s.msgs {
		m := &s.msgs[k]
		if slices.Contains(uids, m.uid) && !s.told[m.uid] {
			m.flags = applyFlags(m.flags, op, flags)
		}
	}
}

func applyFlags(have, op, change string) string {
	h, c := strings.Fields(have), strings.Fields(change)
	switch op {
	case "":
		return sortFlags(c)
	case "+":
		return sortFlags(append(h, c...))
	}
	return sortFlags(slices.DeleteFunc(h, func(f string) bool { return slices.Contains(c, f) }))
}

// step does something at random.
func (s *stresser) step(deliver func(string)) {
	other := "Other"
	if s.box == other {
		other = "INBOX"
	}
	switch n := s.r.IntN(100); {
	case n < 30:
		s.store()
	case n < 40:
		body := fmt.Sprintf("Subject: %d\r\n\r\nx\r\n", s.r.IntN(1000))
		s.run("APPEND %s (%s) {%d+}\r\n%s", s.box, s.some(), len(body), body)
	case n < 45:
		deliver(fmt.Sprintf("Subject: delivered %d\n\ny\n", s.r.IntN(1000)))
	case n < 52:
		s.run("EXPUNGE")
	case n < 60 && len(s.msgs) > 0:
		verb := []string{"COPY", "MOVE"}[s.r.IntN(2)]
		i := 1 + s.r.IntN(len(s.msgs))
		s.run("%s %d:%d %s", verb, i, min(len(s.msgs), i+2), other)
	case n < 70 && len(s.msgs) > 0:
		s.run("FETCH %d:* (UID FLAGS)", 1+s.r.IntN(len(s.msgs)))
	case n < 75:
		s.run("UID SEARCH RETURN (COUNT) %s", []string{"SEEN", "DELETED", "KEYWORD one", "ALL"}[s.r.IntN(4)])
	case n < 80:
		s.idle()
	case n < 83:
		s.selectBox(other)
	case n < 90 && len(s.msgs) > 0:
		s.learn()
		if s.fail == nil && len(s.msgs) > 0 {
			s.run("UID FETCH %d (BODY.PEEK[TEXT] RFC822.SIZE)", s.msgs[s.r.IntN(len(s.msgs))].uid)
		}
	default:
		s.run("NOOP")
	}
	s.learn()
	for i := 1; i < len(s.msgs); i++ {
		if s.msgs[i].uid != 0 && s.msgs[i].uid <= s.msgs[i-1].uid {
			s.errorf("UIDs out of order at %d", i+1)
		}
	}
}

func (s *stresser) idle() {
	s.n++
	tag := fmt.Sprintf("a%d", s.n)
	s.told = map[uint32]bool{}
	s.note("C: IDLE")
	s.c.Write([]byte(tag + " IDLE\r\n"))
	time.Sleep(time.Duration(s.r.IntN(20)) * time.Millisecond)
	s.c.Write([]byte("DONE\r\n"))
	s.until(tag)
}

// TestStress has many clients and deliveries work on two mailboxes at once.
// Each client keeps its view by what it is told; in the end all views of a
// mailbox must be the same, and that of one who comes anew.
func TestStress(t *testing.T) {
	srv := newServer(t)
	srv.deliver("Subject: first\n\nx\n")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	deliver := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		srv.deliver(text)
	}
	var clients []*stresser
	for i := range stressClients {
		clients = append(clients, newStresser(t, srv, i, seed))
	}
	clients[0].run("CREATE Other")
	end := time.Now().Add(stressTime(t))
	each(clients, func(s *stresser) {
		s.selectBox([]string{"INBOX", "Other"}[s.r.IntN(2)])
		for time.Now().Before(end) && s.fail == nil {
			s.step(deliver)
		}
	})
	// Everything is told with the next command.
	each(clients, func(s *stresser) { s.run("NOOP"); s.learn() })
	each(clients, func(s *stresser) { s.run("NOOP"); s.learn() })
	want := map[string]string{}
	left := 0
	for _, box := range []string{"INBOX", "Other"} {
		s := newStresser(t, srv, 100, seed)
		s.selectBox(box)
		want[box], left = fmt.Sprint(s.msgs), left+len(s.msgs)
	}
	steps := 0
	for _, s := range clients {
		steps += s.n
		if s.fail != nil {
			t.Fatal(s.fail)
		}
		if got := fmt.Sprint(s.msgs); got != want[s.box] {
			t.Fatalf("%s sees %s as\n%s\nit is\n%s\nlast lines:\n%s", s.name, s.box, got, want[s.box], strings.Join(s.log[max(0, len(s.log)-60):], "\n"))
		}
	}
	t.Logf("%d clients, %d commands, %d messages delivered; at the end there are %d messages", len(clients), steps, srv.n, left)
}

func newStresser(t *testing.T, srv *server, i int, seed uint64) *stresser {
	nc := srv.dial()
	s := &stresser{t: t, name: fmt.Sprintf("client %d", i), c: &conn{nc, bufio.NewReader(nc)}, r: rand.New(rand.NewPCG(seed, uint64(i)))}
	s.c.SetDeadline(time.Now().Add(patience))
	if _, err := s.c.r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if s.qresync = i%3 == 0; s.qresync {
		s.run("ENABLE QRESYNC")
	}
	return s
}

// each runs f for all clients at once.
func each(clients []*stresser, f func(*stresser)) {
	var wg sync.WaitGroup
	for _, s := range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			f(s)
		}()
	}
	wg.Wait()
}
