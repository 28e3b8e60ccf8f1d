package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	da "github.com/posthouse-mail/posthouse/pkg/dovecotauth"
	"github.com/posthouse-mail/posthouse/pkg/printable"
)

// maxRequests bounds the logins of one connection that are under way.
const maxRequests = 200

// link is one connection of the Dovecot protocol.
type link struct {
	*gate
	conn net.Conn
	r    *bufio.Reader

	write sync.Mutex
	mu    sync.Mutex
	open  map[string]chan []byte // answers for the requests that wait for one
	wg    sync.WaitGroup
}

// errEnd is the end of a connection by its client.
var errEnd = errors.New("end")

func (g *gate) newLink(conn net.Conn) *link {
	return &link{gate: g, conn: conn, r: bufio.NewReader(conn), open: map[string]chan []byte{}}
}

// send writes one line.
func (l *link) send(fields ...string) error {
	l.write.Lock()
	defer l.write.Unlock()
	l.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	_, err := io.WriteString(l.conn, da.Line(fields...))
	return err
}

// read returns the next line.
func (l *link) read() ([]string, error) {
	l.conn.SetReadDeadline(time.Now().Add(idle))
	line, err := da.ReadLine(l.r)
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errEnd
	}
	return line, err
}

// each has do serve the commands of a client until it leaves or one fails.
// Those that do does not know are passed over, as the protocol asks.
func (l *link) each(do func(command string, args []string) error) error {
	for {
		f, err := l.read()
		if errors.Is(err, errEnd) {
			return nil
		}
		if err == nil && f[0] == "VERSION" {
			err = version(f)
		} else if err == nil {
			err = do(f[0], f[1:])
		}
		if err != nil {
			return err
		}
	}
}

// version refuses a peer with another major version.
func version(fields []string) error {
	if len(fields) < 2 || fields[1] != "1" {
		return fmt.Errorf("%w: version", da.ErrMalformed)
	}
	return nil
}

// dovecot serves a client connection: it logs users in.
func (g *gate) dovecot(ctx context.Context, conn net.Conn) error {
	l := g.newLink(conn)
	ctx, cancel := context.WithCancel(ctx)
	defer l.wg.Wait()
	defer cancel()
	if err := l.hello(ctx); err != nil {
		return err
	}
	return l.each(func(command string, args []string) error {
		switch command {
		case "AUTH":
			return l.auth(ctx, args)
		case "CONT":
			return l.cont(args)
		case "CANCEL":
			l.cancel(args)
		}
		return nil
	})
}

// hello tells who we are and what we offer.
func (l *link) hello(ctx context.Context) error {
	if err := l.send("VERSION", "1", "2"); err != nil {
		return err
	}
	mechanisms, err := l.gate.auth.Mechanisms(ctx, authclient.Peer{Service: "smtp", RemoteIP: "127.0.0.1", TLS: true})
	if err != nil {
		return err
	}
	for _, m := range mechanisms {
		if f := flags(m); f != nil {
			if err := l.send(append([]string{"MECH", m}, f...)...); err != nil {
				return err
			}
		}
	}
	cookie := make([]byte, 16)
	rand.Read(cookie) // never fails: crypto/rand ends the program first
	for _, f := range [][]string{
		{"SPID", strconv.Itoa(os.Getpid())}, {"CUID", strconv.FormatUint(uint64(cookie[0])<<8|uint64(cookie[1]), 10)},
		{"COOKIE", fmt.Sprintf("%x", cookie)}, {"DONE"},
	} {
		if err := l.send(f...); err != nil {
			return err
		}
	}
	return nil
}

// flags are the security properties of a mechanism, by which Postfix's
// smtpd_sasl_security_options chooses.
func flags(mechanism string) []string {
	switch mechanism {
	case "PLAIN", "LOGIN":
		return []string{"plaintext"}
	case "CRAM-MD5":
		return []string{"dictionary", "active"}
	case "SCRAM-SHA-1", "SCRAM-SHA-256":
		return []string{"mutual-auth"}
	case "OAUTHBEARER", "XOAUTH2":
		return []string{"active"}
	}
	return nil
}

