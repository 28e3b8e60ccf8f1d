package pop3server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// memory is a maildrop of texts.
type memory struct {
	texts         []string
	gone          map[int]bool
	broken        error
	seen, deleted []int
	updates       int
	closed        bool
}

func (m *memory) Len() int { return len(m.texts) }

func (m *memory) Size(i int) (int64, error) {
	if m.broken != nil {
		return 1000, nil
	}
	return int64(len(strings.ReplaceAll(strings.ReplaceAll(m.texts[i], "\r\n", "\n"), "\n", "\r\n"))), nil
}
func (m *memory) UIDL(i int) (string, error) { return fmt.Sprintf("id%d", i+1), nil }
func (m *memory) Open(i int) (io.ReadCloser, error) {
	if m.gone[i] {
		return nil, ErrGone
	}
	if m.broken != nil {
		return io.NopCloser(io.MultiReader(strings.NewReader(m.texts[i]), brokenReader{m.broken})), nil
	}
	return io.NopCloser(strings.NewReader(m.texts[i])), nil
}
func (m *memory) Update(seen, deleted []int) error {
	m.seen, m.deleted = seen, deleted
	m.updates++
	return m.broken
}
func (m *memory) Close() error {
	m.closed = true
	return nil
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

// memConn gives fixed input and keeps the output.
type memConn struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (c *memConn) Read(b []byte) (int, error)       { return c.in.Read(b) }
func (c *memConn) Write(b []byte) (int, error)      { return c.out.Write(b) }
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

// talk runs a session over fixed input and returns what the client read.
func talk(m *memory, in string) string {
	c := &memConn{in: strings.NewReader(in)}
	Run(context.Background(), c, State{User: true}, nil, func() (Maildrop, error) { return m, nil }, Options{})
	return c.out.String()
}

// watchedConn calls written before it takes output.
type watchedConn struct {
	memConn
	written func(b []byte)
}

func (c *watchedConn) Write(b []byte) (int, error) {
	c.written(b)
	return c.memConn.Write(b)
}

// TestQuitGivesUp: who reads the reply to QUIT can log in again, as the maildrop and its lock
// are given up.
func TestQuitGivesUp(t *testing.T) {
	m, said := &memory{texts: []string{"a\n"}}, false
	c := &watchedConn{memConn: memConn{in: strings.NewReader("STAT\r\nQUIT\r\n")}}
	c.written = func(b []byte) {
		if bytes.Contains(b, []byte("Logging out")) {
			said = true
			if !m.closed {
				t.Error("the maildrop is still open")
			}
		}
	}
	Run(context.Background(), c, State{User: true}, nil, func() (Maildrop, error) { return m, nil }, Options{})
	if !said || !m.closed {
		t.Errorf("said: %v, closed: %v", said, m.closed)
	}
}

// TestContent: each message comes through with CRLF and dots, whatever its line
// ends on disk, its length and its last line.
func TestContent(t *testing.T) {
	long := strings.Repeat("x", 3*chunkSize)
	edge := strings.Repeat("y", chunkSize-1)
	for _, text := range []string{
		"", "\n", "a", "a\n", "a\r\n", "a\r", "\r", ".", ".\n", "..\n.\n", "a\n.b\n\n.\n.\r\n", "a\rb\n", "a\r\r\n", "\n\n.",
		long, "." + long, edge + "\r\n.", edge + "\n.x", edge[1:] + "\r\n.\r\n", edge + "\r", edge + ".\n." + edge + "\n.",
		"h: 1\n\n" + strings.Repeat(".dots\n", 50000),
	} {
		m := &memory{texts: []string{text}}
		got := talk(m, "RETR 1\r\nQUIT\r\n")
		want := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want = strings.TrimSuffix(want, "\r") + "\r\n"
			if strings.HasSuffix(text, "\r") {
				want = strings.TrimSuffix(text, "\r")
				want = strings.ReplaceAll(strings.ReplaceAll(want, "\r\n", "\n"), "\n", "\r\n") + "\r\n"
			}
		}
		stuffed := strings.ReplaceAll("\r\n"+want, "\r\n.", "\r\n..")[2:]
		if !strings.HasSuffix(got, " octets\r\n"+stuffed+".\r\n+OK Logging out.\r\n") {
			t.Errorf("%.40q (%d bytes): got %.200q, want %.100q", text, len(text), got, stuffed)
		}
		if len(m.seen) != 1 || len(m.deleted) != 0 {
			t.Errorf("seen %v, deleted %v", m.seen, m.deleted)
		}
	}
}

