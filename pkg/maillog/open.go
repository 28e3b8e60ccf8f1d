package maillog

import (
	"os"
	"strings"
	"time"
)

// Options say where the lines of a process go.
type Options struct {
	Program string // "smtpd"
	// Name is the parameter syslog_name: "postfix", "postfix/submission".
	Name string
	// Facility is the parameter syslog_facility: "mail".
	Facility string
	// File is the parameter maillog_file. If it is set, lines go to
	// postlogd, which writes that file; else they go to syslog.
	File string
	// Postlog is the socket of postlogd, relative to the queue directory,
	// which must be the working directory whenever it is connected.
	Postlog string
	// Pipe is the pipe to postlogd, which is used before the socket. It must
	// be opened by whom it belongs to, before the jail. "" is none.
	Pipe string
	// WriteFile lets a privileged process append to File by itself while
	// postlogd cannot be reached.
	WriteFile bool
	// Held is File, open already, for a process that gives up its rights.
	// It is written to where WriteFile would.
	Held *os.File
	// Stderr adds standard error as a second destination.
	Stderr bool
	// StderrErrors adds standard error for errors only.
	StderrErrors bool
	// Verbose lets Debug lines through.
	Verbose bool
}

// PostlogSocket is where postlogd listens, relative to the queue directory.
const PostlogSocket = "public/postlog"

// syslogSocket is where syslogd or journald listens.
const syslogSocket = "/dev/log"

// Open returns a Logger for a process. It connects at once, and loads the
// time zone, so that a chroot afterwards does no harm. It cannot fail: a
// destination that is away is tried again later.
func Open(o Options) *Logger {
	_ = time.Now().Local().String()
	l := newLogger(Tag(o.Name, o.Program), o.Verbose)
	if o.File != "" {
		l.dest = append(l.dest, openPostlog(o))
	} else {
		l.dest = append(l.dest, openSyslog(o.Facility))
	}
	if o.Stderr || o.StderrErrors {
		l.dest = append(l.dest, &plainWriter{w: os.Stderr, onlyErrors: !o.Stderr})
	}
	return l
}

// Tag returns the program field of a line: the parameter syslog_name, a slash
// and the program.
func Tag(name, program string) string {
	if name == "" {
		return program
	}
	return name + "/" + program
}

func openPostlog(o Options) destination {
	path := o.Postlog
	if path == "" {
		path = PostlogSocket
	}
	host := shortHostname()
	q := newQueued(path, func(e Entry) []byte { return []byte(Line(e, host)) })
	switch {
	case o.Held != nil:
		q.fallback = func(e Entry) error {
			_, err := o.Held.WriteString(Line(e, host) + "\n")
			return err
		}
	case o.WriteFile:
		q.fallback = func(e Entry) error { return appendFile(o.File, Line(e, host)+"\n") }
	}
	if o.Pipe != "" {
		// Without it, the socket carries the lines.
		q.pipe, _ = dialPipe(o.Pipe)
	}
	q.connect()
	return q
}

func openSyslog(facility string) destination {
	code := facilityCode(facility)
	q := newQueued(syslogSocket, func(e Entry) []byte { return []byte(syslogLine(e, code)) })
	q.connect()
	return q
}

func shortHostname() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "localhost"
	}
	host, _, _ = strings.Cut(host, ".")
	return host
}
