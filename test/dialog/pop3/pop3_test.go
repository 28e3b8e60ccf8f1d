// Package pop3 runs POP3 conversations that are written down as text, written
// from RFC 1939, 2449, 2595, 5034 and 6856, against Posthouse and, line by
// line the same, against Debian's Dovecot.
//
// A conversation is a file NAME.txt:
//
//	# comment
//	set pop3_lock_session = no       line of our main.cf
//	dovecot-set pop3_lock_session = yes    line of Dovecot's configuration
//	mail "Subject: x\n\ntext\n"      a message in the maildrop, before the start
//	-> STAT                          send a line
//	=> "a\nb"                        send these bytes (a Go string)
//	=> "x" * 1000                    send them many times
//	<- +OK 1 17                      the next line must be this
//	<~ +OK                           ... begin with this
//	<... .                           skip lines up to this one
//	<eof>                            the server closes the connection
//	drain                            ... after some more lines, maybe
//	use B                            go on with connection B, made when first used
//	close                            close the connection
//	starttls                         do a TLS handshake
//	files 2                          so many messages are in the maildrop
//	flags 1 S                        message 1 has these flags in its file's name
//	remove 1                         take the file of message 1 away
//	log text                         some log line has this text (ours only)
//	posthouse ...                    the rest of the line is for Posthouse only
//	dovecot ...                      ... for Dovecot only; a comment says why
//
// In what is sent and expected, %APOP is the digest for the password and the
// greeting, and %B64(text) is the text in base64, with "\0" for NUL.
package pop3

import (
	"bufio"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/refdovecot"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

const (
	login    = "you@" + testkit.Domain
	password = "secret"
	patience = time.Minute
)

// script is a file, in lines.
type script struct {
	name     string
	lines    []string
	settings []string // main.cf
	dovecot  []string // dovecot.conf
	mail     []string
}

func TestPosthouse(t *testing.T) { eachScript(t, startPosthouse) }

func TestDovecot(t *testing.T) {
	refdovecot.Need(t)
	eachScript(t, startDovecot)
}

func eachScript(t *testing.T, start func(*testing.T, *script) *server) {
	files, err := filepath.Glob("*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, f := range files {
		s := read(t, f)
		t.Run(strings.TrimSuffix(f, ".txt"), func(t *testing.T) {
			t.Parallel()
			d := &dialog{t: t, server: start(t, s), conns: map[string]*conn{}, at: "A"}
			for n, line := range s.lines {
				d.where = fmt.Sprintf("%s:%d", f, n+1)
				d.step(line)
			}
			for _, c := range d.conns {
				c.Close()
			}
		})
	}
}

func read(t *testing.T, file string) *script {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{name: file}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		s.lines = append(s.lines, line)
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "set":
			s.settings = append(s.settings, rest)
		case "dovecot-set":
			s.dovecot = append(s.dovecot, rest)
		case "mail":
			s.mail = append(s.mail, unquote(t, rest))
		}
	}
	return s
}

func unquote(t *testing.T, q string) string {
	t.Helper()
	s, err := strconv.Unquote(strings.TrimSpace(q))
	if err != nil {
		t.Fatalf("bad string %s", q)
	}
	return s
}

// server is one of the two.
type server struct {
	name    string
	addr    string
	maildir string
	log     func() string
}

func startPosthouse(t *testing.T, s *script) *server {
	mail := testkit.New(t)
	mail.Set(t, append([]string{"auth_failure_delay = 0"}, s.settings...)...)
	mail.UserDB(t, password, []string{"you"})
	fill(t, mail.Maildir("you"), s.mail)
	mail.Start(t)
	return &server{"posthouse", fmt.Sprintf("127.0.0.1:%d", mail.Port+5), mail.Maildir("you"), mail.Log}
}

func startDovecot(t *testing.T, s *script) *server {
	home, err := os.MkdirTemp("", "pop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	// A certificate that `posthouse init` makes serves here too.
	mail := testkit.New(t)
	uid, gid := testkit.BoxOwner(t)
	os.Chmod(home, 0o755)
	dir := filepath.Join(home, "Maildir")
	fill(t, dir, s.mail)
	os.Chown(home, uid, gid)
	d := refdovecot.Start(t, refdovecot.Options{UID: uid, GID: gid, Extra: strings.Join(s.dovecot, "\n"),
		Certificate: mail.Etc("tls/cert.pem"), Key: mail.Etc("tls/key.pem"),
		Users: map[string]refdovecot.User{login: {Password: password, Home: home, MailDir: dir}}})
	return &server{"dovecot", d.POP3, dir, d.Log}
}

// fill makes a Maildir with the messages.
func fill(t *testing.T, dir string, messages []string) {
	t.Helper()
	uid, gid := testkit.BoxOwner(t)
	own := func(path string, err error) {
		if err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			os.Chown(path, uid, gid)
		}
	}
	for _, sub := range []string{"", "cur", "new", "tmp"} {
		path := filepath.Join(dir, sub)
		own(path, os.MkdirAll(path, 0o700))
	}
	for i, text := range messages {
		path := filepath.Join(dir, "new", fmt.Sprintf("%d.M%dP1.host", 1700000001+i, i))
		own(path, os.WriteFile(path, []byte(text), 0o600))
	}
}

// conn is one connection.
type conn struct {
	net.Conn
	r     *bufio.Reader
	stamp string
}

// dialog is one run of a script.
type dialog struct {
	*server
	t     *testing.T
	conns map[string]*conn
	at    string
	where string
}

func (d *dialog) fail(format string, args ...any) {
	d.t.Helper()
	log := d.log()
	d.t.Fatalf("%s: %s: %s\nlog:\n%s", d.name, d.where, fmt.Sprintf(format, args...), log[max(0, len(log)-3000):])
}

