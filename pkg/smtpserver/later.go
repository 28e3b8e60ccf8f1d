package smtpserver

import (
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/status"
)

// laterMail reads the parameters of MAIL that say when and how soon a message
// is to leave. ok is false for another parameter.
func (s *Session) laterMail(arg string, m *Mail) (st status.Status, ok bool) {
	if s.opts.FutureRelease > 0 && s.offers("FUTURERELEASE") {
		if v, ok := cutFold(arg, "HOLDFOR="); ok {
			return s.hold(holdFor(v), m), true
		}
		if v, ok := cutFold(arg, "HOLDUNTIL="); ok {
			return s.hold(holdUntil(v), m), true
		}
	}
	if (s.opts.Priority || s.MayPriority) && s.offers("MT-PRIORITY") {
		if v, ok := cutFold(arg, "MT-PRIORITY="); ok {
			return priority(v, m), true
		}
	}
	return st, false
}

// holdFor reads "86400" (RFC 4865 section 4.1).
func holdFor(v string) time.Time {
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil || len(v) > 9 || n == 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(n) * time.Second)
}

// holdUntil reads a date and time of RFC 3339, which RFC 4865 takes in UTC or
// with an offset.
func holdUntil(v string) time.Time {
	t, err := time.Parse(time.RFC3339, strings.ToUpper(v))
	if err != nil {
		return time.Time{}
	}
	return t
}

// hold takes the time until which a message is held. RFC 4865 section 4: 501
// for what is malformed or given twice, or lies beyond what EHLO said.
func (s *Session) hold(until time.Time, m *Mail) status.Status {
	switch {
	case until.IsZero() || !m.HoldUntil.IsZero():
		return status.New(501, "5.5.4", "Bad HOLDFOR or HOLDUNTIL parameter syntax")
	case until.After(time.Now().Add(s.opts.FutureRelease + time.Minute)):
		return status.New(501, "5.5.4", "Error: requested hold exceeds the limit of "+
			strconv.FormatInt(int64(s.opts.FutureRelease/time.Second), 10)+" seconds")
	}
	// A time that has passed asks for nothing.
	m.HoldUntil = until
	return status.Status{}
}

// priority reads "-9" to "9" (RFC 6710 section 3).
func priority(v string, m *Mail) status.Status {
	n, err := strconv.Atoi(v)
	if err != nil || n < -9 || n > 9 || v[0] == '+' || len(v) > 2 {
		return status.New(501, "5.5.4", "Bad MT-PRIORITY parameter syntax")
	}
	m.Priority = n
	return status.Status{}
}
