package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// Bounds of the search for Delivered-To fields.
const (
	maxHeaderBytes = 1 << 20
	maxDelivered   = 100
)

// scan returns the addresses in the message's Delivered-To fields, by which
// local recognises a loop. Reply: delivered, a line each.
func (w *worker) scan(file *os.File) ipc.List {
	if file == nil {
		return failure("4.3.0", errors.New("no message came with the job"))
	}
	body, err := w.buffers.Body(file, 0)
	if err != nil {
		return failure("4.3.0", err)
	}
	found, err := deliveredTo(body.Content())
	if err != nil {
		return failure("4.3.0", err)
	}
	return success().Str("delivered", strings.Join(found, "\n"))
}

// deliveredTo reads the header up to its end.
func deliveredTo(c *queue.Content) ([]string, error) {
	defer c.Close()
	const field = "delivered-to:"
	var found []string
	for read, start := 0, true; read < maxHeaderBytes; {
		line, eol, err := c.Next()
		if err == io.EOF || err == nil && start && eol && len(line) == 0 {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if start && len(line) > len(field) && strings.EqualFold(string(line[:len(field)]), field) {
			if len(found) == maxDelivered {
				return found, nil
			}
			found = append(found, strings.TrimSpace(string(line[len(field):])))
		}
		read += len(line) + 1
		start = eol
	}
	return found, nil
}

// resend hands a forwarded message to cleanup as a new one. Attributes:
// sender, envid, ret, recipients, prefix, host, smtputf8, requiretls and those
// of the client. Reply: queue_id.
func (w *worker) resend(req ipc.List, file *os.File) ipc.List {
	fill, err := w.message(req, file)
	if err != nil {
		return failure("4.3.0", err)
	}
	rcpts, err := resendRecipients(req)
	if err != nil {
		return failure("4.3.0", err)
	}
	flags := inject.FlagsInternal
	if n, err := req.GetInt("smtputf8"); err == nil && n&envelope.UTF8Requested != 0 {
		flags |= inject.FlagUTF8
	} else {
		flags |= inject.FlagAutoUTF8
	}
	pool := ipc.NewPool(inject.Endpoint, inject.Timeout)
	defer pool.Close()
	s, err := inject.NewClient(pool).Begin(context.Background(), flags)
	if err != nil {
		return failure("4.3.0", err)
	}
	defer s.Abort()
	s.Arrival(time.Now())
	ret, _ := strconv.Atoi(req.Value("ret"))
	s.Client(envelope.Client{
		RewriteContext: req.Value("rewrite_context"), Name: req.Value("client_name"), Addr: req.Value("client_address"),
		Port: req.Value("client_port"), Helo: req.Value("helo"), Proto: req.Value("proto"), Ident: req.Value("ident"),
		SASLMethod: req.Value("sasl_method"), SASLUser: req.Value("sasl_username"), SASLSender: req.Value("sasl_sender"),
	})
	s.Sender(envelope.Sender{Address: req.Value("sender"), EnvID: req.Value("envid"), Ret: envelope.Ret(ret),
		TLS: envelope.ParseTLSWish(req.Value("requiretls"))})
	for _, r := range rcpts {
		s.Recipient(r)
	}
	s.StartContent()
	received := fmt.Sprintf("Received: by %s (Posthouse)\n\tid %s; %s\n", req.Value("host"), s.QueueID(),
		time.Now().Format("Mon, _2 Jan 2006 15:04:05 -0700 (MST)"))
	lines := &lineWriter{s: s}
	if _, err = io.WriteString(lines, received); err == nil {
		err = fill(lines)
	}
	if err == nil {
		err = lines.end()
	}
	if err != nil {
		return failure("4.3.0", err)
	}
	result, err := s.Finish()
	if err != nil {
		return failure("4.3.0", err)
	}
	if !result.OK() {
		return failure("4.3.0", fmt.Errorf("cleanup refused the forwarded message: %s", result.Reason))
	}
	return success().Str("queue_id", s.QueueID())
}

// resendRecipients reads the recipients attributes: lines of address, NOTIFY
// number, ORCPT and original recipient, separated by tabs, which none of them can contain.
func resendRecipients(req ipc.List) ([]envelope.Recipient, error) {
	var rcpts []envelope.Recipient
	for _, a := range req {
		if a.Name != "recipients" {
			continue
		}
		for _, line := range strings.Split(strings.TrimSuffix(a.Value, "\n"), "\n") {
			f := strings.Split(line, "\t")
			if len(f) != 4 || f[0] == "" {
				return nil, fmt.Errorf("bad recipient %q", line)
			}
			notify, err := strconv.Atoi(f[1])
			if err != nil {
				return nil, fmt.Errorf("bad recipient %q", line)
			}
			rcpts = append(rcpts, envelope.Recipient{Address: f[0], Notify: envelope.Notify(notify), DSNOrcpt: f[2], Original: f[3]})
		}
	}
	if len(rcpts) == 0 {
		return nil, errors.New("no recipients")
	}
	return rcpts, nil
}

// lineWriter turns a stream into content records. A long line goes out in
// fragments.
type lineWriter struct {
	s    *inject.Submission
	line []byte
}

func (l *lineWriter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		piece, rest, whole := cutLine(p)
		p = rest
		if len(l.line)+len(piece) > inject.MaxRecord && len(l.line) > 0 {
			if err := l.s.Fragment(l.line); err != nil {
				return 0, err
			}
			l.line = l.line[:0]
		}
		if whole {
			l.line = append(l.line, piece...)
			if err := l.s.Line(l.line); err != nil {
				return 0, err
			}
			l.line = l.line[:0]
			continue
		}
		l.line = append(l.line, piece...)
	}
	return total, nil
}

// cutLine cuts p after its first line end, which it leaves out.
func cutLine(p []byte) (line, rest []byte, whole bool) {
	for i, c := range p {
		if c == '\n' {
			return p[:i], p[i+1:], true
		}
	}
	return p, nil, false
}

// end sends a last line that has no line end.
func (l *lineWriter) end() error {
	if len(l.line) == 0 {
		return nil
	}
	return l.s.Line(l.line)
}
