// Package authtest is an authd for tests: it speaks the protocol of
// pkg/authclient on a socket of its own and knows the users that a test gives
// it, with passwords in clear. It has no delays.
package authtest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// Account is a user with a password.
type Account struct {
	authclient.User
	Password  string
	OverQuota bool
}

// Server is a running fake. Its fields may be changed between requests with
// [Server.Set].
type Server struct {
	Path string // of its socket

	mu         sync.Mutex
	accounts   map[string]*Account
	aliases    map[string][]string
	mechanisms []string
	down       bool
	tickets    map[string]string
	peers      []authclient.Peer
}

// New starts a fake with the given users, which ends with the test.
func New(t testing.TB, accounts ...Account) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "authtest")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Path: filepath.Join(dir, "authd"), tickets: map[string]string{}}
	s.Listen(t, s.Path)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.Set(accounts...)
	return s
}

// Listen serves another socket too, such as private/authd of an instance.
func (s *Server) Listen(t testing.TB, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(path, 0o666)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(ipc.NewConn(c))
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

// Set replaces the users.
func (s *Server) Set(accounts ...Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts = map[string]*Account{}
	for i := range accounts {
		a := &accounts[i]
		s.accounts[a.Login] = a
		for _, other := range a.Aliases {
			s.accounts[other] = a
		}
	}
}

// Alias makes an address stand for others.
func (s *Server) Alias(address string, targets ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aliases == nil {
		s.aliases = map[string][]string{}
	}
	s.aliases[address] = targets
}

// Offer sets the mechanisms; without it they are PLAIN, LOGIN and CRAM-MD5.
func (s *Server) Offer(mechanisms ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mechanisms = mechanisms
}

// Down makes all answers temporary failures, or ends that.
func (s *Server) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Peers returns the peers of all authentications so far.
func (s *Server) Peers() []authclient.Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]authclient.Peer(nil), s.peers...)
}

// Client returns a client of the fake.
func (s *Server) Client() *authclient.Client { return authclient.New(s.Path) }

// exchange is the state of one connection.
type exchange struct {
	peer      authclient.Peer
	mechanism string
	challenge string
	login     string
	step      int
}

func (s *Server) serve(c *ipc.Conn) {
	defer c.Close()
	x := &exchange{}
	for {
		req, err := c.Receive()
		if err != nil {
			return
		}
		if c.Send(s.answer(x, req)) != nil {
			return
		}
	}
}

func (s *Server) answer(x *exchange, req ipc.List) ipc.List {
	s.mu.Lock()
	defer s.mu.Unlock()
	kind := req.Value("request")
	step := kind == "begin" || kind == "next" || kind == "plain" || kind == "apop" || kind == "cram"
	switch {
	case s.down && step:
		return authclient.Step{Outcome: authclient.Temporary, Text: "temporary failure"}.Attributes()
	case s.down:
		return ipc.List{}.Str("status", "temporary")
	case step:
		return s.step(x, kind, req).Attributes()
	}
	return s.lookup(kind, req)
}

func (s *Server) lookup(kind string, req ipc.List) ipc.List {
	ok := ipc.List{}.Str("status", "ok")
	var a *Account
	switch kind {
	case "mechanisms":
		names := s.mechanisms
		if names == nil {
			names = []string{"PLAIN", "LOGIN", "CRAM-MD5"}
		}
		for _, m := range names {
			ok = ok.Str("mechanism", m)
		}
		return ok
	case "lookup":
		a = s.accounts[req.Value("login")]
		if a != nil && !a.MayUse(req.Value("service")) {
			a = nil
		}
	case "redeem":
		a = s.accounts[s.tickets[req.Value("ticket")]]
		delete(s.tickets, req.Value("ticket"))
	case "recipient":
		if targets := s.aliases[req.Value("address")]; targets != nil {
			for _, t := range targets {
				ok = ok.Str("target", t)
			}
			return ok
		}
		if a = s.accounts[req.Value("address")]; a != nil && a.OverQuota {
			ok = ok.Bool("over_quota", true)
		}
	}
	if a == nil {
		return ipc.List{}.Str("status", "unknown")
	}
	return a.Attributes(ok)
}

