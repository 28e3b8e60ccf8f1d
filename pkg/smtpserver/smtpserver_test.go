package smtpserver

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// taker accepts everything and checks the order of calls.
type taker struct {
	t        testing.TB
	open     bool // a transaction is open
	rcpts    int
	content  bool
	bytes    int
	accepted int
}

func (h *taker) Open(_ context.Context, s *Session) {
	s.Client.Name, s.Client.Addr, s.Client.Proto = "localhost", "127.0.0.1", "SMTP"
}
func (h *taker) Connect(context.Context, *Session) status.Status  { return status.Status{} }
func (h *taker) Helo(context.Context, *Session) status.Status     { return status.Status{} }
func (h *taker) StartTLS(context.Context, *Session) status.Status { return status.Status{} }
func (h *taker) TLSDone(context.Context, *Session, error)         {}
func (h *taker) Mail(_ context.Context, _ *Session, m *Mail) status.Status {
	if h.open || h.rcpts > 0 || h.content {
		h.t.Error("MAIL inside a transaction")
	}
	if strings.ContainsAny(m.Address, "\r\n\x00") {
		h.t.Errorf("sender %q", m.Address)
	}
	h.open = true
	return status.Status{}
}
func (h *taker) Rcpt(_ context.Context, _ *Session, r *Rcpt) status.Status {
	if !h.open || h.content || r.Address == "" {
		h.t.Error("RCPT out of order")
	}
	if strings.ContainsAny(r.Address+r.DSNOrcpt, "\r\n\x00") {
		h.t.Errorf("recipient %q", r.Address)
	}
	h.rcpts++
	return status.Status{}
}
func (h *taker) Data(context.Context, *Session) status.Status {
	if !h.open || h.rcpts == 0 || h.content {
		h.t.Error("DATA out of order")
	}
	h.content = true
	return status.Status{}
}
func (h *taker) Content(_ *Session, b []byte, _ bool) {
	if !h.content || bytes.IndexByte(b, '\n') >= 0 {
		h.t.Error("content out of order")
	}
	h.bytes += len(b)
}
func (h *taker) End(context.Context, *Session, smtpwire.ContentInfo) status.Status {
	if !h.content || h.rcpts == 0 {
		h.t.Error("end out of order")
	}
	h.accepted++
	return status.New(250, "2.0.0", "Ok: queued as X")
}
func (h *taker) Reset(*Session) { h.open, h.rcpts, h.content = false, 0, false }
func (h *taker) Vrfy(context.Context, *Session, string) status.Status {
	return status.Status{}
}
func (h *taker) Etrn(context.Context, *Session, string) status.Status {
	return status.New(459, "", "service unavailable")
}
func (h *taker) Close(*Session) {}

func testOptions() *Options {
	return &Options{Hostname: "me.test", Banner: "me.test ESMTP", Log: maillog.Discard(), Buffers: &smtpwire.Buffers{},
		Timeout: time.Minute, LineLimit: 2048, SoftErrors: 10, HardErrors: 20, JunkLimit: 100,
		RcptLimit: 1000, RcptOver: 1000, SizeLimit: 10240000, UTF8: true, Forbidden: []string{"GET"}}
}

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

