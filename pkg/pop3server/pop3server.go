// Package pop3server is the server side of a POP3 session (RFC 1939, RFC 2449)
// from the moment at which the client has logged in: the transaction and
// update states. What comes before, with passwords and TLS, is pop3d's.
//
// A session works on a [Maildrop], the messages that the mailbox had when it
// began. Messages are deleted at QUIT and at no other time, and the reply to
// QUIT comes after the deletion is on disk. A message goes through as a
// stream; CRLF line ends and the dots of RFC 1939 3 are made on the way. The
// replies to commands that arrive together leave together.
package pop3server

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/pace"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
)

// Maildrop is what a session needs of a mailbox. Messages are numbered from 0.
// What it says does not change during a session, but a message may be taken
// away by others, which is an error when it is opened.
type Maildrop interface {
	Len() int
	// Size is that of the message with CRLF line ends.
	Size(i int) (int64, error)
	// UIDL is one to 70 characters from 0x21 to 0x7E (RFC 1939 7).
	UIDL(i int) (string, error)
	// Open returns the message with the line ends that it has on disk.
	Open(i int) (io.ReadCloser, error)
	// Update marks messages as seen and deletes others, durably. It comes
	// once, at QUIT. Messages that somebody else deleted are no error.
	Update(seen, deleted []int) error
	// Close gives up the maildrop and its lock.
	Close() error
}

// Errors of a maildrop that the client is told by a code of RFC 2449 8.1.
var (
	// ErrInUse: another session has the maildrop.
	ErrInUse = errors.New("maildrop is in use by another session")
	// ErrTooSoon: less than LOGIN-DELAY seconds since the last login.
	ErrTooSoon = errors.New("login too soon after the last one")
	// ErrGone: the message is no longer there.
	ErrGone = errors.New("message is gone")
)

// Options are what is the same for all sessions of a user.
type Options struct {
	// Idle is after how long a silent client is left (RFC 1939 3: at least
	// ten minutes).
	Idle time.Duration
	// NoSeen leaves the flags of messages that were retrieved alone
	// (pop3_no_flag_updates).
	NoSeen bool
	// Capa are capabilities with values, as "EXPIRE NEVER".
	Capa []string
	// Log writes a line about the session; nil for none.
	Log func(format string, args ...any)
	// Warn writes a line about something that is wrong here.
	Warn func(format string, args ...any)
	// Pace hears of each command; may be nil.
	Pace *pace.Governor
	// Buffers are shared by sessions; may be nil.
	Buffers *Buffers
}

// Buffers is what sessions share so that an idle one holds next to nothing. The
// zero value is ready.
type Buffers struct {
	wire  smtpwire.Buffers
	chunk sync.Pool // *[chunkSize]byte
}

// chunkSize is how much of a message is read at once.
const chunkSize = 64 << 10

func (b *Buffers) get() *[chunkSize]byte {
	if p, ok := b.chunk.Get().(*[chunkSize]byte); ok {
		return p
	}
	return new([chunkSize]byte)
}

func (b *Buffers) put(p *[chunkSize]byte) { b.chunk.Put(p) }

// Limits of a session.
const (
	lineLimit   = 255 // RFC 2449 4
	maxBad      = 20  // commands in a row that are none
	minIdle     = time.Second
	defaultIdle = 10 * time.Minute
)

// session is one client.
type session struct {
	opts  *Options
	conn  net.Conn
	drop  Maildrop
	state State
	r     *smtpwire.Reader
	w     writer

	deleted, seen bits
	live          int   // messages that are not deleted
	total         int64 // bytes of those; -1 until it is asked for
	bad           int
	quit          bool
	counts        struct {
		top, retr, del int
		topB, retrB    int64
	}
}

// input is the client, with what it sent before this session, and with the
// rule that replies leave before the server waits for commands.
type input struct {
	s       *session
	ctx     context.Context
	pending []byte
}

