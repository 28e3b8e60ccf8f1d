package queue

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// ErrNotReady reports a file that is still being written, or was left so.
var ErrNotReady = errors.New("queue file is not complete")

// Size is the first record of a queue file.
type Size struct {
	DataSize      int64 // bytes of records between M and X
	DataOffset    int64 // of the first content record
	RcptCount     int64 // at arrival
	QmgrHints     int64 // HintMixed, and HintNotify of all recipients
	ContentLength int64 // as DataSize, without what edits have put out of use
	UTF8Flags     int64 // envelope.UTF8...
}

// HintMixed says that recipient records stand between other records, so that
// all must be read before the first delivery.
const HintMixed = 1

// HintNotify returns the hint that a recipient has asked for notices.
func HintNotify(n envelope.Notify) int64 { return int64(n&allNotify) << 1 }

const (
	allNotify = envelope.NotifyNever | envelope.NotifySuccess | envelope.NotifyFailure | envelope.NotifyDelay
	allHints  = HintMixed | int64(allNotify)<<1
)

// maxSizeRecord is the longest size record: its type, a byte of length, and what
// this can tell.
const maxSizeRecord = 2 + 0x7f

// record is the data of the size record.
func (s Size) record() []byte {
	dst := make([]byte, 0, maxSizeRecord)
	for i, n := range [...]int64{s.DataSize, s.DataOffset, s.RcptCount, s.QmgrHints, s.ContentLength, s.UTF8Flags} {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = AppendFixed(dst, n)
	}
	return dst
}

// AppendFixed appends n in the 15 columns of the fields that are rewritten in
// place.
func AppendFixed(dst []byte, n int64) []byte {
	var tmp [20]byte
	digits := strconv.AppendInt(tmp[:0], n, 10)
	for i := len(digits); i < 15; i++ {
		dst = append(dst, ' ')
	}
	return append(dst, digits...)
}

// ParseSize reads a size record. Files of older Postfix versions have fewer
// fields.
func ParseSize(data []byte) (Size, error) {
	var s Size
	rest, fields := data, 0
	for _, p := range [...]*int64{&s.DataSize, &s.DataOffset, &s.RcptCount, &s.QmgrHints, &s.ContentLength, &s.UTF8Flags} {
		if rest = bytes.TrimLeft(rest, " "); len(rest) == 0 {
			break
		}
		end := bytes.IndexByte(rest, ' ')
		if end < 0 {
			end = len(rest)
		}
		n, err := parseNumber(rest[:end])
		if err != nil {
			return Size{}, fmt.Errorf("%w: size record %q", ErrCorrupt, data)
		}
		*p, rest = n, rest[end:]
		fields++
	}
	if fields < 3 || s.DataSize <= 0 || s.DataOffset <= 0 || s.QmgrHints&^allHints != 0 {
		return Size{}, fmt.Errorf("%w: size record %q", ErrCorrupt, data)
	}
	if s.ContentLength == 0 {
		s.ContentLength = s.DataSize
	}
	return s, nil
}

// Message is an open queue file. It is used by one goroutine at a time, except
// MarkDone, which may be called by several.
type Message struct {
	ID       ID
	Queue    string
	Mode     os.FileMode // state and hints
	ModTime  time.Time   // time before which it is not to be tried
	FileSize int64

	Size
	Arrival    time.Time // when the file was made
	Created    time.Time // when the message was first handed in
	Sender     envelope.Sender
	Client     envelope.Client
	FullName   string
	Encoding   string // envelope.Encoding7bit, Encoding8bit or ""
	Filter     string // content filter: transport:nexthop
	Inspect    string
	Redirect   string
	Verp       string
	TraceFlags int
	WarnTime   time.Time // when to send a delay notice; zero is never
	Warned     bool      // the delay notice was sent
	HoldUntil  time.Time // when it may leave (RFC 4865); zero is at once
	Priority   int       // RFC 6710, -9 to 9

	// Warnings are oddities of the file that do not spoil it.
	Warnings []string

	f           *os.File
	fs          *safefile.FS
	buffers     *Buffers
	warnOffset  int64
	traceOffset int64
	first       []envelope.Recipient // the first recipients, read with the rest
	firstNext   int64                // where the next ones are; 0 = none
}

// OpenMessage opens a complete message and reads its envelope.
//
// The error is os.ErrNotExist if there is no such file, [ErrNotReady] if it is
// not complete, [ErrCorrupt] if its content is malformed and
// [safefile.ErrUnsafe] if it is not a plain file of the queue's owner.
func (q *Queue) OpenMessage(queueName string, id ID) (*Message, error) {
	if err := checkNames(id, queueName); err != nil {
		return nil, err
	}
	return q.OpenPath(queueName, id, q.Path(queueName, id))
}

// OpenPath is OpenMessage for a file that a scan found at another place than
// its own.
func (q *Queue) OpenPath(queueName string, id ID, path string) (*Message, error) {
	m, err := q.openReady(queueName, id, path)
	if err != nil {
		return nil, err
	}
	return m.withEnvelope()
}

