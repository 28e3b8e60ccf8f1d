// Package bouncelog reads and writes the logs that the bounce, defer and trace
// queues keep for each message: which recipient failed, was put off or was
// reported, and why. The format is Postfix's, so that either suite can go on
// with the other's logs.
//
// An entry is a group of lines "name=value" between blank lines. In front of
// them stands the line "<recipient>: reason" of old logs, which old readers
// need and new ones override.
//
// A recipient may be marked as done in the queue file only after its entry is
// on disk: [Append] returns after fsync, of the directory too when it made the
// file.
package bouncelog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Limits of what a reader accepts.
const (
	maxLine = 64 << 10
)

// Values of Entry.Action.
const (
	ActionFailed    = "failed"
	ActionDelayed   = "delayed"
	ActionDelivered = "delivered"
	ActionRelayed   = "relayed"
	ActionExpanded  = "expanded"
)

// Entry is what is known about one recipient.
type Entry struct {
	Recipient envelope.Recipient
	Status    string // enhanced status code
	Action    string // Action...
	DiagType  string // "smtp", "x-unix"
	DiagText  string // the reply of the remote host
	MTAType   string // "dns"
	MTAName   string // the remote host
	Reason    string
}

// Append adds entries to the log of a message and returns when they are on
// disk. Several daemons may append to one log at the same time.
func Append(ctx context.Context, q *queue.Queue, logName string, id queue.ID, entries ...Entry) error {
	f, made, err := openAppend(q, logName, id)
	if err != nil {
		return err
	}
	empty, err := appendEntries(ctx, q, f, entries)
	if err != nil {
		_ = f.Close()
		return err
	}
	if err := q.FS().SyncClose(f); err != nil {
		return err
	}
	// The maker of an empty log may not have synced its name yet.
	if made || empty {
		return q.FS().SyncDir(filepath.Dir(f.Name()))
	}
	return nil
}

// openAppend opens the log, or makes it.
func openAppend(q *queue.Queue, logName string, id queue.ID) (f *os.File, made bool, err error) {
	const tries = 3
	for range tries {
		f, _, err := q.OpenLog(logName, id, os.O_RDWR)
		if err == nil {
			return f, false, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, false, err
		}
		f, err = q.CreateLog(logName, id)
		if err == nil {
			return f, true, nil
		}
		if !errors.Is(err, os.ErrExist) {
			return nil, false, err
		}
	}
	return nil, false, fmt.Errorf("log %s of %s comes and goes", logName, id)
}

// appendEntries writes at the end of the log, under the lock that other
// writers take, too, and takes a partial entry back.
func appendEntries(ctx context.Context, q *queue.Queue, f *os.File, entries []Entry) (empty bool, err error) {
	if err := safefile.Flock(ctx, f); err != nil {
		return false, err
	}
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	var b []byte
	for _, e := range entries {
		b = append(b, e.format()...)
	}
	if err := q.FS().Write(f, b, st.Size()); err != nil {
		_ = f.Truncate(st.Size())
		return false, err
	}
	return st.Size() == 0, nil
}

func (e Entry) format() []byte {
	r := e.Recipient
	b := make([]byte, 0, 512)
	b = append(b, '\n')
	b = fmt.Appendf(b, "<%s>: %s\n", quote(r.Address), line(e.Reason))
	rcpt := quote(r.Address)
	if rcpt == "" {
		rcpt = "<>"
	}
	b = attr(b, "recipient", rcpt)
	if r.Original != "" && !strings.EqualFold(r.Original, r.Address) {
		b = attr(b, "original_recipient", quote(r.Original))
	}
	if r.Offset > 0 {
		b = attr(b, "offset", strconv.FormatInt(r.Offset, 10))
	}
	if r.DSNOrcpt != "" {
		b = attr(b, "dsn_orig_rcpt", r.DSNOrcpt)
	}
	if r.Notify != 0 {
		b = attr(b, "notify_flags", strconv.Itoa(int(r.Notify)))
	}
	for _, f := range e.fields() {
		if *f.value != "" {
			b = attr(b, f.name, *f.value)
		}
	}
	return append(b, '\n')
}

type field struct {
	name  string
	value *string
}

