package crash

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	readerPassword = "secret"
	readerPatience = 30 * time.Second
)

// reader is an IMAP connection of a person who reads mail.
type reader struct {
	conn net.Conn
	r    *bufio.Reader
	tag  int
	box  string // selected

	power *atomic.Int64
	began int64 // what it was when the last command began
}

// errNo reports a command that the server answered with NO or BAD.
var errNo = errors.New("refused")

// login connects as a user.
func (s *site) login(user string) (*reader, error) {
	conn, err := net.DialTimeout("tcp", s.port(3), readerPatience)
	if err != nil {
		return nil, err
	}
	c := &reader{conn: conn, r: bufio.NewReaderSize(conn, 64<<10), power: &s.power}
	conn.SetDeadline(time.Now().Add(readerPatience))
	if _, err = c.line(); err == nil {
		_, err = c.cmd("LOGIN %s@example.test %s", user, readerPassword)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// port is the address of a service of the instance.
func (s *site) port(offset int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.mail.Port+offset))
}

// maxReaderLine bounds a response with its literals.
const maxReaderLine = 1 << 20

var literalEnd = regexp.MustCompile(`\{(\d+)\}\r\n$`)

// line reads one response with its literals.
func (c *reader) line() (string, error) {
	var b strings.Builder
	for b.Len() < maxReaderLine {
		part, err := c.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		b.WriteString(part)
		m := literalEnd.FindStringSubmatch(part)
		if m == nil {
			return strings.TrimRight(b.String(), "\r\n"), nil
		}
		n, _ := strconv.Atoi(m[1])
		if _, err := io.CopyN(&b, c.r, int64(n)); err != nil {
			return "", err
		}
	}
	return "", errors.New("endless response")
}

// cmd sends a command and returns its responses, the tagged one last. The error
// is errNo when the server would not; with any other one nobody knows.
func (c *reader) cmd(format string, args ...any) ([]string, error) {
	c.tag++
	c.began = c.power.Load()
	tag := fmt.Sprintf("t%d ", c.tag)
	c.conn.SetDeadline(time.Now().Add(readerPatience))
	if _, err := io.WriteString(c.conn, tag+fmt.Sprintf(format, args...)+"\r\n"); err != nil {
		return nil, err
	}
	var all []string
	for {
		line, err := c.line()
		if err != nil {
			return all, err
		}
		all = append(all, line)
		if rest, ok := strings.CutPrefix(line, tag); ok {
			if !strings.HasPrefix(rest, "OK") {
				return all, fmt.Errorf("%w: %s", errNo, rest)
			}
			return all, nil
		}
	}
}

// open selects a mailbox unless it is, and returns its UIDVALIDITY if it does.
func (c *reader) open(box string) (validity uint32, err error) {
	if c.box == box {
		return 0, nil
	}
	c.box = ""
	lines, err := c.cmd("SELECT %s", box)
	if err != nil {
		return 0, err
	}
	c.box = box
	m := regexp.MustCompile(`UIDVALIDITY (\d+)`).FindStringSubmatch(strings.Join(lines, "\n"))
	if m == nil {
		return 0, fmt.Errorf("no UIDVALIDITY in %q", lines)
	}
	n, _ := strconv.ParseUint(m[1], 10, 32)
	return uint32(n), nil
}

// seen is a message as FETCH shows it.
type seenMessage struct {
	uid   uint32
	flags string
	word  string // "" if the content is not whole
}

var (
	fetchedUID   = regexp.MustCompile(`UID (\d+)`)
	fetchedFlags = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	fetchedWord  = regexp.MustCompile(`(?s)BODY\[TEXT\] \{\d+\}\r\n(\S+) begin\r\n(?:filling\r\n)*(\S+) end\r\n`)
)

// list returns all messages of the selected mailbox.
func (c *reader) list() ([]seenMessage, error) {
	lines, err := c.cmd("UID FETCH 1:* (UID FLAGS BODY.PEEK[TEXT])")
	if err != nil {
		return nil, err
	}
	var out []seenMessage
	for _, line := range lines[:len(lines)-1] {
		uid := fetchedUID.FindStringSubmatch(line)
		flags := fetchedFlags.FindStringSubmatch(line)
		if uid == nil || flags == nil {
			continue
		}
		n, _ := strconv.ParseUint(uid[1], 10, 32)
		m := seenMessage{uid: uint32(n), flags: " " + flags[1] + " "}
		if w := fetchedWord.FindStringSubmatch(line); w != nil && w[1] == w[2] {
			m.word = w[1]
		}
		out = append(out, m)
	}
	return out, nil
}

// readerText is a message that tells whether it is whole.
func readerText(word string, lines int) string {
	return "Subject: " + word + "\r\n\r\n" + word + " begin\r\n" + strings.Repeat("filling\r\n", lines) + word + " end\r\n"
}

// lmtp delivers a message and returns whether it was accepted; with an error
// nobody knows.
func (s *site) lmtp(user, text string) (bool, error) {
	conn, err := net.DialTimeout("tcp", s.port(7), time.Second)
	if err != nil {
		return false, nil
	}
	defer conn.Close()
	c := &client{conn: conn, r: bufio.NewReader(conn)}
	if code, _, err := c.reply(); err != nil || code != 220 {
		return false, nil
	}
	for _, line := range []string{"LHLO ledger.test", "MAIL FROM:<sender@example.test>", "RCPT TO:<" + user + "@example.test>", "DATA"} {
		if code, _, err := c.cmd(line + "\r\n"); err != nil || code/100 > 3 {
			return false, nil
		}
	}
	code, _, err := c.cmd(text + ".\r\n")
	return code/100 == 2, err
}

// pop3 reads and deletes the first message by POP3. It returns the word of
// that message and its UID, which is in the UIDL, and whether its end was
// confirmed; with an error nobody knows.
func (s *site) pop3(user string) (word string, uid uint32, gone bool, err error) {
	conn, err := net.DialTimeout("tcp", s.port(5), time.Second)
	if err != nil {
		return "", 0, false, nil
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	conn.SetDeadline(time.Now().Add(readerPatience))
	r.ReadString('\n')
	for _, line := range []string{"USER " + user + "@example.test", "PASS " + readerPassword, "UIDL 1", "RETR 1"} {
		fmt.Fprint(conn, line+"\r\n")
		got, err := r.ReadString('\n')
		if err != nil || !strings.HasPrefix(got, "+OK") {
			return "", 0, false, nil
		}
		if line == "UIDL 1" {
			fmt.Sscanf(got, "+OK 1 %08x", &uid)
		}
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", 0, false, nil
		}
		if w, ok := strings.CutSuffix(line, " begin\r\n"); ok {
			word = w
		}
		if line == ".\r\n" {
			break
		}
	}
	fmt.Fprint(conn, "DELE 1\r\n")
	if got, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(got, "+OK") {
		return word, uid, false, nil
	}
	fmt.Fprint(conn, "QUIT\r\n")
	got, err := r.ReadString('\n')
	if err == nil && !strings.HasPrefix(got, "+OK") {
		err = errNo // some of it may be done
	}
	return word, uid, err == nil, err
}