// OpenForDelivery opens a complete message for one who was told what its
// envelope says, such as where the content begins. The envelope is not read, and
// the fields from Arrival on are empty.
func (q *Queue) OpenForDelivery(queueName string, id ID, content int64) (*Message, error) {
	if err := checkNames(id, queueName); err != nil {
		return nil, err
	}
	m, err := q.openReady(queueName, id, q.Path(queueName, id))
	if err != nil {
		return nil, err
	}
	m.DataOffset = content
	return m, nil
}

// openReady opens a message, and reads nothing.
func (q *Queue) openReady(queueName string, id ID, path string) (*Message, error) {
	f, st, err := q.fs.Open(path, os.O_RDWR, safefile.Check{Owner: q.owner})
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IRWXU != ModeReady {
		_ = f.Close()
		return nil, &os.PathError{Op: "open", Path: path, Err: ErrNotReady}
	}
	return &Message{ID: id, Queue: queueName, Mode: os.FileMode(st.Mode & 0o777), FileSize: st.Size,
		ModTime: time.Unix(st.Mtim.Unix()), f: f, fs: q.fs, buffers: &q.reads}, nil
}

// readSize reads the first record, and no more.
func readSize(f *os.File) (Size, error) {
	var start [maxSizeRecord]byte
	n, err := f.ReadAt(start[:], 0)
	if err != nil && err != io.EOF {
		return Size{}, err
	}
	if n < 2 || start[0] != RecSize || start[1] >= 0x80 || 2+int(start[1]) > n {
		return Size{}, fmt.Errorf("%w: missing size record", ErrCorrupt)
	}
	return ParseSize(start[2 : 2+start[1]])
}

// withEnvelope reads the envelope. If it cannot, the message is closed.
func (m *Message) withEnvelope() (*Message, error) {
	if err := m.readEnvelope(); err != nil {
		_ = m.f.Close()
		return nil, fmt.Errorf("%s: %w", m.f.Name(), err)
	}
	return m, nil
}

// File returns the open file, to be passed to another process.
func (m *Message) File() *os.File { return m.f }

// Reopen opens the file once more, for a process that must only read it.
func (m *Message) Reopen() (*os.File, error) {
	f, _, err := m.fs.Open(m.f.Name(), os.O_RDONLY, safefile.Check{Owner: safefile.AnyOwner})
	return f, err
}

// Close closes the file, which gives up the lock.
func (m *Message) Close() error { return m.f.Close() }

// TryLock takes the lock that a delivery agent holds while it works on the
// message, and reports whether it got it.
func (m *Message) TryLock() (bool, error) { return safefile.TryFlock(m.f) }

// Unlock gives up the lock.
func (m *Message) Unlock() error { return safefile.Unflock(m.f) }

// MarkDone marks the recipient whose record is at offset as done. It is not
// synced: a lost mark means a second delivery, not a lost one.
func (m *Message) MarkDone(offset int64) error {
	for i := range m.first {
		if m.first[i].Offset == offset { // its record was seen
			return m.write(offset, RecDone)
		}
	}
	return m.retype(offset, RecRcpt, RecDone)
}

// retype changes the type of the record at an offset, once it has seen that
// there is one of the old type.
func (m *Message) retype(offset int64, from, to byte) error {
	var b [1]byte
	if _, err := m.f.ReadAt(b[:], offset); err != nil {
		return fmt.Errorf("record at offset %d of %s: %w", offset, m.f.Name(), err)
	}
	if b[0] == to {
		return nil
	}
	if b[0] != from || offset <= 0 {
		return fmt.Errorf("%w: no %q record at offset %d of %s", ErrCorrupt, from, offset, m.f.Name())
	}
	return m.write(offset, to)
}

func (m *Message) write(offset int64, typ byte) error {
	return m.fs.Write(m.f, []byte{typ}, offset)
}

// warned stands where the time of the delay notice was. The number is Postfix's.
const warned = "             -1"

// ClearWarn records that the delay notice was sent.
func (m *Message) ClearWarn() error {
	if m.warnOffset == 0 {
		return nil
	}
	m.WarnTime, m.Warned = time.Time{}, true
	return m.fs.Write(m.f, AppendRecord(nil, RecWarn, []byte(warned)), m.warnOffset)
}

// KillTrace records that the delivery report was sent.
func (m *Message) KillTrace() error {
	if m.traceOffset == 0 {
		return nil
	}
	m.TraceFlags = 0
	return m.retype(m.traceOffset, RecAttr, RecKill)
}

// SetTime sets the time before which the message is not tried again.
func (m *Message) SetTime(t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	if err := unix.Futimes(int(m.f.Fd()), []unix.Timeval{tv, tv}); err != nil {
		return &os.PathError{Op: "utimes", Path: m.f.Name(), Err: err}
	}
	return nil
}

// SplitAttr splits the "name=value" of an attribute record. Blanks around name
// and value are no part of them. problem is "" if it could.
func SplitAttr(data []byte) (name, value, problem string) {
	name, value, ok := strings.Cut(string(data), "=")
	name = strings.Trim(name, attrBlank)
	switch {
	case name == "":
		return "", "", "missing attribute name"
	case !ok || strings.ContainsAny(name, attrBlank):
		return "", "", "missing '=' after attribute name"
	}
	return name, strings.Trim(value, attrBlank), ""
}

const attrBlank = " \t\r\n\v\f"