// fields lists the plain text fields in the order in which they are written.
func (e *Entry) fields() []field {
	return []field{{"status", &e.Status}, {"action", &e.Action}, {"diag_type", &e.DiagType},
		{"diag_text", &e.DiagText}, {"mta_type", &e.MTAType}, {"mta_mname", &e.MTAName}, {"reason", &e.Reason}}
}

func attr(b []byte, name, value string) []byte {
	b = append(append(b, name...), '=')
	return append(append(b, line(value)...), '\n')
}

// line keeps what a remote host said from ending the line.
func line(s string) string { return printable.Text(s) }

func quote(addr string) string { return address.Quote(addr) }

// Reader reads a log. Malformed lines are skipped.
type Reader struct {
	f        *os.File
	br       *bufio.Reader
	status   string // what an entry without status and action stands for
	action   string
	Warnings []string // malformed lines so far, at most some
}

// Open opens the log of a message. The error is os.ErrNotExist if there is
// none.
func Open(q *queue.Queue, logName string, id queue.ID) (*Reader, error) {
	f, _, err := q.OpenLog(logName, id, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	r := NewReader(f, logName)
	r.f = f
	return r, nil
}

// NewReader returns a reader of a log of the named kind.
func NewReader(r io.Reader, logName string) *Reader {
	lr := &Reader{br: bufio.NewReaderSize(r, 4<<10), status: "5.0.0", action: ActionFailed}
	if logName == queue.Defer {
		lr.status, lr.action = "4.0.0", ActionDelayed
	}
	return lr
}

// Close closes the file.
func (r *Reader) Close() error {
	if r.f == nil {
		return nil
	}
	return r.f.Close()
}

// Next returns the next entry, and io.EOF, bare, at the end. An entry that is
// cut off at the end of the log is not returned: its recipient was not marked.
func (r *Reader) Next() (Entry, error) {
	var e Entry
	found := false
	for {
		text, err := r.line()
		if err != nil {
			return Entry{}, err
		}
		if text == "" {
			if found {
				break
			}
			continue
		}
		found = true
		r.parse(&e, printable.Text(text))
	}
	if e.Recipient.Address == "" {
		e.Recipient.Address = "(recipient address unavailable)"
	}
	if e.Status == "" {
		e.Status = r.status
	}
	if e.Action == "" {
		e.Action = r.action
	}
	if e.Reason == "" {
		e.Reason = "(description unavailable)"
	}
	return e, nil
}

// line reads one line, of which it keeps the first maxLine bytes.
func (r *Reader) line() (string, error) {
	var long []byte
	for {
		part, err := r.br.ReadSlice('\n')
		if err == nil && long == nil {
			return string(part[:len(part)-1]), nil
		}
		if len(long) < maxLine {
			long = append(long, part...)
		}
		switch err {
		case nil:
			return strings.TrimSuffix(string(long), "\n"), nil
		case bufio.ErrBufferFull:
		default:
			return "", err // a last line without end was never finished
		}
	}
}

// parse takes one line into an entry.
func (r *Reader) parse(e *Entry, text string) {
	if text[0] == '<' {
		addr, why, ok := strings.Cut(text[1:], ">: ")
		if !ok {
			r.warn(text)
			return
		}
		e.Recipient.Address, e.Reason = orDaemon(addr), strings.TrimSpace(why)
		return
	}
	name, value, ok := strings.Cut(text, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || name == "" {
		r.warn(text)
		return
	}
	for _, f := range e.fields() {
		if f.name == name {
			*f.value = value
			return
		}
	}
	r.parseRecipient(&e.Recipient, name, value, text)
}

func (r *Reader) parseRecipient(rcpt *envelope.Recipient, name, value, text string) {
	switch name {
	case "recipient":
		rcpt.Address = orDaemon(strings.TrimSuffix(value, "<>"))
	case "original_recipient":
		rcpt.Original = orDaemon(value)
	case "dsn_orig_rcpt":
		rcpt.DSNOrcpt = value
	case "notify_flags":
		if n, err := strconv.Atoi(value); err == nil && n > 0 && n <= 15 {
			rcpt.Notify = envelope.Notify(n)
		}
	case "offset":
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
			rcpt.Offset = n
		}
	default:
		r.warn(text)
	}
}

func orDaemon(addr string) string {
	if addr == "" {
		return "(MAILER-DAEMON)"
	}
	return addr
}

func (r *Reader) warn(text string) {
	if len(r.Warnings) < 20 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("malformed record: %.30s...", text))
	}
}
