package pop3server

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// State is what the client did before its login and may ask about after it.
type State struct {
	UTF8 bool     // the UTF8 command was given (RFC 6856)
	User bool     // USER and PASS were offered
	SASL []string // the mechanisms that were offered
}

// String writes the state in the form that [ParseState] reads.
func (s State) String() string {
	var words []string
	if s.UTF8 {
		words = append(words, "utf8")
	}
	if s.User {
		words = append(words, "user")
	}
	return strings.Join(append(words, s.SASL...), " ")
}

// maxMechanisms bounds a list of mechanisms.
const maxMechanisms = 32

// ParseState reads what the login server wrote.
func ParseState(text string) (State, error) {
	var s State
	for _, w := range strings.Fields(text) {
		switch {
		case w == "utf8":
			s.UTF8 = true
		case w == "user":
			s.User = true
		case len(s.SASL) == maxMechanisms || len(w) > 20 ||
			strings.Trim(w, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "":
			return State{}, fmt.Errorf("malformed state of a POP3 session: %.40q", w)
		default:
			s.SASL = append(s.SASL, w)
		}
	}
	return s, nil
}

// Capabilities are the lines of a CAPA reply (RFC 2449 6). Those that hold
// before the login are announced after it too; stls tells whether TLS can be
// started now, extra are those with values of the site.
func Capabilities(s State, stls bool, extra []string) []string {
	lines := []string{"CAPA", "TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"}
	if stls {
		lines = append(lines, "STLS")
	}
	if s.User {
		lines = append(lines, "USER")
	}
	if len(s.SASL) > 0 {
		lines = append(lines, "SASL "+strings.Join(s.SASL, " "))
	}
	lines = append(lines, "UTF8 USER", "LANG")
	return append(append(lines, extra...), "IMPLEMENTATION Posthouse")
}

func (s *session) capa() {
	s.ok("")
	for _, l := range Capabilities(s.state, false, s.opts.Capa) {
		s.w.line(l)
	}
	s.w.line(".")
}

// SiteCapabilities are those whose values are parameters: pop3_expire and
// pop3_login_delay.
func SiteCapabilities(expire string, delay time.Duration) []string {
	return []string{"EXPIRE " + expire, "LOGIN-DELAY " + strconv.Itoa(int(delay/time.Second))}
}
