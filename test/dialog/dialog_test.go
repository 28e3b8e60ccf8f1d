// Package dialog runs SMTP conversations that are written down as text
// against a real smtpd process.
//
// A dialogue is a file NAME.txt:
//
//	# comment
//	set smtpd_recipient_limit = 5    line of main.cf; before the first "->"
//	-> EHLO me.test                  send a line
//	=> "a\nb"                        send these bytes (a Go string)
//	=> "x" * 1000                    send them many times
//	<- 250 ref.test                  the next line must be this
//	<~ 250-                          ... begin with this
//	<... 250 CHUNKING                skip lines up to this one
//	<eof>                            the server closes the connection
//	starttls                         do a TLS handshake
//	connect                          open a new connection
//	close                            close ours, half or whole
//	sleep 100ms
//	messages 1                       so many messages were accepted so far
//	body "line" "line"               content of the last one, headers of ours left out
//	header with ESMTPA id            the last one's Received header has this text
//	attr sasl_method=PLAIN           the last one's envelope has this attribute
//	authd down | up                  authd gives no answers, or does again
//	log connect from localhost       some log line has this text
//	nolog text                       no log line has it
//
// The test stands in for cleanup, and for authd where smtpd_sasl parameters
// are set; trivial-rewrite is the real
// one. Files in the folder relay are lists of addresses that must be refused.
package dialog

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const patience = time.Minute

func TestDialogs(t *testing.T) {
	bin := build(t)
	files, err := filepath.Glob("*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(f, ".txt"), func(t *testing.T) {
			t.Parallel()
			runFile(t, bin, f)
		})
	}
}

func runFile(t *testing.T, bin, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var settings []string
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "set "); ok {
			settings = append(settings, strings.TrimSpace(rest))
		}
	}
	in := start(t, bin, settings)
	d := &dialog{t: t, in: in}
	defer d.disconnect()
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		d.where = fmt.Sprintf("%s:%d", file, n)
		d.step(strings.TrimRight(line, "\r\n"))
	}
}

// dialog is one run of a file.
type dialog struct {
	t     *testing.T
	in    *instance
	conn  net.Conn
	r     *bufio.Reader
	where string
}

func (d *dialog) fail(format string, args ...any) {
	d.t.Helper()
	d.t.Fatalf("%s: %s\nlog:\n%s", d.where, fmt.Sprintf(format, args...), d.in.log.String())
}

func (d *dialog) step(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "", "#", "set":
	case "->":
		d.send(rest + "\r\n")
	case "=>":
		d.sendQuoted(rest)
	case "<-":
		if got := d.read(); got != rest {
			d.fail("got %q, want %q", got, rest)
		}
	case "<~":
		if got := d.read(); !strings.HasPrefix(got, rest) {
			d.fail("got %q, want %q...", got, rest)
		}
	case "<...":
		for got := d.read(); !strings.HasPrefix(got, rest); got = d.read() {
		}
	default:
		d.order(word, rest)
	}
}

func (d *dialog) order(word, rest string) {
	switch word {
	case "<eof>":
		d.eof()
	case "connect":
		d.disconnect()
		d.connect()
	case "starttls":
		d.startTLS()
	case "close":
		d.disconnect()
	case "sleep":
		wait, err := time.ParseDuration(rest)
		if err != nil {
			d.fail("%v", err)
		}
		time.Sleep(wait)
	case "messages":
		n, _ := strconv.Atoi(rest)
		if got := len(d.in.cleanup.all()); got != n {
			d.fail("%d messages were accepted, want %d", got, n)
		}
	case "body":
		d.body(rest)
	case "header", "attr":
		d.lastHas(word, rest)
	case "authd":
		d.in.auth.Down(rest == "down")
	case "log":
		deadline := time.Now().Add(time.Minute)
		for !strings.Contains(d.in.log.String(), rest) {
			if time.Now().After(deadline) {
				d.fail("no log line has %q", rest)
			}
			time.Sleep(10 * time.Millisecond)
		}
	case "nolog":
		if strings.Contains(d.in.log.String(), rest) {
			d.fail("a log line has %q", rest)
		}
	default:
		if !strings.HasPrefix(word, "#") {
			d.fail("unknown order %q", word)
		}
	}
}

// lastHas looks at the last message.
func (d *dialog) lastHas(word, want string) {
	all := d.in.cleanup.all()
	if len(all) == 0 {
		d.fail("no message")
	}
	last := all[len(all)-1]
	if word == "header" && !strings.Contains(strings.Join(last.headers, "\n"), want) {
		d.fail("the headers are %q", last.headers)
	}
	if word == "attr" && !slices.Contains(last.attrs, want) {
		d.fail("the attributes are %q", last.attrs)
	}
}

// body compares the content of the last message with quoted lines.
func (d *dialog) body(rest string) {
	all := d.in.cleanup.all()
	if len(all) == 0 {
		d.fail("no message")
	}
	got := all[len(all)-1].lines
	var want []string
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		q, err := strconv.QuotedPrefix(rest)
		if err != nil {
			d.fail("bad string in %q", rest)
		}
		s, _ := strconv.Unquote(q)
		want = append(want, s)
		rest = rest[len(q):]
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		d.fail("message is %q, want %q", got, want)
	}
}

func (d *dialog) connect() {
	conn, err := net.DialTimeout("tcp", d.in.addr, patience)
	if err != nil {
		d.fail("%v", err)
	}
	d.conn, d.r = conn, bufio.NewReader(conn)
}

func (d *dialog) disconnect() {
	if d.conn != nil {
		d.conn.Close()
		d.conn = nil
	}
}

func (d *dialog) send(s string) {
	if d.conn == nil {
		d.connect()
	}
	d.conn.SetDeadline(time.Now().Add(patience))
	// A server that hangs up while we still talk is no error here: the
	// next line of the dialogue says what was to come.
	d.conn.Write([]byte(s))
}

func (d *dialog) sendQuoted(rest string) {
	q, err := strconv.QuotedPrefix(rest)
	if err != nil {
		d.fail("bad string %q", rest)
	}
	s, _ := strconv.Unquote(q)
	times := 1
	if tail := strings.TrimSpace(rest[len(q):]); tail != "" {
		times, err = strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(tail, "*")))
		if err != nil {
			d.fail("bad count in %q", rest)
		}
	}
	d.send(strings.Repeat(s, times))
}

func (d *dialog) read() string {
	if d.conn == nil {
		d.connect()
	}
	d.conn.SetDeadline(time.Now().Add(patience))
	line, err := d.r.ReadString('\n')
	if err != nil {
		d.fail("read: %v, after %q", err, line)
	}
	return strings.TrimRight(line, "\r\n")
}

func (d *dialog) eof() {
	d.conn.SetDeadline(time.Now().Add(patience))
	line, err := d.r.ReadString('\n')
	if err == nil {
		d.fail("got %q, want the end of the connection", line)
	}
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		d.fail("the connection stays open")
	}
	d.disconnect()
}
