package smtpwire

import (
	"errors"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Limits for one reply of a server.
const (
	MaxReplyLine  = 2048 // bytes of a line that are kept
	MaxReplyLines = 1000
	MaxReplySize  = 256 << 10 // bytes of a whole reply
)

// ErrReply reports a line that is not an SMTP reply, or a reply beyond the
// limits. The conversation cannot go on after it.
var ErrReply = errors.New("malformed reply")

// Reply is a server's reply.
type Reply struct {
	Code  int
	Lines []string // without codes, made printable; never empty
}

// Positive reports a 2xx reply.
func (r *Reply) Positive() bool { return r.Code/100 == 2 }

// Intermediate reports a 3xx reply.
func (r *Reply) Intermediate() bool { return r.Code/100 == 3 }

// Transient reports a 4xx reply.
func (r *Reply) Transient() bool { return r.Code/100 == 4 }

// Permanent reports a 5xx reply.
func (r *Reply) Permanent() bool { return r.Code/100 == 5 }

// Text returns the lines of the reply joined by spaces, without the code.
func (r *Reply) Text() string { return strings.Join(r.Lines, " ") }

// String returns the reply as log lines show it: code and text of each line,
// joined by spaces.
func (r *Reply) String() string {
	var b strings.Builder
	for i, l := range r.Lines {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%03d", r.Code)
		switch {
		case i < len(r.Lines)-1:
			b.WriteByte('-')
		case l != "":
			b.WriteByte(' ')
		}
		b.WriteString(l)
	}
	return b.String()
}

// Status returns the reply as a status. Where the server gave no enhanced
// code of the reply's own class, X.0.0 stands for it.
func (r *Reply) Status() status.Status {
	class := byte('0' + r.Code/100)
	if class == '3' {
		class = '2'
	}
	code := string(class) + ".0.0"
	// All lines should have the same. As in Postfix, the last one decides.
	for _, line := range []string{r.Lines[0], r.Lines[len(r.Lines)-1]} {
		word, _, _ := strings.Cut(line, " ")
		if status.ValidCode(word) && word[0] == class {
			code = word
		}
	}
	return status.Status{Code: code, Reply: r.Code, Text: r.Text()}
}

// ReadReply reads one reply (RFC 5321 4.2). The code of a multi-line reply is
// that of its last line. A line beyond MaxReplyLine is cut.
func (r *Reader) ReadReply() (*Reply, error) {
	reply := &Reply{}
	size := 0
	for len(reply.Lines) < MaxReplyLines && size < MaxReplySize {
		line, err := r.ReadLine(MaxReplyLine)
		if err != nil && !errors.Is(err, ErrLineTooLong) {
			return nil, err
		}
		code, more, text, ok := parseReplyLine(line)
		if !ok {
			return nil, fmt.Errorf("%w: %.100s", ErrReply, printable.Text(string(line)))
		}
		reply.Code = code
		reply.Lines = append(reply.Lines, printable.Text(text))
		if !more {
			return reply, nil
		}
		size += len(line) + 2
	}
	return nil, fmt.Errorf("%w: more than %d lines or %d bytes", ErrReply, MaxReplyLines, MaxReplySize)
}

func parseReplyLine(b []byte) (code int, more bool, text string, ok bool) {
	if len(b) < 3 || b[0] < '2' || b[0] > '5' || !digit(b[1]) || !digit(b[2]) {
		return 0, false, "", false
	}
	code = int(b[0]-'0')*100 + int(b[1]-'0')*10 + int(b[2]-'0')
	if len(b) == 3 {
		return code, false, "", true
	}
	if b[3] != ' ' && b[3] != '-' {
		return 0, false, "", false
	}
	return code, b[3] == '-', string(b[4:]), true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