// TestTop: the header, the empty line and so many lines.
func TestTop(t *testing.T) {
	m := &memory{texts: []string{"a: 1\nb: 2\n\none\n.two\nthree\n", "no body\n", "x: " + strings.Repeat("y", 200000) + "\n\nbody\n"}}
	for _, tc := range []struct{ cmd, want string }{
		{"TOP 1 0", "+OK\r\na: 1\r\nb: 2\r\n\r\n.\r\n"},
		{"top 1 1", "+OK\r\na: 1\r\nb: 2\r\n\r\none\r\n.\r\n"},
		{"TOP 1 2", "+OK\r\na: 1\r\nb: 2\r\n\r\none\r\n..two\r\n.\r\n"},
		{"TOP 1 99999999999999999999", "+OK\r\na: 1\r\nb: 2\r\n\r\none\r\n..two\r\nthree\r\n.\r\n"},
		{"TOP 2 0", "+OK\r\nno body\r\n.\r\n"},
		{"TOP 3 0", "+OK\r\nx: " + strings.Repeat("y", 200000) + "\r\n\r\n.\r\n"},
		{"TOP 1 -1", "-ERR Invalid line count: -1\r\n"},
		{"TOP 1", "-ERR Invalid line count: \r\n"},
		{"TOP", "-ERR Invalid message number: \r\n"},
		{"TOP 4 1", "-ERR There's no message 4.\r\n"},
	} {
		if got := talk(m, tc.cmd+"\r\nQUIT\r\n"); got != "+OK Logged in.\r\n"+tc.want+"+OK Logging out.\r\n" {
			t.Errorf("%s: got %.300q", tc.cmd, got)
		}
	}
	if m.seen != nil {
		t.Error("TOP marks messages as seen")
	}
}

func TestNumbers(t *testing.T) {
	for _, tc := range []struct{ cmd, want string }{
		{"LIST 0", "-ERR There's no message 0."}, {"LIST 3", "-ERR There's no message 3."},
		{"LIST -1", "-ERR Invalid message number: -1"}, {"LIST 1x", "-ERR Invalid message number: 1x"},
		{"LIST 18446744073709551616", "-ERR There's no message 9223372036854775807."},
		{"LIST 1 2", "-ERR Invalid message number: 1?2"}, {"UIDL 02", "+OK 2 id2"}, {"LIST 2", "+OK 2 5"},
		{"DELE", "-ERR Invalid message number: "}, {"RETR \xff\x01", "-ERR Invalid message number: ??"},
	} {
		m := &memory{texts: []string{"a", "bcd\n"}}
		if got := talk(m, tc.cmd+"\r\nQUIT\r\n"); got != "+OK Logged in.\r\n"+tc.want+"\r\n+OK Logging out.\r\n" {
			t.Errorf("%s: got %q", tc.cmd, got)
		}
	}
}

// TestDeletion: at QUIT, and at no other end.
func TestDeletion(t *testing.T) {
	const dele = "DELE 2\r\nDELE 2\r\nSTAT\r\nLIST\r\nUIDL\r\nRETR 2\r\n"
	const replies = "+OK Logged in.\r\n+OK Marked to be deleted.\r\n-ERR Message is deleted.\r\n+OK 2 6\r\n" +
		"+OK 2 messages:\r\n1 3\r\n3 3\r\n.\r\n+OK\r\n1 id1\r\n3 id3\r\n.\r\n-ERR Message is deleted.\r\n"
	for _, tc := range []struct {
		in, want string
		deleted  string
		updates  int
	}{
		{dele + "QUIT\r\nNOOP\r\n", replies + "+OK Logging out, messages deleted.\r\n", "[1]", 1},
		{dele, replies, "[]", 0},
		{dele + "QUIT", replies, "[]", 0}, // the end of the line is missing
		{dele + "RSET\r\nSTAT\r\nQUIT\r\n", replies + "+OK\r\n+OK 3 9\r\n+OK Logging out.\r\n", "[]", 0},
		{"DELE 1\r\n" + strings.Repeat("x\r\n", 30) + "QUIT\r\n", "", "[]", 0},
	} {
		m := &memory{texts: []string{"a\n", "b\n", "c\n"}}
		got := talk(m, tc.in)
		if tc.want != "" && got != tc.want {
			t.Errorf("%q: got %q", tc.in, got)
		}
		if fmt.Sprint(m.deleted) != tc.deleted || m.updates != tc.updates || !m.closed {
			t.Errorf("%q: deleted %v, updates %d, closed %v", tc.in, m.deleted, m.updates, m.closed)
		}
	}
	m := &memory{texts: []string{"a"}, broken: errors.New("no space")}
	if got := talk(m, "DELE 1\r\nQUIT\r\n"); !strings.HasSuffix(got, "-ERR [SYS/TEMP] Some deleted messages not removed.\r\n") {
		t.Errorf("got %q", got)
	}
}