// FuzzSession feeds a session with anything and checks the order of calls
// and the form of the replies.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n",
		"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3\r\nabcBDAT 0 LAST\r\nBDAT 2\r\nDATA\r\n",
		"LHLO x\r\nVRFY a\r\nETRN b\r\nSTARTTLS\r\nAUTH PLAIN\r\nGET /\r\n",
		"HELO x\r\nMAIL FROM:<a@b> SIZE=1 RET=FULL ENVID=+41 BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<\"q\\\"\"@[IPv6:::1]> NOTIFY=NEVER ORCPT=rfc822;a+2B\r\n",
	} {
		f.Add([]byte(s))
	}
	opts := testOptions()
	opts.ErrorSleep = 0
	f.Fuzz(func(t *testing.T, in []byte) {
		conn := &memConn{in: bytes.NewReader(in)}
		h := &taker{t: t}
		if err := Serve(context.Background(), conn, opts, h); err != nil {
			t.Fatal(err)
		}
		if h.open || h.content {
			t.Error("transaction left open")
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(conn.out.String(), "\r\n"), "\r\n") {
			if len(line) < 4 || line[0] < '2' || line[0] > '5' || line[3] != ' ' && line[3] != '-' || strings.ContainsAny(line, "\r\n\x00") {
				t.Errorf("reply %q", line)
			}
		}
	})
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"<a@b>", "<>", "a@b", "<@x:a@b>", `<"a\"b"@c> SIZE=1`, "<a@[1.2.3.4]>", "<a@b.>", "<ü@ü>"} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, utf bool) {
		addr, rest, err := parsePath(s, false, utf)
		if err != nil {
			return
		}
		for i := range len(addr) {
			if addr[i] < ' ' || addr[i] == 0x7f {
				t.Errorf("%q gives %q", s, addr)
			}
		}
		if !strings.HasSuffix(s, rest) {
			t.Errorf("%q leaves %q", s, rest)
		}
	})
}

func TestParsePath(t *testing.T) {
	for _, tc := range []struct {
		in, want, rest string
		ok             bool
	}{
		{"<a@b.test>", "a@b.test", "", true},
		{" <a@b.test> SIZE=1", "a@b.test", " SIZE=1", true},
		{"<>", "", "", true},
		{"<postmaster>", "postmaster", "", true},
		{"a@b.test BODY=7BIT", "a@b.test", " BODY=7BIT", true},
		{"<@x.test,@y.test:a@b.test>", "a@b.test", "", true},
		{`<"a b"@c.test>`, "a b@c.test", "", true},
		{`<"a\"b"@c.test>`, `a"b@c.test`, "", true},
		{`<""@c.test>`, "@c.test", "", true},
		{"<a@b.test.>", "a@b.test", "", true},
		{"<a@[192.0.2.1]>", "a@[192.0.2.1]", "", true},
		{"<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "", true},
		{"<u..x@b.test>", "u..x@b.test", "", true},
		{"<a@[2001:db8::1]>", "", "", false},
		{"<a@b.test", "", "", false},
		{"a@b.test>", "a@b.test", "", true},
		{"< <a @\tb.test >> SIZE=1", "a@b.test", " SIZE=1", true},
		{"<a@b.test>>  SIZE=1", "a@b.test", "  SIZE=1", true},
		{"a@b.test  SIZE=1", "a@b.test", "  SIZE=1", true},
		{">", "", "", false},
		{"<<a@b.test>", "", "", false},
		{"<a@b.test> >", "a@b.test", " >", true},
		{"a @b.test", "a", " @b.test", true},
		{"<a b@c.test>", "", "", false},
		{"<a@b .test>", "", "", false},
		{"<a@b@c.test>", "", "", false},
		{"<a@1.2.3.4>", "", "", false},
		{"<a@b..c>", "", "", false},
		{"<a@-b.test>", "", "", false},
		{"<@b.test>", "", "", false},
		{"<a@>", "", "", false},
		{"<(c)a@b.test>", "", "", false},
		{`<a\@b@c.test>`, "", "", false},
		{"<a@b.test>x", "", "", false},
		{"<a@b.test\x00>", "", "", false},
		{"<\"a\nb\"@c.test>", "", "", false},
		{"<a@b\u3002test>", "", "", false},
	} {
		addr, rest, err := parsePath(tc.in, false, true)
		if (err == nil) != tc.ok || addr != tc.want || rest != tc.rest {
			t.Errorf("parsePath(%q) = %q, %q, %v", tc.in, addr, rest, err)
		}
	}
	for _, in := range []string{"a@b.test", "<<a@b.test>>", "<a@b.test>>", " <a@b.test>", "<a @b.test>", "<a@b.test >", "<a@b.test"} {
		if _, _, err := parsePath(in, true, false); err == nil {
			t.Errorf("strict: %q", in)
		}
	}
	if addr, rest, err := parsePath("<a@b.test> SIZE=1", true, false); err != nil || addr != "a@b.test" || rest != " SIZE=1" {
		t.Errorf("strict: %q, %q, %v", addr, rest, err)
	}
}

func TestXtext(t *testing.T) {
	for _, tc := range []struct {
		in, want string
		ok       bool
	}{
		{"a+2Bb", "a+b", true}, {"a+3Db", "a=b", true}, {"", "", true},
		{"+00", "", false}, {"+0A", "", false}, {"+0d", "", false}, {"+7F", "", false},
		{"+4", "", false}, {"+GG", "", false}, {"a b", "", false}, {"\x80", "", false},
		{strings.Repeat("x", maxParam+1), "", false},
	} {
		if got, ok := decodeXtext(tc.in, false); ok != tc.ok || ok && got != tc.want {
			t.Errorf("decodeXtext(%q) = %q, %v", tc.in, got, ok)
		}
	}
}

// TestLeave: a server that goes away says so at once to a client that is idle,
// and after the message to one that sends it.
func TestLeave(t *testing.T) {
	for _, tc := range []struct{ name, before, after, want string }{
		{"idle", "EHLO x\r\n", "", "421 4.3.2 me.test Service shutting down"},
		{"in a message", "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n", "y\r\n.\r\n",
			"250 2.0.0 Ok: queued as X\r\n421 4.3.2 me.test Service shutting down"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			leave, cancel := context.WithCancel(t.Context())
			opts := testOptions()
			opts.Leave = leave
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				Serve(t.Context(), server, opts, &taker{t: t})
			}()
			client.SetDeadline(time.Now().Add(time.Minute))
			r := bufio.NewReader(client)
			reply := func() {
				for more := true; more; {
					text, err := r.ReadString('\n')
					if err != nil {
						t.Fatal(err)
					}
					more = len(text) > 3 && text[3] == '-'
				}
			}
			reply() // the greeting
			for line := range strings.Lines(tc.before) {
				io.WriteString(client, line)
				if line != "x\r\n" {
					reply()
				}
			}
			time.Sleep(10 * time.Millisecond) // the server waits again
			cancel()
			if tc.after != "" { // an empty write to a pipe waits for a reader
				io.WriteString(client, tc.after)
			}
			rest, err := io.ReadAll(r)
			if got := strings.TrimSpace(string(rest)); err != nil || got != tc.want {
				t.Errorf("got %q %v, want %q", got, err, tc.want)
			}
		})
	}
}

