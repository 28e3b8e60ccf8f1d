package smtpserver

import (
	"context"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// Limits for chunks that are only read to be thrown away, and the size below
// which a chunk that is not the last counts as a junk command: a client that
// sends bytes one by one costs more than they are worth.
const (
	maxSkip   = 64 << 20
	tinyChunk = 512
)

// bdatState is where a message that comes in chunks is.
type bdatState struct {
	active bool // Data was called for the first chunk
	failed bool // the chunks of a refused message are still coming
	// replies is how many an LMTP client awaits for the last of those.
	replies int
}

func (s *Session) doData(ctx context.Context, args string) bool {
	if s.bdat.active {
		return s.fail(503, "5.5.1", "Error: DATA after BDAT")
	}
	if s.mail == nil {
		return s.fail(503, "5.5.1", "Error: need RCPT command")
	}
	if s.nrcpt == 0 {
		return s.failAs(0, s.noRcpts(), "5.5.1", "Error: no valid recipients")
	}
	if args != "" {
		return s.fail(501, "5.5.4", "Syntax: DATA")
	}
	if st := s.h.Data(ctx, s); !st.IsZero() {
		return s.decide(st, 0, "", "")
	}
	s.say(354, false, "End data with <CR><LF>.<CR><LF>")
	s.body = smtpwire.Content{Fragment: s.opts.LineLimit, Mode: s.BareLF}
	s.conn.begin()
	if err := s.r.ReadData(&s.body, s.content); err != nil {
		s.ioError(err)
		s.logContentLost()
		s.reset()
		return false
	}
	return s.endMessage(ctx)
}

// noRcpts is the code for content that has no recipients: RFC 2033 4.2 asks an
// LMTP server for 503.
func (s *Session) noRcpts() int {
	if s.opts.LMTP {
		return 503
	}
	return 554
}

// content hands a part of the message to the handler.
func (s *Session) content(b []byte, eol bool) error {
	s.h.Content(s, b, eol)
	return nil
}

// endMessage answers for a whole message and ends the transaction, on every
// path (security.md P2).
func (s *Session) endMessage(ctx context.Context) bool {
	s.where = afterMessage
	info := s.body.Info
	if info.BareLF && s.BareLF == smtpwire.BareReject {
		s.reset()
		s.bareCommand()
		return false
	}
	if h, ok := s.h.(EachHandler); ok && s.opts.LMTP {
		return s.endEach(h.EndEach(ctx, s, info))
	}
	st := s.h.End(ctx, s, info)
	good := st.Reply >= 200 && st.Reply < 300
	s.reset()
	if st.IsZero() {
		// A handler that does not know is no success.
		return s.failAs(transcript.Software, 451, "4.3.0", "Error: queue file write error")
	}
	s.decide(st, 0, "", "")
	if good {
		s.errors, s.junk = 0, 0
		s.log.Forgive()
	}
	s.log.Pause(s.opts.PauseLines)
	return good
}

// endEach answers for each recipient of a message.
func (s *Session) endEach(results []status.Status) bool {
	rcpts := s.nrcpt
	s.reset()
	good := 0
	for i := range rcpts {
		// A handler that does not know is no success.
		st := status.New(451, "4.3.0", "Error: no result of the delivery")
		if i < len(results) && len(results) == rcpts && !results[i].IsZero() {
			st = results[i]
		}
		if st.Reply >= 200 && st.Reply < 300 {
			good++
		}
		s.reply(st)
	}
	if good == 0 {
		s.errors++
		return false
	}
	s.errors, s.junk = 0, 0
	if good == rcpts {
		s.log.Forgive()
	}
	return true
}

// doBdat takes one chunk (RFC 3030 section 2). Whatever the answer is, the
// bytes of the chunk are read first: they must never be taken as commands.
func (s *Session) doBdat(ctx context.Context, args string) bool {
	n, last, ok := parseBdat(args)
	if !ok {
		s.opts.Log.Warn(s.QueueID, "malformed BDAT command syntax from %s: BDAT %.100s", s.Peer(), args)
		s.reset()
		return s.fail(521, "5.5.4", "Syntax: BDAT count [LAST]")
	}
	s.conn.begin()
	switch {
	case s.bdat.failed:
		return s.refuseChunk(0, n, last, 551, "5.0.0", "Discarded "+strconv.FormatInt(n, 10)+" bytes after earlier error")
	case s.mail == nil:
		return s.refuseChunk(transcript.Protocol, n, last, 503, "5.5.1", "Error: need RCPT command")
	case s.nrcpt == 0:
		return s.refuseChunk(0, n, last, s.noRcpts(), "5.5.1", "Error: no valid recipients")
	case n == 0 && !last:
		s.opts.Log.Warn(s.QueueID, "null BDAT request from %s", s.Peer())
		return s.refuseChunk(transcript.Policy, n, last, 551, "5.7.1", "Null BDAT request")
	case s.opts.SizeLimit > 0 && n > s.opts.SizeLimit-s.body.Info.Size:
		s.opts.Log.Warn(s.QueueID, "BDAT request from %s exceeds message size limit", s.Peer())
		return s.refuseChunk(transcript.Policy, n, last, 552, "5.3.4", "Chunk exceeds message size limit")
	}
	return s.chunk(ctx, n, last)
}

func parseBdat(args string) (n int64, last, ok bool) {
	f := strings.Fields(args)
	if len(f) == 0 || len(f) > 2 || strings.Trim(f[0], "0123456789") != "" {
		return 0, false, false
	}
	if len(f) == 2 && !strings.EqualFold(f[1], "LAST") {
		return 0, false, false
	}
	n, err := strconv.ParseInt(f[0], 10, 64)
	return n, len(f) == 2, err == nil
}

// refuseChunk throws a chunk away, ends the transaction and answers. Chunks
// that the client has under way behind it are refused too, up to the last. An
// LMTP client expects a reply for each recipient to the last one (RFC 2033
// 4.3).
func (s *Session) refuseChunk(class transcript.Class, n int64, last bool, code int, enhanced, text string) bool {
	replies := max(s.nrcpt, s.bdat.replies, 1)
	s.reset()
	if n > max(maxSkip, s.opts.SizeLimit) {
		return s.failAs(transcript.Policy, 521, "5.3.4", text)
	}
	if err := s.r.SkipChunk(n); err != nil {
		s.ioError(err)
		return false
	}
	s.bdat.failed = !last
	if s.opts.LMTP && !last {
		s.bdat.replies = replies
	} else if s.opts.LMTP {
		for range replies - 1 {
			s.ok(code, enhanced, text)
		}
	}
	return s.failAs(class, code, enhanced, text)
}

// chunk reads a chunk of the message.
func (s *Session) chunk(ctx context.Context, n int64, last bool) bool {
	if !s.bdat.active {
		if st := s.h.Data(ctx, s); !st.IsZero() {
			return s.refuseChunk(0, n, last, st.Reply, st.Code, st.Text)
		}
		s.bdat.active = true
		s.body = smtpwire.Content{Fragment: s.opts.LineLimit, Mode: s.BareLF}
	}
	if n < tinyChunk && !last {
		if s.junk++; s.junk > s.opts.JunkLimit {
			s.errors++
		}
	}
	if err := s.r.ReadChunk(n, &s.body, s.content); err != nil {
		s.ioError(err)
		s.logContentLost()
		s.reset()
		return false
	}
	if !last {
		return s.ok(250, "2.0.0", "Ok: "+strconv.FormatInt(n, 10)+" bytes")
	}
	s.body.Finish(s.content)
	return s.endMessage(ctx)
}
