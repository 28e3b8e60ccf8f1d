package main

import (
	"context"
	"crypto/md5"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/sasl"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// exchange is a mechanism at work on one connection.
type exchange struct {
	server sasl.Server
	peer   authclient.Peer
	steps  int
	ctx    context.Context  // of the step that runs
	ended  *authclient.Step // what the callback of the mechanism decided
	login  string
}

// maxSteps bounds the messages of one exchange; SCRAM has three.
const maxSteps = 6

var errDecided = errors.New("decided")

// offer lists the mechanisms for a peer.
func (s *server) offer(p authclient.Peer) []string {
	var list []string
	for _, m := range append(sasl.Mechanisms(), mechAPOP) {
		if s.offers(m, p) {
			list = append(list, m)
		}
	}
	return list
}

// offers reports whether a peer may use a mechanism.
func (s *server) offers(m string, p authclient.Peer) bool {
	auto := slices.ContainsFunc(s.Mechanisms, func(w string) bool { return strings.EqualFold(w, "auto") })
	named := slices.ContainsFunc(s.Mechanisms, func(w string) bool { return strings.EqualFold(w, m) })
	switch {
	case sasl.Cleartext(m) && !p.TLS && !s.cleartextAllowed(p):
		return false
	case m == sasl.External:
		// The proof is the word of a server that talks to strangers. It may
		// vouch for a client of its own, and gets no ticket for it.
		return (auto || named) && p.CertName != "" && !s.tickets.wants(serviceOf(p))
	case m == sasl.OAuthBearer || m == sasl.XOAuth2:
		return (auto || named) && s.tokens != nil
	case m == sasl.Plain || m == sasl.Login:
		return auto || named
	}
	if sasl.IsPlus(m) {
		b := sasl.Binding{Exporter: p.TLSExporter, Endpoint: p.TLSEndpoint}
		base := strings.TrimSuffix(m, "-PLUS")
		return p.TLS && b.Any() && (named || auto) && s.serves(base)
	}
	// Named, it is enough that one source could; else all must, since a
	// client takes the best that is offered and does not try another.
	return named && s.couldServe(m) || auto && s.serves(m)
}

// cleartextAllowed reports a peer that may show its password without TLS.
func (s *server) cleartextAllowed(p authclient.Peer) bool {
	ip, err := netip.ParseAddr(p.RemoteIP)
	return err == nil && contains(s.cleartext, ip.Unmap())
}

// serves reports whether all users could use a mechanism.
func (s *server) serves(m string) bool {
	for _, src := range s.sources {
		if !src.serves(m) {
			return false
		}
	}
	return len(s.sources) > 0
}

// couldServe reports whether a source has stored secrets at all.
func (s *server) couldServe(string) bool {
	for _, src := range s.sources {
		if h, ok := src.(interface{ hashless() bool }); !ok || !h.hashless() {
			return true
		}
	}
	return false
}

// begin starts what a request asks for.
func (s *server) begin(ctx context.Context, p authclient.Peer, req ipc.List) (ipc.List, *exchange) {
	switch req.Value("request") {
	case "plain":
		t, failed, err := s.plainRequest(p, req)
		if err != nil || failed != nil {
			return failed, nil
		}
		return s.login(ctx, *t).Attributes(), nil
	case "apop":
		return s.login(ctx, s.apop(p, req.Value("login"), req.Value("challenge"), req.Value("digest"))).Attributes(), nil
	case "cram":
		return s.login(ctx, s.digest(p, req.Value("login"), req.Value("challenge"), req.Value("digest"))).Attributes(), nil
	}
	m := strings.ToUpper(req.Value("mechanism"))
	if !s.offers(m, p) {
		s.notOffered(m, p)
		return failedStep("").Attributes(), nil
	}
	x := &exchange{peer: p}
	x.server = s.mechanism(x, m)
	if x.server == nil {
		return failedStep("").Attributes(), nil
	}
	var initial []byte
	if text, has := req.Get("initial"); has {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, nil
		}
		initial = append([]byte{}, b...)
	}
	return s.next(ctx, x, initial)
}

// plainRequest is the try that a request with a password asks for, or the answer
// to one that is not to be looked at.
func (s *server) plainRequest(p authclient.Peer, req ipc.List) (*try, ipc.List, error) {
	secret, err := base64.StdEncoding.DecodeString(req.Value("password"))
	if err != nil {
		return nil, nil, ipc.ErrMalformed
	}
	if !p.TLS && !s.cleartextAllowed(p) {
		s.notOffered(sasl.Plain, p)
		return nil, failedStep(req.Value("login")).Attributes(), nil
	}
	t := s.plain(p, sasl.Plain, "", req.Value("login"), string(secret))
	return &t, nil, nil
}

// notOffered tells the administrator why somebody cannot log in who could.
func (s *server) notOffered(m string, p authclient.Peer) {
	why := "not in auth_mechanisms, or no source could serve it"
	if sasl.Cleartext(m) && !p.TLS {
		why = "no TLS, and not from auth_cleartext_networks"
	}
	s.log.Info("", "login refused: rip=%s, service=%s, method=%s: %s", printable.ASCII(p.RemoteIP), printable.ASCII(p.Service), printable.ASCII(m), why)
}

func failedStep(login string) authclient.Step {
	return authclient.Step{Outcome: authclient.Failed, Login: login, Text: authclient.TextFailed}
}