// Read implements io.Reader.
func (in *input) Read(p []byte) (int, error) {
	if len(in.pending) > 0 {
		n := copy(p, in.pending)
		in.pending = in.pending[n:]
		return n, nil
	}
	if err := in.s.w.Flush(); err != nil {
		return 0, err
	}
	if err := in.s.conn.SetReadDeadline(time.Now().Add(in.s.opts.Idle)); err != nil {
		return 0, err
	}
	// Whoever ends this session wakes the read after the deadline was set.
	if err := in.ctx.Err(); err != nil {
		return 0, err
	}
	return in.s.conn.Read(p)
}

// Run serves a client who has logged in, to the end of the session. open is
// called first, since the answer to the login depends on it. The caller closes
// conn.
func Run(ctx context.Context, conn net.Conn, state State, pending []byte, open func() (Maildrop, error), opts Options) error {
	if opts.Idle < minIdle {
		opts.Idle = defaultIdle
	}
	if opts.Buffers == nil {
		opts.Buffers = &Buffers{}
	}
	s := &session{opts: &opts, conn: conn, state: state, total: -1}
	s.w = newWriter(conn, opts.Idle, &opts.Buffers.wire)
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	drop, err := open()
	if err != nil {
		s.refuse(err)
		return s.w.Flush()
	}
	s.drop = drop
	total := drop.Len()
	s.live = total
	s.r = smtpwire.NewReader(&input{s: s, ctx: ctx, pending: pending}, &opts.Buffers.wire)
	defer s.r.Release()
	s.ok("Logged in.")
	reason := s.hold()
	s.w.Flush()
	s.log("Disconnected: %s top=%d/%d, retr=%d/%d, del=%d/%d, size=%d", reason, s.counts.top, s.counts.topB,
		s.counts.retr, s.counts.retrB, s.counts.del, total, max(s.total, 0))
	return nil
}

// refuse answers a login whose maildrop cannot be opened.
func (s *session) refuse(err error) {
	switch {
	case errors.Is(err, ErrInUse):
		s.fail("[IN-USE] Mailbox is in use by another POP3 session")
	case errors.Is(err, ErrTooSoon):
		s.fail("[LOGIN-DELAY] Minimum time between logins is not over")
	case errors.Is(err, syscall.ENOSPC):
		s.warn("open maildrop: %v", err)
		s.fail("[SYS/TEMP] The mail server's disk is full. This mailbox can be opened for the first time when there is room: tell your postmaster.")
	default:
		s.warn("open maildrop: %v", err)
		s.fail("[SYS/TEMP] Mailbox cannot be opened")
	}
}

// hold is the session while it has the maildrop. That is given up before the reply to
// QUIT leaves: who has read it may log in again at once.
func (s *session) hold() string {
	defer s.drop.Close()
	return s.loop()
}

// loop does commands until the session ends, and returns why it did.
func (s *session) loop() string {
	for !s.quit {
		line, err := s.r.ReadLine(lineLimit)
		s.opts.Pace.Touch()
		switch {
		case errors.Is(err, smtpwire.ErrLineTooLong):
			s.unknown("Command is too long.")
		case err != nil:
			return disconnectReason(err)
		default:
			s.command(string(line))
		}
		if err := s.w.Err(); err != nil {
			return disconnectReason(err)
		}
		if s.bad > maxBad {
			s.fail("Too many bad commands.")
			return "Too many bad commands"
		}
	}
	return "Logged out"
}

func (s *session) log(format string, args ...any) {
	if s.opts.Log != nil {
		s.opts.Log(format, args...)
	}
}

func (s *session) warn(format string, args ...any) {
	if s.opts.Warn != nil {
		s.opts.Warn(format, args...)
	}
}

func (s *session) ok(text string) {
	if text == "" {
		s.w.line("+OK")
		return
	}
	s.w.line("+OK " + text)
}

func (s *session) fail(text string) { s.w.line("-ERR " + text) }

// unknown answers what is no command.
func (s *session) unknown(text string) {
	s.bad++
	s.fail(text)
}
