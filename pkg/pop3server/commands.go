package pop3server

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
)

// disconnectReason is what the log says about a connection that ended, in
// Dovecot's words.
func disconnectReason(err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "Disconnected for inactivity"
	case errors.Is(err, smtpwire.ErrLineFlood):
		return "Input line too long"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "Connection closed"
	}
	return "Connection closed: " + reasonText(err)
}

// reasonText keeps addresses out of the text of a network error.
func reasonText(err error) string {
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return sys.Err.Error()
	}
	return "error"
}

// command does one command line.
func (s *session) command(line string) {
	verb, args, _ := strings.Cut(strings.TrimRight(line, " \t"), " ")
	args = strings.TrimLeft(args, " ")
	bad := s.bad
	s.do(strings.ToUpper(verb), args)
	if s.bad == bad {
		s.bad = 0
	}
}

// do is the table of commands of the transaction state.
func (s *session) do(verb, args string) {
	switch verb {
	case "STAT":
		s.stat()
	case "LIST":
		s.list(args)
	case "RETR":
		s.retr(args)
	case "DELE":
		s.dele(args)
	case "NOOP":
		s.ok("")
	case "RSET":
		s.rset()
	case "TOP":
		s.top(args)
	case "UIDL":
		s.uidl(args)
	case "QUIT":
		s.update()
	case "CAPA":
		s.capa()
	case "UTF8":
		s.state.UTF8 = true
		s.ok("UTF8 enabled")
	case "LANG":
		s.lang(args)
	case "USER", "PASS", "APOP", "AUTH", "STLS":
		s.unknown("You are logged in already.")
	default:
		s.unknown("Unknown command: " + visible(verb))
	}
}

// visible makes what a client sent fit for a reply.
func visible(word string) string {
	word = strings.Map(func(r rune) rune {
		if r < 0x21 || r > 0x7e {
			return '?'
		}
		return r
	}, word)
	return word[:min(len(word), 40)]
}

// size returns the size of all messages that are not deleted.
func (s *session) size() (int64, error) {
	if s.total >= 0 {
		return s.total, nil
	}
	var sum int64
	for i := range s.drop.Len() {
		if s.deleted.has(i) {
			continue
		}
		n, err := s.drop.Size(i)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	s.total = sum
	return sum, nil
}

func (s *session) stat() {
	sum, err := s.size()
	if err != nil {
		s.broken("sizes of messages", err)
		return
	}
	s.ok(strconv.Itoa(s.live) + " " + strconv.FormatInt(sum, 10))
}

// broken answers for an error that is not the client's.
func (s *session) broken(what string, err error) {
	if errors.Is(err, ErrGone) {
		s.fail("[SYS/TEMP] Message is gone: another client deleted it")
		return
	}
	s.warn("%s: %v", what, err)
	s.fail("[SYS/TEMP] Internal error occurred.")
}

// number reads a message number; the reply is sent if it is none.
func (s *session) number(arg string) (int, bool) {
	n, ok := decimal(arg)
	switch {
	case !ok:
		s.unknown("Invalid message number: " + visible(arg))
	case n < 1 || n > int64(s.drop.Len()):
		s.fail("There's no message " + strconv.FormatInt(n, 10) + ".")
	case s.deleted.has(int(n - 1)):
		s.fail("Message is deleted.")
	default:
		return int(n - 1), true
	}
	return 0, false
}

// decimal reads a number without sign. One that does not fit is the greatest.
func decimal(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

func (s *session) list(args string) {
	if args != "" {
		i, ok := s.number(args)
		if !ok {
			return
		}
		n, err := s.drop.Size(i)
		if err != nil {
			s.broken("size of message", err)
			return
		}
		s.ok(strconv.Itoa(i+1) + " " + strconv.FormatInt(n, 10))
		return
	}
	// An error in the middle of a listing could not be told any more.
	if _, err := s.size(); err != nil {
		s.broken("sizes of messages", err)
		return
	}
	s.ok(strconv.Itoa(s.live) + " messages:")
	s.listing(func(i int, b []byte) ([]byte, error) {
		n, err := s.drop.Size(i)
		return strconv.AppendInt(b, n, 10), err
	})
}

// listing sends a line for each message that is not deleted. When a value is
// lost halfway there is no way to say so but to hang up.
func (s *session) listing(value func(i int, b []byte) ([]byte, error)) {
	var line [128]byte
	for i := range s.drop.Len() {
		if s.deleted.has(i) {
			continue
		}
		b := append(strconv.AppendInt(line[:0], int64(i+1), 10), ' ')
		b, err := value(i, b)
		if err != nil {
			s.warn("listing: %v", err)
			s.w.fail(err)
			s.quit = true
			return
		}
		if s.w.Write(append(b, '\r', '\n')); s.w.Err() != nil {
			return
		}
	}
	s.w.line(".")
}

func (s *session) uidl(args string) {
	if args != "" {
		i, ok := s.number(args)
		if !ok {
			return
		}
		id, err := s.drop.UIDL(i)
		if err != nil {
			s.broken("unique id of message", err)
			return
		}
		s.ok(strconv.Itoa(i+1) + " " + id)
		return
	}
	s.ok("")
	s.listing(func(i int, b []byte) ([]byte, error) {
		id, err := s.drop.UIDL(i)
		return append(b, id...), err
	})
}

func (s *session) dele(args string) {
	i, ok := s.number(args)
	if !ok {
		return
	}
	if s.total >= 0 {
		n, err := s.drop.Size(i)
		if err != nil {
			s.broken("size of message", err)
			return
		}
		s.total -= n
	}
	s.deleted.set(i)
	s.live--
	s.ok("Marked to be deleted.")
}

func (s *session) rset() {
	s.deleted, s.live, s.total = nil, s.drop.Len(), -1
	s.ok("")
}

// update is QUIT (RFC 1939 6).
func (s *session) update() {
	s.quit = true
	deleted := s.deleted.list()
	seen := s.seen.list()
	if s.opts.NoSeen {
		seen = nil
	}
	if len(deleted) == 0 && len(seen) == 0 {
		s.ok("Logging out.")
		return
	}
	if err := s.drop.Update(seen, deleted); err != nil {
		s.warn("update of maildrop: %v", err)
		if len(deleted) > 0 {
			s.fail("[SYS/TEMP] Some deleted messages not removed.")
			return
		}
	}
	s.counts.del = len(deleted)
	if len(deleted) > 0 {
		s.ok("Logging out, messages deleted.")
		return
	}
	s.ok("Logging out.")
}

// lang is RFC 6856 3. There is one language.
func (s *session) lang(args string) {
	Lang(args, s.ok, s.fail, s.w.line)
}

// Lang answers the LANG command, which exists before the login too.
func Lang(args string, ok, fail, line func(string)) {
	switch {
	case args == "":
		ok("Language listing follows:")
		line("en English")
		line(".")
	case args == "*", strings.EqualFold(args, "en"), strings.EqualFold(args, "i-default"):
		ok("en Language changed")
	default:
		fail("Language is not available")
	}
}
