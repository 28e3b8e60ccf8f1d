package crash

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// collect looks at everything that can hold mail.
func (s *site) collect() []found {
	out := s.sink.found()
	mail := filepath.Join(s.mail.Dir, "mail")
	for _, user := range []string{"u0", "u1", "u2", "u3", "team-a", "team-b", "list-a"} {
		out = append(out, maildirCopies(filepath.Join(mail, "example.test", user), user+"@example.test")...)
	}
	out = append(out, bounces(filepath.Join(mail, "example.test", "sender"))...)
	for _, user := range []string{"phbox", "phlist"} {
		out = append(out, mboxCopies(filepath.Join(mail, "mbox", user), user+"@localhost")...)
	}
	for _, file := range files(filepath.Join(mail, "cmd")) {
		if !strings.HasPrefix(filepath.Base(file), ".") {
			out = append(out, delivered(file, "cmd@localhost"))
		}
	}
	return append(out, s.queued()...)
}

// files lists the regular files below a directory.
func files(dir string) []string {
	var out []string
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, path)
		}
		return nil
	})
	return out
}

func readText(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unreadable: " + err.Error()
	}
	return string(text)
}

// delivered reads a file with one message.
func delivered(file, place string) found {
	id, text := canonical(readText(file))
	return found{Where: inPlace, ID: id, Place: place, Text: text, From: file}
}

func maildirCopies(dir, place string) []found {
	var out []found
	for _, sub := range []string{"new", "cur"} {
		for _, file := range files(filepath.Join(dir, sub)) {
			out = append(out, delivered(file, place))
		}
	}
	for _, file := range files(filepath.Join(dir, "tmp")) {
		out = append(out, found{Where: inTmp, ID: token.FindString(readText(file)), Place: place, From: file})
	}
	return out
}

// mboxCopies cuts a mailbox file into messages. The test's messages have no
// line that begins with "From ".
func mboxCopies(file, place string) []found {
	text, err := os.ReadFile(file)
	if err != nil || len(text) == 0 {
		return nil
	}
	var out []found
	for n, part := range strings.Split("\n"+strings.TrimSuffix(string(text), "\n"), "\nFrom ")[1:] {
		id, body := canonical("From " + part)
		out = append(out, found{Where: inPlace, ID: id, Place: place, Text: body, From: fmt.Sprintf("%s message %d", file, n)})
	}
	return out
}

var finalRecipient = regexp.MustCompile(`(?mi)^Final-Recipient: rfc822; *(\S+)\r?$`)

// notices reads the recipients of a bounce and the message that it returns.
func notices(text, file string, w where) []found {
	id := ""
	if at := strings.LastIndex(text, "X-Ledger: "); at >= 0 {
		id = token.FindString(text[at:])
	}
	var out []found
	for _, m := range finalRecipient.FindAllStringSubmatch(text, -1) {
		out = append(out, found{Where: w, ID: id, Place: m[1], From: file})
	}
	if len(out) == 0 && w == inBounce {
		out = append(out, found{Where: inPlace, Text: text, From: file}) // no bounce of ours
	}
	return out
}

func bounces(dir string) []found {
	var out []found
	for _, sub := range []string{"new", "cur"} {
		for _, file := range files(filepath.Join(dir, sub)) {
			out = append(out, notices(readText(file), file, inBounce)...)
		}
	}
	return out
}

// active are the queues whose messages the system will deal with.
var active = []string{"incoming", "active", "deferred", "hold"}

// queued reads the queue: recipients that are not done yet, and notices.
func (s *site) queued() []found {
	q := queue.Open(s.mail.Spool(""), queue.Options{Owner: ownerOf(s.mail.Spool("active"))})
	var out []found
	for _, name := range active {
		for _, file := range files(s.mail.Spool(name)) {
			out = append(out, s.queueFile(q, name, file)...)
		}
	}
	for _, name := range []string{"corrupt", "maildrop"} {
		for _, file := range files(s.mail.Spool(name)) {
			w := inLimbo
			if info, err := os.Stat(file); name == "maildrop" && err == nil && info.Mode()&0o700 == 0o700 {
				w = inQueue
			}
			text := readText(file)
			id := token.FindString(text)
			for _, e := range s.ledger.list() {
				if e.ID != id {
					continue
				}
				for _, r := range e.Rcpts {
					out = append(out, found{Where: w, ID: id, Place: r.Address, From: file})
				}
			}
		}
	}
	return out
}

