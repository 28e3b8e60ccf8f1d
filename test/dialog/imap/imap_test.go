// Package imap runs IMAP conversations that are written down as text, written
// from the RFCs command by command, on the session engine and a real store,
// and, line by line the same, on Debian's Dovecot. What comes before the login
// is in test/scenario and test/attack.
//
// A conversation is a file NAME.txt:
//
//	# comment
//	mail "Subject: x\n\ntext\n"   a message in INBOX, before the start
//	deliver "Subject: y\n\n"      another program puts a message into INBOX
//	A> a SELECT INBOX             connection A sends a line; it is logged in
//	A>> "a\r\nb"                  it sends these bytes (a Go string)
//	A>> "x" * 1000                ... many times
//	A< * 1 EXISTS                 its next line is this
//	A~ \* OK \[UIDVALIDITY \d+\]  its next line matches this expression, whole
//	A... a OK                     skip lines up to one that begins so
//	A<eof>                        the server closes the connection
//	limit 1000                    imap_append_limit
//	quota 1000S,10C               the user's quota
//	fulltext                      fts_index = yes
//	search-time 1ns               imap_search_time_limit
//	dovecot-set NAME = VALUE      line of Dovecot's configuration
//	posthouse ...                 the rest of the line is for Posthouse only
//	dovecot ...                   ... for Dovecot only
//	only posthouse REASON         so is everything down to the line "end"
//
// $NAME in an expression after '~' as (?P<NAME>...) keeps what matched, and
// stands for it in lines sent and expected from then on.
//
// A comment before lines for one of the two says why they differ. What has no
// meaning in the protocol is not compared with Dovecot: the text behind a
// status; a response code where it has none; RECENT, which RFC 9051 did away
// with; the order of flags, attributes, items and LIST responses.
package imap

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/imapserver"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
	"github.com/posthouse-mail/posthouse/pkg/session"
)

const patience = time.Minute

// server is a store with sessions on it.
type server struct {
	t      testing.TB
	root   string
	shared *mailstore.Shared
	quota  string
	opts   imapserver.Options
	n      int
	// proxied is what a session with TLS is.
	proxied bool
}

func newServer(t testing.TB) *server {
	t.Helper()
	// Not t.TempDir: its names are long, and sockets may be in there.
	dir, err := os.MkdirTemp("", "im")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &server{t: t, root: filepath.Join(dir, "Maildir"), shared: mailstore.NewShared(new(safefile.FS), nil)}
}

func (s *server) open(user string) *mailstore.Store {
	s.t.Helper()
	store, err := mailstore.Open(mailstore.Options{Shared: s.shared, Root: s.root, Host: "host.test", User: user, Quota: s.quota,
		CacheVersion: imapserver.CacheVersion})
	if err != nil {
		s.t.Fatal(err)
	}
	return store
}

// deliver does what another program would: a file in new.
func (s *server) deliver(text string) {
	s.t.Helper()
	for _, sub := range []string{"cur", "new", "tmp"} {
		os.MkdirAll(filepath.Join(s.root, sub), 0o700)
	}
	s.n++
	name := fmt.Sprintf("%d.M%dP1.host", 1700000000+s.n, s.n)
	tmp := filepath.Join(s.root, "tmp", name)
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	at := time.Unix(int64(1700000000+s.n), 0)
	os.Chtimes(tmp, at, at)
	if err := os.Rename(tmp, filepath.Join(s.root, "new", name)); err != nil {
		s.t.Fatal(err)
	}
}

// dial starts a session and returns the client's end.
func (s *server) dial() net.Conn {
	s.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	sc, err := ln.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	store := s.open("you@example.test")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer sc.Close()
		start := &session.Start{Service: "imap", Tag: "L", Proxied: s.proxied, User: &authclient.User{Login: "you@example.test"}}
		if err := imapserver.Serve(ctx, sc, start, store, s.opts); err != nil {
			s.t.Errorf("session: %v", err)
		}
	}()
	s.t.Cleanup(func() { client.Close(); cancel(); <-done })
	return client
}

// conn is one connection of a conversation.
type conn struct {
	net.Conn
	r *bufio.Reader
}

// peer is a server that a conversation is held with.
type peer interface {
	name() string
	dial() net.Conn // logged in, with the answer to that still to be read
	deliver(text string)
	set(name, value string) // before the first connection
}

type dialog struct {
	peer
	t     *testing.T
	conns map[string]*conn
	kept  map[string]string
	where string
	skip  bool // within what is not for this peer
}

func (s *server) name() string { return "posthouse" }

func (s *server) set(name, value string) {
	switch name {
	case "limit":
		s.opts.MessageLimit, _ = strconv.ParseInt(value, 10, 64)
	case "quota":
		s.quota = value
	case "fulltext":
		s.opts.FullText = true
	case "search-time":
		s.opts.SearchTime, _ = time.ParseDuration(value)
	}
}

func TestConversations(t *testing.T) {
	eachScript(t, func(t *testing.T, _ *script) peer { return newServer(t) })
}

// script is a file, in lines.
type script struct {
	file  string
	lines []string
}

