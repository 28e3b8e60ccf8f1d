// Package status holds enhanced status codes and the replies that carry them.
//
// A [Status] is the only thing about a failure that a remote peer, a sender's
// notice or a delivery log may show; a Go error stays inside the house, so
// that file names and driver messages cannot leak.
package status

import (
	"fmt"
	"strings"
)

// Status is the outcome of an operation on a message or recipient.
//
// Code is the enhanced status code of RFC 3463, "2.1.5". Reply is the SMTP
// reply code, 250, or 0 where none was seen or given. Text is one line for a
// person to read; it is made printable where it enters (package printable).
type Status struct {
	Code  string
	Reply int
	Text  string
}

// New returns a status with an SMTP reply code, an enhanced code and a text.
func New(reply int, code, text string) Status {
	return Status{Code: code, Reply: reply, Text: text}
}

// Temporary reports whether a later try may succeed.
func (s Status) Temporary() bool { return strings.HasPrefix(s.Code, "4.") }

// Permanent reports whether no later try can succeed.
func (s Status) Permanent() bool { return strings.HasPrefix(s.Code, "5.") }

// Success reports whether the operation was done.
func (s Status) Success() bool { return strings.HasPrefix(s.Code, "2.") }

// IsZero reports whether s says nothing. (A comparison of structs would be a call.)
func (s Status) IsZero() bool { return s.Reply == 0 && s.Code == "" && s.Text == "" }

// String returns the status as one line, as in a reply: "550 5.1.1 text".
func (s Status) String() string {
	if s.Reply == 0 {
		return strings.TrimSpace(s.Code + " " + s.Text)
	}
	return strings.TrimSpace(fmt.Sprintf("%03d %s %s", s.Reply, s.Code, s.Text))
}

// As returns s with the class digit of its enhanced code, and of its reply
// code, replaced: soft_bounce turns class '5' into '4'.
func (s Status) As(class byte) Status {
	if len(s.Code) > 1 {
		s.Code = string(class) + s.Code[1:]
	}
	if s.Reply != 0 {
		s.Reply = int(class-'0')*100 + s.Reply%100
	}
	return s
}

// Parse reads text that may begin with an enhanced status code, "4.7.1 try
// later", and uses code where it does not. The next hop of the error and
// discard transports, access tables and command output have this form.
func Parse(text, code string) Status {
	text = strings.TrimSpace(text)
	first, rest, _ := strings.Cut(text, " ")
	if ValidCode(first) {
		return Status{Code: first, Text: strings.TrimSpace(rest)}
	}
	return Status{Code: code, Text: text}
}

// ValidCode reports whether s is an enhanced status code (RFC 3463 section 2):
// class 2, 4 or 5, subject and detail of one to three digits.
func ValidCode(s string) bool {
	class, rest, ok := strings.Cut(s, ".")
	if !ok || class != "2" && class != "4" && class != "5" {
		return false
	}
	subject, detail, ok := strings.Cut(rest, ".")
	return ok && digits(subject) && digits(detail)
}

func digits(s string) bool {
	if len(s) < 1 || len(s) > 3 {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}
