// Package listing lists the queue in the form of the showq protocol, which
// Postfix's postqueue and other people's tools read from public/showq.
//
// The stream is a list with the name of the protocol, then a list of
// attributes for each message, in which recipient and reason are repeated, and
// an empty list at the end.
package listing

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queue/bouncelog"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Protocol is what the first list of the stream says.
const Protocol = "mail_queue_list_protocol"

// Lister lists a queue.
type Lister struct {
	Queue *queue.Queue
	// EmptyAddress is shown for a null sender or recipient: the parameter
	// empty_address_recipient.
	EmptyAddress string
	// DupLimit is how many recipients of a defer log are remembered, so
	// that they are not listed twice: duplicate_filter_limit; 0 is no limit.
	DupLimit int
	// Warn reports oddities; nil is nobody.
	Warn func(format string, args ...any)
}

// Write sends the listing. It flushes at the end, and whenever w is full, so
// that a large queue is shown while it is read.
func (l *Lister) Write(w *bufio.Writer) error {
	attr(w, "protocol", Protocol)
	if err := w.WriteByte(0); err != nil {
		return err
	}
	for _, name := range []string{queue.Maildrop, queue.Active, queue.Incoming, queue.Deferred, queue.Hold} {
		for e, err := range l.Queue.Scan(name) {
			if err != nil {
				l.warn("scan %s: %v", name, err)
				continue
			}
			if e.Bad {
				continue
			}
			if err := l.message(w, e); err != nil {
				return err
			}
		}
	}
	if err := w.WriteByte(0); err != nil {
		return err
	}
	return w.Flush()
}

func (l *Lister) warn(format string, args ...any) {
	if l.Warn != nil {
		l.Warn(format, args...)
	}
}

// message lists one file. The error is that of the writer: a file that cannot
// be read is left out.
func (l *Lister) message(w *bufio.Writer, e queue.Entry) error {
	check := safefile.Check{Owner: l.Queue.Owner(), Links: true}
	if e.Queue == queue.Maildrop {
		check.Owner = safefile.AnyOwner
	}
	f, st, err := l.Queue.FS().Open(e.Path, os.O_RDONLY, check)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			l.warn("%v", err)
		}
		return nil
	}
	defer f.Close()
	if st.Mode&unix.S_IRWXU != queue.ModeReady {
		return nil
	}
	m := message{Lister: l, w: w, e: e, st: st, r: queue.NewFileReader(f, st.Size)}
	err = m.list()
	if err != nil && !m.failed {
		l.warn("%s: %v", e.Path, err)
		err = nil
	}
	if m.started && err == nil {
		err = w.WriteByte(0)
	}
	return err
}

// message is one file that is being listed.
type message struct {
	*Lister
	w       *bufio.Writer
	e       queue.Entry
	st      *unix.Stat_t
	r       *queue.RecordReader
	arrival int64
	size    queue.Size
	haveC   bool
	started bool // the sender was shown
	failed  bool // the writer failed
	seen    map[string]bool
}

// list reads the envelope records, those after the content too.
func (m *message) list() error {
	for {
		if m.haveC && m.r.Offset() == m.size.DataOffset {
			if err := m.r.SeekTo(m.size.DataOffset + m.size.DataSize); err != nil {
				return err
			}
		}
		rec, err := m.r.NextFollow()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch rec.Type {
		case queue.RecSize:
			if size, err := queue.ParseSize(rec.Data); err == nil && !m.haveC && m.e.Queue != queue.Maildrop {
				m.size, m.haveC = size, true
			}
		case queue.RecTime:
			if m.arrival == 0 {
				m.arrival = leadingNumber(rec.Data)
			}
		case queue.RecFrom:
			if m.started {
				continue // a file that was put together wrongly
			}
			if err := m.start(string(rec.Data)); err != nil {
				m.failed = true
				return err
			}
		case queue.RecRcpt:
			if err := m.recipient(string(rec.Data)); err != nil {
				m.failed = true
				return err
			}
		case queue.RecEnd:
			return nil
		}
	}
}

// start shows what comes before the recipients, and the recipients that were
// deferred, with the reason. A defer log need not be complete: a delivery run
// may have been interrupted.
func (m *message) start(sender string) error {
	m.started = true
	attr(m.w, "queue_name", m.e.Queue)
	attr(m.w, "queue_id", string(m.e.ID))
	attr(m.w, "time", strconv.FormatInt(m.arrival, 10))
	size := m.st.Size
	if m.haveC {
		size = m.size.DataSize
	}
	attr(m.w, "size", strconv.FormatInt(size, 10))
	expire := "0"
	if m.st.Mode&queue.ModeExpire != 0 {
		expire = "1"
	}
	attr(m.w, "forced_expire", expire)
	if sender == "" {
		sender = m.EmptyAddress
	}
	attr(m.w, "sender", show(sender))
	if m.e.Queue == queue.Maildrop {
		return nil
	}
	return m.reasons()
}

func (m *message) reasons() error {
	r, err := bouncelog.Open(m.Queue, queue.Defer, m.e.ID)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			m.warn("%v", err)
		}
		return nil
	}
	defer r.Close()
	m.seen = make(map[string]bool)
	for {
		e, err := r.Next()
		if err != nil {
			return nil
		}
		if m.DupLimit == 0 || len(m.seen) < m.DupLimit {
			m.seen[e.Recipient.Address] = true
		}
		attr(m.w, "recipient", e.Recipient.Address)
		if err := attr(m.w, "reason", e.Reason); err != nil {
			return err
		}
	}
}

func (m *message) recipient(addr string) error {
	if !m.started {
		return nil
	}
	if addr == "" {
		addr = m.EmptyAddress
	}
	addr = show(addr)
	if m.seen[addr] {
		return nil
	}
	attr(m.w, "recipient", addr)
	return attr(m.w, "reason", "")
}

// show returns an address as it is shown: quoted where needed, without
// control characters.
func show(addr string) string { return printable.Text(address.Quote(addr)) }

func attr(w *bufio.Writer, name, value string) error {
	w.WriteString(name)
	w.WriteByte(0)
	w.WriteString(value)
	return w.WriteByte(0)
}

// leadingNumber reads the digits at the start of a time record.
func leadingNumber(b []byte) int64 {
	var n int64
	for i := 0; i < len(b) && i < 18 && b[i] >= '0' && b[i] <= '9'; i++ {
		n = n*10 + int64(b[i]-'0')
	}
	return n
}