// complete reports a queue file that is ready, in one of the queues that empty
// themselves.
func complete(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o700 == 0o700
}

func (s *site) queueFile(q *queue.Queue, name, file string) []found {
	if !complete(file) {
		return nil // never acknowledged in this state
	}
	m, err := q.OpenPath(name, queue.ID(filepath.Base(file)), file)
	if err != nil {
		s.t.Logf("unreadable queue file %s: %v", file, err)
		return []found{{Where: inLimbo, ID: token.FindString(readText(file)), From: file}}
	}
	defer m.Close()
	var text strings.Builder
	m.Body().WriteTo(&text, "", "\n")
	if m.Sender.Address == "" {
		return notices(text.String(), file, inNotice)
	}
	id, _ := canonical("\n" + text.String())
	var out []found
	rcpts, _, err := m.Recipients(0, 1000)
	if err != nil {
		return []found{{Where: inLimbo, ID: id, From: file}}
	}
	for _, r := range rcpts {
		out = append(out, found{Where: inQueue, ID: id, Place: r.Address, From: file})
	}
	// Those that failed are told to the sender when the others are done.
	log := readText(s.bounceLog(filepath.Base(file)))
	for _, r := range bouncedRecipient.FindAllStringSubmatch(log, -1) {
		out = append(out, found{Where: inNotice, ID: id, Place: r[1], From: file})
	}
	return out
}

// bounceLog is the name of a message's bounce log; the directory may be hashed.
func (s *site) bounceLog(id string) string {
	for _, file := range files(s.mail.Spool("bounce")) {
		if filepath.Base(file) == id {
			return file
		}
	}
	return ""
}

var bouncedRecipient = regexp.MustCompile(`(?m)^recipient=(\S+)$`)

func ownerOf(path string) int {
	var st syscall.Stat_t
	if syscall.Stat(path, &st) != nil {
		return 0
	}
	return int(st.Uid)
}

// settle lets the system work until its queues are empty, for up to a minute,
// and returns how long that took.
func (s *site) settle(limit time.Duration) time.Duration {
	begin := time.Now()
	flushed := begin
	for time.Since(begin) < limit {
		if s.idle() {
			break
		}
		if time.Since(flushed) > 200*time.Millisecond {
			s.mail.Command("postqueue", "-f").Run()
			flushed = time.Now()
		}
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(begin); took < limit {
		return took
	}
	s.stuck()
	return limit
}

// stuck shows what does not leave the queue.
func (s *site) stuck() {
	s.t.Helper()
	lines := strings.Split(s.mail.Log(), "\n")
	for _, name := range []string{"maildrop", "incoming", "active", "deferred"} {
		for n, file := range files(s.mail.Spool(name)) {
			if n > 2 || !complete(file) {
				continue
			}
			var about []string
			for _, line := range lines {
				if strings.Contains(line, filepath.Base(file)) {
					about = append(about, line)
				}
			}
			s.t.Errorf("stuck in %s: %s\n%s", name, file, lastLines(strings.Join(about, "\n"), 12))
		}
	}
}

// idle reports that no complete message is in the queues.
func (s *site) idle() bool {
	for _, name := range []string{"maildrop", "incoming", "active", "deferred"} {
		for _, file := range files(s.mail.Spool(name)) {
			if complete(file) {
				return false
			}
		}
	}
	return true
}

// finish lets the queue run empty, judges, prints the figure line and fails
// the test if the promise was broken.
func (s *site) finish() *figures {
	s.t.Helper()
	took := s.settle(3 * time.Minute)
	f := s.judge()
	report(s.t, f)
	if took == 3*time.Minute {
		s.t.Errorf("the queue did not run empty in %v", took)
	}
	for _, r := range f.Recover {
		// Not in the smoke test, which runs beside others: start has a limit.
		if *campaign && r > 10*time.Second {
			s.t.Errorf("it took %v until mail was accepted again", r)
		}
	}
	if f.bad() {
		s.t.Errorf("the promise is broken")
	}
	return f
}

// judge collects and compares.
func (s *site) judge() *figures {
	f := s.fig
	entries := s.ledger.list()
	judge(f, entries, s.collect())
	for _, name := range []string{"maildrop", "incoming"} {
		for _, file := range files(s.mail.Spool(name)) {
			if !complete(file) {
				f.Leak++
			}
		}
	}
	if last := time.Since(s.ledger.start).Seconds(); last > 0 {
		f.Rate = float64(f.Acked) / last
	}
	return f
}