func (s *Server) step(x *exchange, kind string, req ipc.List) authclient.Step {
	switch kind {
	case "plain", "begin", "apop", "cram":
		p, err := authclient.ReadPeer(req)
		if err != nil {
			return failed("")
		}
		s.peers = append(s.peers, p)
		*x = exchange{peer: p, mechanism: strings.ToUpper(req.Value("mechanism"))}
	}
	switch kind {
	case "plain":
		password, _ := base64.StdEncoding.DecodeString(req.Value("password"))
		return s.check(x, req.Value("login"), func(p string) bool { return p == string(password) })
	case "cram":
		return s.check(x, req.Value("login"), func(p string) bool { return cramDigest(p, req.Value("challenge")) == req.Value("digest") })
	case "apop":
		return s.check(x, req.Value("login"), func(p string) bool {
			sum := md5.Sum([]byte(req.Value("challenge") + p))
			return hex.EncodeToString(sum[:]) == req.Value("digest")
		})
	case "begin":
		initial, has := req.Get("initial")
		b, _ := base64.StdEncoding.DecodeString(initial)
		if has {
			return s.next(x, b)
		}
		return s.first(x)
	}
	b, _ := base64.StdEncoding.DecodeString(req.Value("response"))
	return s.next(x, b)
}

func ask(challenge string) authclient.Step {
	return authclient.Step{Outcome: authclient.Continue, Challenge: []byte(challenge)}
}

func failed(login string) authclient.Step {
	return authclient.Step{Outcome: authclient.Failed, Login: login, Text: authclient.TextFailed}
}

// first is the challenge to a client that sent no initial response.
func (s *Server) first(x *exchange) authclient.Step {
	switch x.mechanism {
	case "PLAIN", "EXTERNAL":
		return ask("")
	case "LOGIN":
		return ask("Username:")
	case "CRAM-MD5":
		x.challenge = "<1." + rand.Text() + "@auth.test>"
		return ask(x.challenge)
	}
	return failed("")
}

func (s *Server) next(x *exchange, b []byte) authclient.Step {
	x.step++
	switch {
	case x.mechanism == "PLAIN":
		f := strings.Split(string(b), "\x00")
		if len(f) != 3 || f[0] != "" && f[0] != f[1] {
			return failed("")
		}
		return s.check(x, f[1], func(p string) bool { return p == f[2] })
	case x.mechanism == "LOGIN" && x.step == 1:
		x.login = string(b)
		return ask("Password:")
	case x.mechanism == "LOGIN":
		return s.check(x, x.login, func(p string) bool { return p == string(b) })
	case x.mechanism == "CRAM-MD5":
		login, digest, _ := strings.Cut(string(b), " ")
		return s.check(x, login, func(p string) bool { return cramDigest(p, x.challenge) == digest })
	case x.mechanism == "EXTERNAL" && x.peer.CertName != "":
		return s.check(x, x.peer.CertName, func(string) bool { return true })
	}
	return failed("")
}

func cramDigest(secret, challenge string) string {
	m := hmac.New(md5.New, []byte(secret))
	m.Write([]byte(challenge))
	return hex.EncodeToString(m.Sum(nil))
}

// check ends an exchange.
func (s *Server) check(x *exchange, login string, right func(password string) bool) authclient.Step {
	a := s.accounts[login]
	switch {
	case a == nil || !right(a.Password):
		return failed(login)
	case !a.MayUse(strings.TrimPrefix(x.peer.Service, authclient.Foreign)):
		return authclient.Step{Outcome: authclient.Disabled, Login: login, Text: "service is disabled for this user"}
	}
	step := authclient.Step{Outcome: authclient.OK, Login: a.Login, User: &a.User}
	switch x.peer.Service {
	case "imap", "pop3", "sieve":
		step.Ticket = rand.Text() + rand.Text()
		s.tickets[step.Ticket] = a.Login
	}
	return step
}
