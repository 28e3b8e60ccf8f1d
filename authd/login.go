package main

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/sasl"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// Texts that a client may read.
const (
	textTemporary = "temporary authentication failure"
	textTooMany   = "too many login attempts, try again later"
	textDisabled  = "the service is not enabled for this account"
)

// try is one login with one mechanism.
type try struct {
	peer    authclient.Peer
	method  string
	authzid string // who the client wants to be, "" = login
	login   string
	secret  string // of a wrong one it is noticed when it comes again; "" where there is none
	// handOver, if not nil, gives the client's connection to sessiond, or reports
	// false.
	handOver func(step *authclient.Step) bool
	// check says whether the proof is right for the user. f is nil when there
	// is no such user: then it only takes its time.
	check func(ctx context.Context, a attempt, f *found) (bool, error)
}

// login decides about a try, and answers when it is time.
func (s *server) login(ctx context.Context, t try) authclient.Step {
	name, usable := s.canonical(t.login)
	a, wait, ok := s.guard.begin(networkOf(t.peer.RemoteIP), name)
	if !ok {
		return authclient.Step{Outcome: authclient.Temporary, Login: t.login, Text: textTooMany}
	}
	if !s.waitFor(ctx, a, wait) {
		return authclient.Step{Outcome: authclient.Temporary, Login: t.login, Text: textTooMany}
	}
	if wait > 0 {
		a.start = time.Now()
	}
	var f *found
	err := error(userdb.ErrUnknown)
	if usable {
		f, err = s.find(ctx, name, t.peer.Realm, serviceOf(t.peer))
	}
	s.debugLogin(t, f, err)
	if err != nil && !errors.Is(err, userdb.ErrUnknown) {
		return s.temporary(t, err)
	}
	right, err := t.check(ctx, a, f)
	switch {
	case errors.Is(err, password.ErrScheme), errors.Is(err, password.ErrFormat), errors.Is(err, password.ErrCost):
		// The record is in error, and no password will ever fit it.
		s.log.Warn("", "user %s: %v", printable.ASCII(name), err)
	case errors.Is(err, errBusy):
		return authclient.Step{Outcome: authclient.Temporary, Login: t.login, Text: textTooMany}
	case err != nil:
		return s.temporary(t, err)
	}
	if f == nil || !right {
		return s.fail(ctx, t, a, f)
	}
	return s.allowed(ctx, t, a, f)
}

// waitFor waits until an attempt may be looked at. It is false when the process
// ends before.
func (s *server) waitFor(ctx context.Context, a attempt, wait time.Duration) bool {
	if wait <= 0 {
		return true
	}
	defer s.guard.wait(a.network)()
	return sleep(ctx, wait)
}

// debugLogin tells what a login is about, as debug_login asks for.
func (s *server) debugLogin(t try, f *found, err error) {
	if s.DebugLogin == 0 {
		return
	}
	s.log.Info("", "DEBUG: LOGIN: ip=[%s], service=%s, method=%s, username=%s", printable.ASCII(t.peer.RemoteIP),
		printable.ASCII(t.peer.Service), t.method, printable.ASCII(t.login))
	switch {
	case err != nil:
		s.log.Info("", "DEBUG: LOGIN: username=%s: %v", printable.ASCII(t.login), err)
	case s.DebugLogin == 1:
		s.log.Info("", "DEBUG: LOGIN: username=%s: found in %s as %s", printable.ASCII(t.login), f.from.name(), printable.ASCII(f.rec.Login))
	default:
		kinds := slices.Sorted(maps.Keys(f.rec.Hashes))
		s.log.Info("", "DEBUG: LOGIN: username=%s: found in %s as %s, uid=%d, gid=%d, home=%s, mail=%s, quota=%s, stored: %s",
			printable.ASCII(t.login), f.from.name(), printable.ASCII(f.rec.Login), f.rec.UID, f.rec.GID, printable.ASCII(f.rec.Home),
			printable.ASCII(f.rec.MailDir), printable.ASCII(f.rec.Quota), printable.ASCII(strings.Join(kinds, " ")))
	}
}

// temporary is the end of a try about which nothing is known.
func (s *server) temporary(t try, err error) authclient.Step {
	s.log.Warn("", "cannot decide about login of user=<%s>, method=%s, rip=%s: %v",
		printable.ASCII(t.login), t.method, printable.ASCII(t.peer.RemoteIP), err)
	return authclient.Step{Outcome: authclient.Temporary, Login: t.login, Text: textTemporary}
}

// fail answers a wrong try, with the same words for each reason, and late.
func (s *server) fail(ctx context.Context, t try, a attempt, f *found) authclient.Step {
	reason := "unknown user"
	if f != nil {
		reason = "wrong secret"
	}
	return s.refuse(ctx, t, a, reason)
}

func (s *server) refuse(ctx context.Context, t try, a attempt, reason string) authclient.Step {
	when := s.guard.failure(a, t.secret)
	s.log.Info("", "login failed: rip=%s, service=%s, method=%s, user=<%s>: %s", printable.ASCII(t.peer.RemoteIP),
		printable.ASCII(t.peer.Service), t.method, printable.ASCII(t.login), reason)
	sleep(ctx, time.Until(when))
	return authclient.Step{Outcome: authclient.Failed, Login: t.login, Text: authclient.TextFailed}
}