// next runs one step. The exchange is nil when it is over.
func (s *server) next(ctx context.Context, x *exchange, message []byte) (ipc.List, *exchange) {
	if x.steps++; x.steps > maxSteps {
		return failedStep(x.login).Attributes(), nil
	}
	x.ctx = ctx
	r := sasl.Step(x.server, message)
	switch {
	case r.Outcome == sasl.Continue:
		return authclient.Step{Outcome: authclient.Continue, Challenge: r.Challenge, Login: x.login}.Attributes(), x
	case x.ended != nil && (r.Outcome == sasl.OK || x.ended.Outcome != authclient.OK):
		return x.ended.Attributes(), nil
	case errors.Is(r.Err, errBusy):
		return authclient.Step{Outcome: authclient.Temporary, Login: x.login, Text: textTooMany}.Attributes(), nil
	case r.Outcome == sasl.Temporary:
		return s.temporary(try{peer: x.peer, login: x.login}, r.Err).Attributes(), nil
	}
	// The message was none of the mechanism: no guess, but the delay of one.
	a, _, _ := s.guard.begin(networkOf(x.peer.RemoteIP), x.login)
	return s.refuse(ctx, try{peer: x.peer, login: x.login, method: "-"}, a, "malformed message").Attributes(), nil
}

// decide runs a try and tells the mechanism whether it was good.
func (s *server) decide(x *exchange, t try) error {
	x.login = t.login
	step := s.login(x.ctx, t)
	x.ended = &step
	switch step.Outcome {
	case authclient.OK:
		return nil
	case authclient.Temporary:
		return errDecided
	}
	return sasl.ErrFailed
}

// mechanism makes the server side of a mechanism.
func (s *server) mechanism(x *exchange, m string) sasl.Server {
	switch m {
	case sasl.Plain:
		return sasl.NewPlain(func(authzid, login, secret string) error {
			return s.decide(x, s.plain(x.peer, m, authzid, login, secret))
		})
	case sasl.Login:
		return sasl.NewLogin(func(login, secret string) error {
			return s.decide(x, s.plain(x.peer, m, "", login, secret))
		})
	case sasl.CRAMMD5:
		return sasl.NewCRAMMD5(s.Hostname, func(login, challenge, digest string) error {
			return s.decide(x, s.digest(x.peer, login, challenge, digest))
		})
	case sasl.External:
		return sasl.NewExternal(func(authzid string) error {
			return s.decide(x, s.certain(x.peer, m, authzid, x.peer.CertName))
		})
	}
	if sasl.IsSCRAM(m) {
		return s.scram(x, m)
	}
	return s.tokenMechanism(x, m)
}

// certain is a try whose proof was checked already.
func (s *server) certain(p authclient.Peer, method, authzid, login string) try {
	return try{peer: p, method: method, authzid: authzid, login: login,
		check: func(context.Context, attempt, *found) (bool, error) { return true, nil }}
}

// scram is an exchange with stored keys, or made-up ones.
func (s *server) scram(x *exchange, m string) sasl.Server {
	b := sasl.Binding{Exporter: x.peer.TLSExporter, Endpoint: x.peer.TLSEndpoint}
	return sasl.NewSCRAM(sasl.SCRAMServer{
		Mechanism: m, Binding: b, PlusOffered: s.offers(strings.TrimSuffix(m, "-PLUS")+"-PLUS", x.peer),
		Lookup: func(login string) (sasl.Keys, error) {
			x.login = login
			return s.scramKeys(x, login, m)
		},
		Done: func(authzid, login string, right bool) error {
			s.guard.closed(networkOf(x.peer.RemoteIP))
			t := s.certain(x.peer, m, authzid, login)
			t.check = func(_ context.Context, _ attempt, f *found) (bool, error) {
				if f == nil {
					return false, nil
				}
				_, has := scramStored(f.rec, serviceOf(x.peer), m)
				return right && has, nil
			}
			return s.decide(x, t)
		},
	})
}

// scramKeys returns the keys of a login. They may have to be computed, before the
// client has proved anything, so this waits like an attempt, and those who begin
// exchanges without ending them compute when there is time.
func (s *server) scramKeys(x *exchange, login, m string) (sasl.Keys, error) {
	name, usable := s.canonical(login)
	a, wait, ok := s.guard.open(networkOf(x.peer.RemoteIP), name)
	if !ok || !s.waitFor(x.ctx, a, wait) {
		return sasl.Keys{}, errBusy
	}
	f, err := (*found)(nil), error(userdb.ErrUnknown)
	if usable {
		f, err = s.find(x.ctx, name, x.peer.Realm, serviceOf(x.peer))
	}
	if err != nil && !errors.Is(err, userdb.ErrUnknown) {
		return sasl.Keys{}, err
	}
	stored, has := "", false
	if f != nil {
		stored, has = scramStored(f.rec, serviceOf(x.peer), m)
	}
	var k password.SCRAMKeys
	_, err = s.slowly(x.ctx, a, func() (bool, error) {
		var err error
		if !has {
			k, err = s.checker.FakeSCRAM(x.ctx, name, m)
		} else if k, err = s.checker.SCRAM(x.ctx, stored, name, m); errors.Is(err, password.ErrFormat) || errors.Is(err, password.ErrCost) {
			k, err = s.checker.FakeSCRAM(x.ctx, name, m)
		}
		return false, err
	})
	if err != nil {
		return sasl.Keys{}, err
	}
	return sasl.Keys{Salt: k.Salt, Iterations: k.Iterations, StoredKey: k.StoredKey, ServerKey: k.ServerKey}, nil
}

// apop is a try with POP3's APOP: the MD5 of challenge and password.
func (s *server) apop(p authclient.Peer, login, challenge, digest string) try {
	return try{peer: p, method: mechAPOP, login: login,
		check: func(_ context.Context, _ attempt, f *found) (bool, error) {
			if f == nil {
				return false, nil
			}
			secret, ok := plainSecret(f.rec, serviceOf(p))
			if !ok {
				return false, nil
			}
			sum := md5.Sum([]byte(challenge + secret))
			return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(strings.ToLower(digest))) == 1, nil
		}}
}