// TestLostMessage: what cannot be read is never taken for a whole message.
func TestLostMessage(t *testing.T) {
	m := &memory{texts: []string{"gone", "half"}, gone: map[int]bool{0: true}, broken: errors.New("input/output error")}
	got := talk(m, "RETR 1\r\nRETR 2\r\nQUIT\r\n")
	if want := "+OK Logged in.\r\n-ERR [SYS/TEMP] Message is gone: another client deleted it\r\n+OK 1000 octets\r\nhalf"; got != want {
		t.Errorf("got %q", got)
	}
	if m.updates != 0 {
		t.Error("the session went on")
	}
}

func TestRefusedLogin(t *testing.T) {
	for err, want := range map[error]string{
		ErrInUse: "-ERR [IN-USE] ", ErrTooSoon: "-ERR [LOGIN-DELAY] ", io.ErrUnexpectedEOF: "-ERR [SYS/TEMP] ",
	} {
		c := &memConn{in: strings.NewReader("STAT\r\n")}
		Run(context.Background(), c, State{}, nil, func() (Maildrop, error) { return nil, err }, Options{})
		if got := c.out.String(); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%v: got %q", err, got)
		}
	}
}

func TestCapa(t *testing.T) {
	state, err := ParseState(State{UTF8: true, User: true, SASL: []string{"SCRAM-SHA-256", "PLAIN"}}.String())
	if err != nil || !state.UTF8 || !state.User || len(state.SASL) != 2 {
		t.Fatalf("%+v %v", state, err)
	}
	for _, bad := range []string{"a\r\nb", "PLAIN,", strings.Repeat("A", 30), strings.Repeat("A ", 40)} {
		if _, err := ParseState(bad); err == nil {
			t.Errorf("%q is a state", bad)
		}
	}
	c := &memConn{in: strings.NewReader("PA\r\nLANG\r\nLANG de\r\nLANG *\r\nUTF8\r\nUSER x\r\nQUIT\r\n")}
	Run(context.Background(), c, state, []byte("CA"), func() (Maildrop, error) { return &memory{}, nil },
		Options{Capa: []string{"EXPIRE NEVER", "LOGIN-DELAY 0"}})
	want := "+OK Logged in.\n+OK\nCAPA\nTOP\nUIDL\nRESP-CODES\nAUTH-RESP-CODE\nPIPELINING\nUSER\nSASL SCRAM-SHA-256 PLAIN\nUTF8 USER\nLANG\n" +
		"EXPIRE NEVER\nLOGIN-DELAY 0\nIMPLEMENTATION Posthouse\n.\n+OK Language listing follows:\nen English\n.\n-ERR Language is not available\n" +
		"+OK en Language changed\n+OK UTF8 enabled\n-ERR You are logged in already.\n+OK Logging out.\n"
	if got := strings.ReplaceAll(c.out.String(), "\r\n", "\n"); got != want {
		t.Errorf("got\n%s", got)
	}
}

// FuzzSession: whatever the client says, each reply is one of POP3, lines end
// in CRLF, and messages are deleted by QUIT only.
func FuzzSession(f *testing.F) {
	f.Add("STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nQUIT\r\n", "a: b\n\n.c\n")
	f.Add("retr 2\nRSET\r\nCAPA\r\nLANG\r\n\r\nDELE 0\r\n", ".\r\n.")
	f.Fuzz(func(t *testing.T, in, text string) {
		m := &memory{texts: []string{text, "x\n"}}
		out := talk(m, in)
		if !strings.HasPrefix(out, "+OK Logged in.\r\n") || !strings.HasSuffix(out, "\r\n") {
			t.Fatalf("got %q", out)
		}
		if strings.Contains(strings.ReplaceAll(out, "\r\n", ""), "\n") {
			t.Errorf("bare LF in %q", out)
		}
		if (m.updates > 0) && !strings.Contains(strings.ToUpper(in), "QUIT") {
			t.Error("update without QUIT")
		}
		if m.updates > 1 {
			t.Error("two updates")
		}
	})
}

func BenchmarkRetr(b *testing.B) {
	m := &memory{texts: []string{"Subject: x\n\n" + strings.Repeat("a line of fifty bytes or so, as they often are .\n", 80)}}
	b.SetBytes(int64(len(m.texts[0])))
	in := strings.NewReader(strings.Repeat("RETR 1\r\n", b.N))
	c := &discardConn{memConn{in: in}}
	Run(context.Background(), c, State{}, nil, func() (Maildrop, error) { return m, nil }, Options{})
}

type discardConn struct{ memConn }

func (discardConn) Write(b []byte) (int, error) { return len(b), nil }
