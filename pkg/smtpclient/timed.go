package smtpclient

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
)

// timedConn gives each write a time limit of its own, so that a large message
// to a slow server counts as progress piece by piece, and each reply one
// deadline, so that a server cannot dribble for ever.
type timedConn struct {
	net.Conn            // what is spoken through: raw, or TLS on it
	raw        net.Conn // where deadlines are set; never changes
	writeLimit time.Duration
	// rate is how many bytes per second the other side must take, all told;
	// 0 is no such rule (smtp_min_data_rate). deadline is when it fails to.
	rate      int
	deadline  time.Time
	cancelled atomic.Bool
}

// writePiece is how much must go out within one write limit.
const writePiece = 16 << 10

// past is a deadline that is over.
func past() time.Time { return time.Unix(1, 0) }

func (t *timedConn) cancel() {
	t.cancelled.Store(true)
	t.raw.SetDeadline(past())
}

// readBy sets the deadline for a reply.
func (t *timedConn) readBy(limit time.Duration) {
	t.raw.SetReadDeadline(time.Now().Add(limit))
	if t.cancelled.Load() {
		t.raw.SetDeadline(past())
	}
}

// Write implements io.Writer.
func (t *timedConn) Write(b []byte) (int, error) {
	done := 0
	for len(b) > 0 {
		piece := b[:min(len(b), writePiece)]
		t.raw.SetWriteDeadline(t.writeBy())
		if t.cancelled.Load() {
			t.raw.SetDeadline(past())
		}
		n, err := t.Conn.Write(piece)
		done += n
		if err != nil {
			return done, err
		}
		b = b[n:]
		if t.rate > 0 {
			t.deadline = t.deadline.Add(time.Duration(n) * time.Second / time.Duration(t.rate))
		}
	}
	return done, nil
}

// begin starts a piece of conversation, such as the content of a message, for
// which the minimum rate counts.
func (t *timedConn) begin(limit time.Duration) {
	t.writeLimit, t.deadline = limit, time.Now().Add(limit)
}

// writeBy returns the time limit of one write. What was sent fast leaves no
// more than the whole limit for the rest.
func (t *timedConn) writeBy() time.Time {
	full := time.Now().Add(t.writeLimit)
	if t.rate <= 0 {
		return full
	}
	if t.deadline.IsZero() || t.deadline.After(full) {
		t.deadline = full
	}
	return t.deadline
}

// isNoise reports whether an error of ReadReply is a line that is no reply,
// after which the connection still stands.
func isNoise(err error) bool { return errors.Is(err, smtpwire.ErrReply) }
