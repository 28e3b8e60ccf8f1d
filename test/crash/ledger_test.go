package crash

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// reply is what the client knows about a message.
type reply string

const (
	ack     reply = "ack"     // 250, or sendmail ended with 0
	nackNow reply = "nack"    // 5xx, or the message was not sent to its end
	later   reply = "later"   // 4xx to the end of the data, or sendmail failed
	unknown reply = "unknown" // the connection broke after the end of the data
)

// class is what has to become of a recipient.
type class string

const (
	classMaildir class = "maildir"
	classMbox    class = "mbox"
	classAlias   class = "alias" // to several
	classCommand class = "command"
	classOK      class = "remote-ok"
	classSoft    class = "remote-4xx-then-ok"
	classHard    class = "remote-5xx"
)

// recipient is an address with the places where its mail has to arrive. A
// place is named by the address that the last step of the delivery has.
type recipient struct {
	Address string   `json:"address"`
	Class   class    `json:"class"`
	Places  []string `json:"places"`
}

// entry is one message in the ledger.
type entry struct {
	ID    string      `json:"id"`
	Rcpts []recipient `json:"rcpts"`
	Via   string      `json:"via"`
	SHA   string      `json:"sha"`
	Reply reply       `json:"reply"`
	Text  string      `json:"text,omitempty"` // of the reply
	Sent  float64     `json:"t_send"`         // seconds since the ledger began
	Acked float64     `json:"t_ack"`
}

// ledger records what was handed to the system under test. It is kept outside
// of it, and each line is on disk before anything else happens.
type ledger struct {
	mu      sync.Mutex
	file    *os.File
	start   time.Time
	seed    uint64
	random  *rand.Rand
	entries map[string]*entry
}

func newLedger(t testing.TB, seed uint64) *ledger {
	t.Helper()
	f, err := os.CreateTemp("", "ledger")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &ledger{file: f, start: time.Now(), seed: seed, random: rand.New(rand.NewPCG(seed, 1)), entries: map[string]*entry{}}
}

func (l *ledger) write(e entry) {
	line, err := json.Marshal(e)
	if err == nil {
		_, err = l.file.Write(append(line, '\n'))
	}
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		panic(fmt.Sprintf("the ledger itself failed: %v", err))
	}
}

// begin enters a message before it is sent, and returns it with its text.
func (l *ledger) begin(via string, size int, rcpts ...recipient) (*entry, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := fmt.Sprintf("x%04xn%dx", l.seed&0xffff, len(l.entries)+1)
	text := messageText(id, size, l.random)
	sum := sha256.Sum256([]byte(text))
	e := &entry{ID: id, Rcpts: rcpts, Via: via, SHA: hex.EncodeToString(sum[:]), Reply: nackNow, Sent: time.Since(l.start).Seconds()}
	l.entries[id] = e
	l.write(*e)
	return e, text
}

// end records the reply.
func (l *ledger) end(e *entry, r reply, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Reply, e.Text, e.Acked = r, text, time.Since(l.start).Seconds()
	l.write(*e)
}

// list returns a copy of all entries.
func (l *ledger) list() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]entry, 0, len(l.entries))
	for _, e := range l.entries {
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b entry) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// token finds the name of a message in a text.
var token = regexp.MustCompile(`x[0-9a-f]{4}n[0-9]+x`)

// headMark begins what is compared: relays add fields above it.
const headMark = "Message-ID: <"

// messageText is a message whose every part depends on its id, with lines
// that SMTP has to stuff, and some long ones.
func messageText(id string, size int, random *rand.Rand) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s@ledger.test>\nX-Ledger: %s\nFrom: sender@example.test\nTo: ledger@example.test\n"+
		"Subject: ledger %s\nDate: Sat, 21 Nov 2026 00:00:00 +0000\n\nledger %s begin\n", headMark, id, id, id, id)
	for n := 0; b.Len() < size; n++ {
		switch random.IntN(12) {
		case 0:
			fmt.Fprintf(&b, ".\n")
		case 1:
			fmt.Fprintf(&b, "..%s %d\n", id, n)
		case 2:
			fmt.Fprintf(&b, "%s\n", strings.Repeat(id+" ", 40))
		default:
			fmt.Fprintf(&b, "%s line %d %x\n", id, n, random.Uint64())
		}
	}
	fmt.Fprintf(&b, "%s", endMark(id))
	return b.String()
}

// endMark is the last line of a message.
func endMark(id string) string { return "ledger " + id + " end\n" }

// canonical cuts a copy down to what was sent. It returns the message's id,
// empty if the copy has none.
func canonical(copy string) (id, text string) {
	copy = strings.ReplaceAll(copy, "\r\n", "\n")
	at := strings.Index(copy, "\n"+headMark)
	if strings.HasPrefix(copy, headMark) {
		at = -1
	} else if at < 0 {
		return "", ""
	}
	text = copy[at+1:]
	id = token.FindString(text)
	return id, text
}

// whole reports whether a text is exactly the message of this entry.
func (e *entry) whole(text string) bool {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:]) == e.SHA
}