// allowed decides about a user whose secret was right.
func (s *server) allowed(ctx context.Context, t try, a attempt, f *found) authclient.Step {
	ip, _ := netip.ParseAddr(t.peer.RemoteIP)
	switch {
	case !f.rec.MayConnectFrom(ip):
		return s.refuse(ctx, t, a, "not from this network")
	case !s.mayActAs(ctx, t, f):
		return s.refuse(ctx, t, a, "not allowed to be "+printable.ASCII(t.authzid))
	case f.rec.IsDisabled(serviceOf(t.peer)):
		s.guard.success(a)
		return authclient.Step{Outcome: authclient.Disabled, Login: f.rec.Login, Text: textDisabled}
	}
	u, err := s.user(f.rec)
	if err == nil && s.tickets.wants(t.peer.Service) && (u.UID < 0 || u.MailDir == "") {
		err = errors.New("the user has no uid or no home; see mail_uid, mail_gid and mail_home")
	}
	if err != nil {
		return s.temporary(t, err)
	}
	s.guard.success(a)
	s.log.Debug("login: user=<%s>, method=%s, service=%s, rip=%s, source=%s", u.Login, t.method, t.peer.Service, t.peer.RemoteIP, f.from.name())
	step := authclient.Step{Outcome: authclient.OK, Login: u.Login, User: u}
	if t.handOver != nil && t.handOver(&step) {
		return step
	}
	if s.tickets.wants(t.peer.Service) {
		if step.Ticket = s.tickets.issue(u, t.peer.Service); step.Ticket == "" {
			return s.temporary(t, errors.New("too many tickets"))
		}
	}
	return step
}

// serviceOf is the service that a client logs in to.
func serviceOf(p authclient.Peer) string { return strings.TrimPrefix(p.Service, authclient.Foreign) }

// mayActAs: nobody may be somebody else, under whatever name.
func (s *server) mayActAs(ctx context.Context, t try, f *found) bool {
	if t.authzid == "" {
		return true
	}
	name, ok := s.canonical(t.authzid)
	if !ok {
		return false
	}
	other, err := s.find(ctx, name, t.peer.Realm, serviceOf(t.peer))
	return err == nil && strings.EqualFold(other.rec.Login, f.rec.Login)
}

// canonical is the form of a login that is looked up. It is not usable if it
// has characters that no login of the site has.
func (s *server) canonical(login string) (name string, usable bool) {
	name = strings.ToLower(login)
	if name == "" || len(name) > userdb.MaxLogin || !printable.IsText(name) || name[0] == '@' {
		return name, false
	}
	if s.UsernameChars == "" {
		return name, true
	}
	allowed := strings.ToLower(s.UsernameChars)
	for _, r := range name {
		if !strings.ContainsRune(allowed, r) {
			return name, false
		}
	}
	return name, true
}

// plain is a try with a password.
func (s *server) plain(p authclient.Peer, method, authzid, login, secret string) try {
	return try{peer: p, method: method, authzid: authzid, login: login, secret: secret,
		check: func(ctx context.Context, a attempt, f *found) (bool, error) {
			if f == nil {
				return false, s.checkDummy(ctx, a, secret)
			}
			if f.check != nil {
				return s.slowly(ctx, a, func() (bool, error) { return f.check(ctx, secret, p) })
			}
			stored, ok := f.rec.Password(serviceOf(p))
			if !ok {
				return false, s.checkDummy(ctx, a, secret)
			}
			return s.checkStored(ctx, a, stored, secret)
		}}
}

// digest is a try with CRAM-MD5.
func (s *server) digest(p authclient.Peer, login, challenge, answer string) try {
	return try{peer: p, method: sasl.CRAMMD5, login: login, secret: "",
		check: func(_ context.Context, _ attempt, f *found) (bool, error) {
			if f == nil {
				return false, nil
			}
			stored, ok := cramState(f.rec, serviceOf(p))
			if !ok {
				return false, nil
			}
			state, err := password.CramMD5(stored)
			if err != nil {
				return false, err
			}
			return state.Check([]byte(challenge), answer), nil
		}}
}

// cramState returns the stored secret that CRAM-MD5 can use.
func cramState(r *userdb.Record, service string) (string, bool) {
	if stored, ok := r.Hash(service, "hmac-md5pw"); ok {
		return stored, true
	}
	stored, ok := r.Password(service)
	if !ok {
		return "", false
	}
	_, err := password.CramMD5(stored)
	return stored, err == nil
}

// scramStored returns the stored secret that a SCRAM mechanism can use.
func scramStored(r *userdb.Record, service, mechanism string) (string, bool) {
	base := strings.TrimSuffix(mechanism, "-PLUS")
	if stored, ok := r.Hash(service, strings.ToLower(base)+"pw"); ok {
		return stored, true
	}
	stored, ok := r.Password(service)
	if !ok {
		return "", false
	}
	if _, plain := password.Plain(stored); plain {
		return stored, true
	}
	_, err := password.SCRAM(stored, base)
	return stored, err == nil
}

// plainSecret returns the password itself, for APOP.
func plainSecret(r *userdb.Record, service string) (string, bool) {
	stored, ok := r.Password(service)
	if !ok {
		return "", false
	}
	return password.Plain(stored)
}

// secretMechanisms are those for which it matters what is stored.
func secretMechanisms() []string {
	return []string{sasl.CRAMMD5, sasl.SCRAMSHA1, sasl.SCRAMSHA256, mechAPOP}
}

// mechAPOP is how POP3's APOP is called in auth_mechanisms.
const mechAPOP = "APOP"

// canServe reports whether a user could use a mechanism with what is stored.
func canServe(r *userdb.Record, mechanism string) bool {
	ok := false
	switch mechanism {
	case sasl.CRAMMD5:
		_, ok = cramState(r, "")
	case mechAPOP:
		_, ok = plainSecret(r, "")
	default:
		_, ok = scramStored(r, "", mechanism)
	}
	return ok
}
