package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// refusals are the answers to commands while the disk was full.
type refusals struct {
	mu     sync.Mutex
	lines  map[string]int // NO, by its text
	broken []string       // sessions that ended
	other  int            // commands that went well
}

var number = regexp.MustCompile(`[0-9]+`)

func (r *refusals) note(command string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.other++
	case errors.Is(err, errNo):
		r.lines[command+": "+number.ReplaceAllString(err.Error(), "N")]++
	default:
		r.broken = append(r.broken, command+": "+err.Error())
	}
}

// aware reports a NO that says what is the matter: RFC 5530 3, RFC 9208 5.3.
var aware = regexp.MustCompile(`NO \[(OVERQUOTA|UNAVAILABLE|EXPUNGEISSUED|NONEXISTENT|ALREADYEXISTS|HASCHILDREN|TRYCREATE)\] `)

// TestReadersFullDisk fills the mailboxes' file system while people read, file
// and get mail. Everything is answered, sessions go on, mail can be read and
// removed, and when there is room again nothing is lost or half there.
func TestReadersFullDisk(t *testing.T) {
	s, m := newReaderSite(t, "imap-full", false)
	m.strict = true
	// A mailbox that nobody has opened yet cannot be opened without room.
	before := &person{s: s, m: m, name: "before", user: "u1", random: rand.New(rand.NewPCG(15, 15))}
	for range 20 {
		before.oneOfEach()
	}
	random := rand.New(rand.NewPCG(14, 14))
	for n := range size(3, 30) {
		m.fig.cycles++
		r := &refusals{lines: map[string]int{}}
		ctx, stop := context.WithCancel(t.Context())
		working := s.people(ctx, m, uint64(200+n))
		time.Sleep(300 * time.Millisecond)
		room := fillBytes(s, s.boxes)
		s.onFullDisk(r, fmt.Sprintf("n%d", n), random)
		time.Sleep(time.Second)
		s.onFullDisk(r, fmt.Sprintf("m%d", n), random)
		room()
		stop()
		working.Wait()
		// Mail that came while there was no room for its UID is shown when the
		// files are asked again (mailstore: adriftRest).
		time.Sleep(2500 * time.Millisecond)
		s.compare(m, "u0", "u1")
		for line, n := range r.lines {
			t.Logf("%d x %s", n, line)
			if !aware.MatchString(line) {
				t.Errorf("an answer without reason: %s", line)
			}
		}
		if len(r.broken) > 0 {
			t.Errorf("sessions ended: %q", r.broken)
		}
		t.Logf("%d commands went well", r.other)
	}
	m.report(t)
}

// onFullDisk does what people do with their mailboxes.
func (s *site) onFullDisk(r *refusals, mark string, random *rand.Rand) {
	s.t.Helper()
	c, err := s.login("u1")
	if err != nil {
		r.note("LOGIN", err)
		return
	}
	defer c.conn.Close()
	for i := range 40 {
		for _, command := range []string{
			"SELECT INBOX", "FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)",
			fmt.Sprintf("CREATE %s-%d", mark, i), fmt.Sprintf("SUBSCRIBE %s-%d", mark, i), fmt.Sprintf("RENAME %s-%d Renamed-%[1]s-%d", mark, i),
			fmt.Sprintf("SETACL INBOX user%d lr", random.IntN(1000)), fmt.Sprintf("SETMETADATA INBOX (/private/comment \"%0500d\")", i),
			fmt.Sprintf("SETMETADATA \"\" (/private/vendor/x/%d \"%0500d\")", i, i),
			fmt.Sprintf("STORE 1:* +FLAGS (keyword%d)", random.IntN(30)), "STATUS Other (MESSAGES UNSEEN)", "LIST \"\" *", "NOOP",
		} {
			_, err := c.cmd("%s", command)
			word, _, _ := strings.Cut(command, " ")
			r.note(word, err)
			if err != nil && !errors.Is(err, errNo) {
				return
			}
		}
	}
}
