package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// expand queues the message for the addresses that an alias stands for. LMTP
// has one reply for the alias, which cannot say that some of them did not get
// the message; the queue tries those again, or tells the sender.
func (h *session) expand(ctx context.Context, s *smtpserver.Session, list string, targets []string) status.Status {
	id, err := h.enqueue(ctx, s, list, targets)
	if err != nil {
		h.srv.log.Warn(s.QueueID, "alias <%s>: %v", list, err)
		return status.New(451, "4.3.0", "Alias cannot be expanded now")
	}
	h.srv.log.Info(s.QueueID, "lmtp(%s): from=<%s>, size=%d, queued as %s for %d addresses", list, s.Mail().Address, h.size, id, len(targets))
	return status.New(250, "2.0.0", fmt.Sprintf("queued as %s for %d addresses", id, len(targets)))
}

func (h *session) enqueue(ctx context.Context, s *smtpserver.Session, list string, targets []string) (string, error) {
	flags := inject.FlagsInternal | inject.FlagAutoUTF8
	if s.Mail().UTF8 {
		flags = inject.FlagsInternal | inject.FlagUTF8
	}
	sub, err := h.srv.cleanup.Begin(ctx, flags)
	if err != nil {
		return "", err
	}
	defer sub.Abort()
	sub.Arrival(time.Now())
	client := s.Client
	client.RewriteContext = "remote"
	sub.Client(client)
	sub.Attr("encoding", s.Mail().Encoding)
	sub.Sender(s.Mail().Sender)
	for _, t := range targets {
		sub.Recipient(envelope.Recipient{Address: t, Original: list})
	}
	sub.StartContent()
	if err := eachLine(io.NewSectionReader(h.msg.File, 0, 1<<62), sub); err != nil {
		return "", err
	}
	result, err := sub.Finish()
	if err == nil && !result.OK() {
		err = fmt.Errorf("cleanup: %s", result.Reply())
	}
	return sub.QueueID(), err
}

// eachLine sends the lines of a message; long ones in parts.
func eachLine(from io.Reader, sub *inject.Submission) error {
	r := bufio.NewReaderSize(from, contentBuffer)
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case err == nil:
			err = sub.Line(line[:len(line)-1])
		case errors.Is(err, bufio.ErrBufferFull):
			err = sub.Fragment(line)
		case err == io.EOF && len(line) > 0:
			err = sub.Line(line)
		case err == io.EOF:
			return nil
		}
		if err != nil {
			return err
		}
	}
}