func (d *dialog) step(line string) {
	d.t.Helper()
	word, rest, _ := strings.Cut(line, " ")
	if word == "posthouse" || word == "dovecot" {
		if word != d.name {
			return
		}
		word, rest, _ = strings.Cut(rest, " ")
	}
	switch word {
	case "", "#", "set", "dovecot-set", "mail":
	case "->":
		d.send(d.expand(rest) + "\r\n")
	case "=>":
		d.sendQuoted(rest)
	case "<-":
		if got, want := d.read(), d.expand(rest); got != want {
			d.fail("got %q, want %q", got, want)
		}
	case "<~":
		if got := d.read(); !strings.HasPrefix(got, d.expand(rest)) {
			d.fail("got %q, want %q...", got, rest)
		}
	case "<...":
		for got := d.read(); !strings.HasPrefix(got, rest); got = d.read() {
		}
	case "use":
		d.at = rest
	default:
		d.order(word, rest)
	}
}

func (d *dialog) order(word, rest string) {
	d.t.Helper()
	switch word {
	case "<eof>":
		d.eof(false)
	case "drain":
		d.eof(true)
	case "close":
		d.conn().Close()
		delete(d.conns, d.at)
	case "starttls":
		c := d.conn()
		c.Conn = tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
		c.r = bufio.NewReader(c.Conn)
	case "files":
		d.wait(rest+" messages in the maildrop", func() bool { return strconv.Itoa(len(d.messages())) == rest })
	case "flags":
		num, flags, _ := strings.Cut(rest, " ")
		n, _ := strconv.Atoi(num)
		d.wait("flags "+rest, func() bool {
			_, got, _ := strings.Cut(d.messages()[n-1], ":2,")
			return got == flags
		})
	case "remove":
		n, _ := strconv.Atoi(rest)
		if err := os.Remove(filepath.Join(d.maildir, d.messages()[n-1])); err != nil {
			d.fail("%v", err)
		}
	case "log":
		if d.name == "posthouse" {
			d.wait("log line with "+rest, func() bool { return strings.Contains(d.log(), rest) })
		}
	default:
		if !strings.HasPrefix(word, "#") {
			d.fail("unknown order %q", word)
		}
	}
}

func (d *dialog) wait(what string, ok func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.fail("no %s: %q", what, d.messages())
		}
	}
}

// messages lists the files of the maildrop in the order of their names.
func (d *dialog) messages() []string {
	var names []string
	for _, sub := range []string{"new", "cur"} {
		entries, _ := os.ReadDir(filepath.Join(d.maildir, sub))
		for _, e := range entries {
			names = append(names, sub+"/"+e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(a[4:], b[4:]) })
	return names
}

func (d *dialog) conn() *conn {
	d.t.Helper()
	if c := d.conns[d.at]; c != nil {
		return c
	}
	nc, err := net.DialTimeout("tcp", d.addr, patience)
	if err != nil {
		d.fail("%v", err)
	}
	c := &conn{Conn: nc, r: bufio.NewReaderSize(nc, 1<<20)}
	d.conns[d.at] = c
	return c
}

var b64 = regexp.MustCompile(`%B64\(([^)]*)\)`)

// expand fills in what cannot be written down.
func (d *dialog) expand(s string) string {
	if strings.Contains(s, "%APOP") {
		sum := md5.Sum([]byte(d.conn().stamp + password))
		s = strings.ReplaceAll(s, "%APOP", hex.EncodeToString(sum[:]))
	}
	return b64.ReplaceAllStringFunc(s, func(m string) string {
		text := strings.ReplaceAll(m[len("%B64("):len(m)-1], `\0`, "\x00")
		return base64.StdEncoding.EncodeToString([]byte(text))
	})
}

func (d *dialog) send(s string) {
	c := d.conn()
	c.SetDeadline(time.Now().Add(patience))
	// A server that hangs up while we still talk is no error here: the next
	// line of the conversation says what was to come.
	c.Write([]byte(s))
}

func (d *dialog) sendQuoted(rest string) {
	q, err := strconv.QuotedPrefix(rest)
	if err != nil {
		d.fail("bad string %q", rest)
	}
	s := d.expand(unquote(d.t, q))
	times := 1
	if tail := strings.TrimSpace(rest[len(q):]); tail != "" {
		if times, err = strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(tail, "*"))); err != nil {
			d.fail("bad count in %q", rest)
		}
	}
	d.send(strings.Repeat(s, times))
}

func (d *dialog) read() string {
	d.t.Helper()
	c := d.conn()
	c.SetDeadline(time.Now().Add(patience))
	line, err := c.r.ReadString('\n')
	if err != nil {
		d.fail("read: %v, after %q", err, line)
	}
	if !strings.HasSuffix(line, "\r\n") {
		d.fail("line %q does not end in CR LF", line)
	}
	if strings.HasPrefix(line, "+OK Waiting for auth") { // Dovecot on a busy machine, before its greeting
		return d.read()
	}
	if i := strings.LastIndexByte(line, '<'); i > 0 && c.stamp == "" {
		c.stamp = strings.TrimRight(line[i:], "\r\n")
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (d *dialog) eof(skip bool) {
	d.t.Helper()
	c := d.conn()
	c.SetDeadline(time.Now().Add(patience))
	line, err := c.r.ReadString('\n')
	for skip && err == nil {
		_, err = c.r.ReadString('\n')
	}
	if err == nil {
		d.fail("got %q, want the end of the connection", line)
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		d.fail("the connection stays open")
	}
	c.Close()
	delete(d.conns, d.at)
}
