// Package maillog writes the mail log: Postfix's lines, from daemons that sit
// in a jail, without ever holding up the mail.
//
// A line has the shape that log readers know,
//
//	Nov 20 18:25:22 mail postfix/smtpd[812]: 51DF69903E9: client=localhost[127.0.0.1]
//
// and goes to postlogd(8) when the parameter maillog_file is set, else to
// syslog. Both are connected by [Open], before the jail, since neither
// /dev/log nor the time zone can be reached afterwards. A line that cannot be
// sent at once waits in a queue of bounded size; what does not fit is counted,
// and the count is logged when lines pass again.
//
// The tag is "postfix" by default and not our own name, because fail2ban's
// filters, pflogsumm and most exporters look for nothing else; the parameter
// syslog_name changes it.
package maillog

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/printable"
)

// Severity is the weight of a line, with the numbers of syslog.
type Severity int

// The severities that are in use.
const (
	SevFatal   Severity = 2
	SevError   Severity = 3
	SevWarning Severity = 4
	SevInfo    Severity = 6
	SevDebug   Severity = 7
)

// Entry is one line on its way to a destination.
type Entry struct {
	Time     time.Time
	Severity Severity
	Tag      string // "postfix/smtpd"
	PID      int
	Text     string // safe to show, without newline
}

// destination is where lines go. send must not block for long, and is called
// by one goroutine at a time.
type destination interface {
	send(e Entry) error
	close() error
}

// Logger writes lines for one process. It is safe for concurrent use, and a
// nil Logger discards what it is given.
type Logger struct {
	tag   string
	pid   int
	debug bool
	now   func() time.Time

	mu   sync.Mutex
	dest []destination
}

// Discard returns a Logger that drops everything.
func Discard() *Logger { return nil }

// NewWriter returns a Logger for tests, with lines "program: text". Debug
// lines are included.
func NewWriter(w io.Writer, program string) *Logger {
	return newLogger(program, true, &plainWriter{w: w})
}

func newLogger(tag string, debug bool, dest ...destination) *Logger {
	return &Logger{tag: tag, pid: os.Getpid(), debug: debug, now: time.Now, dest: dest}
}

// Info logs an event: "QID: text", or "text" without a queue ID.
func (l *Logger) Info(queueID, format string, args ...any) {
	l.log(SevInfo, queueID, "", format, args)
}

// Warn logs "warning: QID: text": something that the postmaster should see.
func (l *Logger) Warn(queueID, format string, args ...any) {
	l.log(SevWarning, queueID, "warning: ", format, args)
}

// Error logs "error: QID: text": this process cannot do what it was asked.
func (l *Logger) Error(queueID, format string, args ...any) {
	l.log(SevError, queueID, "error: ", format, args)
}

// Fatal logs "fatal: QID: text", after which the caller ends the process. It
// does not end it by itself.
func (l *Logger) Fatal(queueID, format string, args ...any) {
	l.log(SevFatal, queueID, "fatal: ", format, args)
}

// Panic logs "panic: QID: text": a bug was hit. It does not panic.
func (l *Logger) Panic(queueID, format string, args ...any) {
	l.log(SevFatal, queueID, "panic: ", format, args)
}

// Debug logs text if the process runs with -v.
func (l *Logger) Debug(format string, args ...any) {
	if l == nil || !l.debug {
		return
	}
	l.log(SevDebug, "", "", format, args)
}

// Verbose reports whether Debug lines are logged, for callers to whom they are
// costly to make.
func (l *Logger) Verbose() bool { return l != nil && l.debug }

func (l *Logger) log(sev Severity, queueID, label, format string, args []any) {
	if l == nil {
		return
	}
	text := format
	if len(args) > 0 {
		text = fmt.Sprintf(format, args...)
	}
	text = strings.TrimRight(text, "\n")
	if queueID != "" {
		text = queueID + ": " + text
	}
	// Postfix has the label first, and pflogsumm collects what begins so.
	text = label + text
	e := Entry{Time: l.now(), Severity: sev, Tag: l.tag, PID: l.pid, Text: printable.Text(text)}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.dest {
		// There is nowhere to complain; a destination counts what it
		// lost and says so when it works again.
		d.send(e)
	}
}

// Close waits a short time until what is queued has left.
func (l *Logger) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	dest := l.dest
	l.dest = nil
	l.mu.Unlock()
	var first error
	for _, d := range dest {
		if err := d.close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// plainWriter is the destination of tests and of standard error.
type plainWriter struct {
	w io.Writer
	// onlyErrors drops what is less than an error.
	onlyErrors bool
}

func (p *plainWriter) send(e Entry) error {
	if p.onlyErrors && e.Severity > SevError {
		return nil
	}
	_, err := io.WriteString(p.w, e.Tag+": "+e.Text+"\n")
	return err
}

func (p *plainWriter) close() error { return nil }