// TestIdleMemory opens sessions that do nothing. The budget is for a server
// with thousands of them.
func TestIdleMemory(t *testing.T) {
	const sessions = 500
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	opts := testOptions()
	opts.Timeout = time.Minute
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				Serve(context.Background(), c, opts, &taker{t: t})
			}()
		}
	}()
	conns := make([]net.Conn, 0, sessions)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	use := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := use()
	buf := make([]byte, 4096)
	for range sessions {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		c.Read(buf)
		fmt.Fprintf(c, "EHLO x\r\n")
		c.Read(buf)
	}
	per := (use() - before) / sessions
	t.Logf("%d bytes for an idle session", per)
	if per > 20<<10 {
		t.Errorf("%d bytes for an idle session, want at most 20 KiB", per)
	}
}

func BenchmarkMessage4K(b *testing.B) {
	body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 52) + ".\r\n"
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	opts := testOptions()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				Serve(context.Background(), c, opts, &taker{t: b})
			}()
		}
	}()
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		line := func() string { s, _ := r.ReadString('\n'); return s }
		line()
		io.WriteString(c, "EHLO x\r\n")
		for s := line(); !strings.HasPrefix(s, "250 "); s = line() {
			if s == "" {
				return
			}
		}
		for pb.Next() {
			io.WriteString(c, "MAIL FROM:<a@b.test>\r\nRCPT TO:<u@here.test>\r\nDATA\r\n")
			line()
			line()
			line()
			io.WriteString(c, body)
			if s := line(); !strings.HasPrefix(s, "250") {
				b.Errorf("got %q", s)
				return
			}
		}
	})
}