func eachScript(t *testing.T, start func(*testing.T, *script) peer) {
	files, err := filepath.Glob("*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(f, ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{file: f, lines: strings.Split(string(text), "\n")}
			s.check(t)
			d := &dialog{peer: start(t, s), t: t, conns: map[string]*conn{}, kept: map[string]string{}}
			for n := 0; n < len(s.lines); {
				d.where = fmt.Sprintf("%s: %s:%d", d.name(), f, n+1)
				if run := d.unordered(s.lines[n:]); run > 1 && !d.skip {
					d.anyOrder(s.lines[n : n+run])
					n += run
					continue
				}
				d.step(s.lines[n])
				n++
			}
		})
	}
}

// check fails unless each difference between the two servers has its reason.
func (s *script) check(t *testing.T) {
	t.Helper()
	explained := false
	for n, line := range s.lines {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "#":
			explained = true
		case "posthouse", "dovecot":
			if !explained {
				t.Errorf("%s:%d: nothing says why the servers differ", s.file, n+1)
			}
		case "only":
			if _, reason, _ := strings.Cut(rest, " "); reason == "" {
				t.Errorf("%s:%d: no reason", s.file, n+1)
			}
			explained = false
		default:
			explained = false
		}
	}
}

func (d *dialog) fail(format string, args ...any) {
	d.t.Helper()
	d.t.Fatalf("%s: %s", d.where, fmt.Sprintf(format, args...))
}

var order = regexp.MustCompile(`^([A-Z])(>>|>|<eof>|<|~|\.\.\.) ?(.*)$`)

func (d *dialog) step(line string) {
	d.t.Helper()
	if line == "" || line[0] == '#' {
		return
	}
	word, rest, _ := strings.Cut(line, " ")
	if word == "only" {
		who, _, _ := strings.Cut(rest, " ")
		d.skip = who != d.name()
		return
	}
	if line == "end" {
		d.skip = false
		return
	}
	if word == "posthouse" || word == "dovecot" {
		if word != d.name() {
			return
		}
		line = rest
	}
	if d.skip {
		return
	}
	if m := order.FindStringSubmatch(line); m != nil {
		d.talk(m[1], m[2], m[3])
		return
	}
	switch word, rest, _ = strings.Cut(line, " "); word {
	case "mail", "deliver":
		s, err := strconv.Unquote(rest)
		if err != nil {
			d.fail("bad string %s", rest)
		}
		d.deliver(s)
	case "limit", "quota", "fulltext", "search-time":
		d.set(word, rest)
	case "dovecot-set":
	default:
		d.fail("unknown order %q", line)
	}
}

func (d *dialog) talk(name, what, text string) {
	d.t.Helper()
	c := d.conn(name)
	if what != "~" && what != ">>" {
		for k, v := range d.kept {
			text = strings.ReplaceAll(text, "$"+k, v)
		}
	}
	c.SetDeadline(time.Now().Add(patience))
	if d.ignored(text) && (what == "<" || what == "~") {
		return
	}
	switch what {
	case ">":
		c.Write([]byte(text + "\r\n"))
	case ">>":
		d.sendQuoted(c, text)
	case "<":
		if got := d.read(c); !d.same(got, text) {
			d.fail("got %q, want %q", got, text)
		}
	case "~":
		re := regexp.MustCompile("^(?:" + text + ")$")
		got := d.read(c)
		m := d.match(re, got)
		if m == nil {
			d.fail("got %q, want %s", got, text)
		}
		for i, k := range re.SubexpNames() {
			if k != "" {
				d.kept[k] = m[i]
			}
		}
	case "...":
		var seen []string
		for {
			got := d.read(c)
			if strings.HasPrefix(got, text) {
				return
			}
			seen = append(seen, got)
			if m := regexp.MustCompile(`^[a-z]\w* (OK|NO|BAD)`).FindString(got); m != "" {
				d.fail("got %q, want %q", seen, text)
			}
		}
	case "<eof>":
		if got, err := c.r.ReadString('\n'); err == nil {
			d.fail("got %q, want the end of the connection", got)
		}
	}
}

func (d *dialog) conn(name string) *conn {
	if c := d.conns[name]; c != nil {
		return c
	}
	nc := d.dial()
	c := &conn{Conn: nc, r: bufio.NewReaderSize(nc, 1<<16)}
	d.conns[name] = c
	c.SetDeadline(time.Now().Add(patience))
	if got := d.read(c); !strings.HasPrefix(got, "L OK [CAPABILITY ") {
		d.fail("got %q instead of the answer to the login", got)
	}
	return c
}

func (d *dialog) read(c *conn) string {
	d.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		d.fail("read: %v, after %q", err, line)
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	if d.ignored(line) {
		return d.read(c)
	}
	if d.name() == "dovecot" {
		return timing.ReplaceAllString(line, "")
	}
	return line
}

func (d *dialog) sendQuoted(c *conn, rest string) {
	q, err := strconv.QuotedPrefix(rest)
	if err != nil {
		d.fail("bad string %q", rest)
	}
	s, _ := strconv.Unquote(q)
	times := 1
	if tail := strings.TrimSpace(rest[len(q):]); tail != "" {
		if times, err = strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(tail, "*"))); err != nil {
			d.fail("bad count in %q", rest)
		}
	}
	c.Write([]byte(strings.Repeat(s, times)))
}