// auth starts a login: id, mechanism, parameters, and last the response.
func (l *link) auth(ctx context.Context, f []string) error {
	if len(f) < 2 || !validID(f[0]) {
		return fmt.Errorf("%w: AUTH", da.ErrMalformed)
	}
	id, mechanism := f[0], f[1]
	p, initial, err := parameters(f[2:])
	if err != nil {
		return l.send("FAIL", id, "reason=malformed response")
	}
	if p.Service, err = l.foreign(p.Service); err != nil {
		return l.send("FAIL", id)
	}
	answers := make(chan []byte, 1)
	l.mu.Lock()
	_, double := l.open[id]
	full := len(l.open) >= maxRequests
	if !double && !full {
		l.open[id] = answers
	}
	l.mu.Unlock()
	if double {
		return fmt.Errorf("%w: the id %s is in use", da.ErrMalformed, id)
	}
	if full {
		return l.send("FAIL", id, "temp")
	}
	l.wg.Add(1)
	go func() {
		defer l.wg.Done()
		l.login(ctx, id, mechanism, p, initial, answers)
	}()
	return nil
}

// validID wants a number, as the protocol has it.
func validID(id string) bool {
	_, err := strconv.ParseUint(id, 10, 32)
	return err == nil
}

// parameters reads what comes with AUTH.
func parameters(f []string) (p authclient.Peer, initial []byte, err error) {
	for _, field := range f {
		name, value, _ := strings.Cut(da.Unescape(field), "=")
		switch name {
		case "service":
			p.Service = value
		case "rip":
			p.RemoteIP = value
		case "lip":
			p.LocalIP = value
		case "rport":
			p.RemotePort, _ = strconv.Atoi(value)
		case "lport":
			p.LocalPort, _ = strconv.Atoi(value)
		case "session":
			p.SessionID = value
		case "secured":
			p.TLS = true
		case "resp":
			if initial, err = base64.StdEncoding.DecodeString(value); err != nil {
				return p, nil, err
			}
			if len(initial) == 0 {
				// Exim always sends it, also when its client sent none.
				initial = nil
			}
		}
	}
	if p.RemotePort < 0 || p.RemotePort > 65535 {
		p.RemotePort = 0
	}
	if p.LocalPort < 0 || p.LocalPort > 65535 {
		p.LocalPort = 0
	}
	return p, initial, nil
}

// login runs one exchange to its end.
func (l *link) login(ctx context.Context, id, mechanism string, p authclient.Peer, initial []byte, answers <-chan []byte) {
	defer func() {
		l.mu.Lock()
		delete(l.open, id)
		l.mu.Unlock()
	}()
	x, step, _ := l.gate.auth.Begin(ctx, p, mechanism, initial)
	defer func() { x.Abort() }()
	for step.Outcome == authclient.Continue {
		if l.send("CONT", id, base64.StdEncoding.EncodeToString(step.Challenge)) != nil {
			return
		}
		select {
		case answer, ok := <-answers:
			if !ok {
				return // cancelled
			}
			step, _ = x.Next(ctx, answer)
		case <-ctx.Done():
			return
		}
	}
	l.mu.Lock()
	delete(l.open, id)
	l.mu.Unlock()
	if err := l.send(result(id, step)...); err != nil {
		l.conn.Close()
	}
}

// result is the last line about a login.
func result(id string, step authclient.Step) []string {
	name := step.Login
	if step.Outcome == authclient.OK {
		return []string{"OK", id, "user=" + da.Escape(step.User.Login)}
	}
	f := []string{"FAIL", id}
	if name != "" {
		f = append(f, "user="+da.Escape(printable.Text(name)))
	}
	switch step.Outcome {
	case authclient.Temporary:
		f = append(f, "temp", "code=temp_fail")
	case authclient.Disabled:
		f = append(f, "user_disabled", "code=user_disabled")
	}
	return f
}

// cont passes an answer on.
func (l *link) cont(f []string) error {
	if len(f) < 1 || len(f) > 2 || !validID(f[0]) {
		return fmt.Errorf("%w: CONT", da.ErrMalformed)
	}
	answer := []byte{}
	if len(f) == 2 {
		b, err := base64.StdEncoding.DecodeString(f[1])
		if err != nil {
			// One client's bad base64 must not end the others' logins.
			l.cancel(f)
			return l.send("FAIL", f[0], "reason=malformed response")
		}
		answer = b
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ch, ok := l.open[f[0]]
	if !ok {
		return nil // it has ended meanwhile
	}
	select {
	case ch <- answer:
	default:
		return fmt.Errorf("%w: an answer without a question", da.ErrMalformed)
	}
	return nil
}

// cancel ends a login that the client gave up.
func (l *link) cancel(f []string) {
	if len(f) < 1 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ch, ok := l.open[f[0]]; ok {
		delete(l.open, f[0])
		close(ch)
	}
}
