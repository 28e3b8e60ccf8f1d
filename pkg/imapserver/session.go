// Package imapserver is an IMAP session from the moment at which the client
// has logged in: IMAP4rev1 and IMAP4rev2 (RFC 3501, RFC 9051) with their
// extensions, on a mailstore. What comes before, with passwords and TLS, is
// imapd's.
//
// A session reads a command, does it, and answers; what a client sends
// meanwhile waits. Responses are collected and leave together at the end of a
// command. What others do to the selected mailbox is told between commands,
// and at once in IDLE and NOTIFY.
//
// dispatch.go is the table of commands; each has a function that reads its
// arguments to their end before it does anything.
package imapserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/nowait"
	"github.com/posthouse-mail/posthouse/pkg/pace"
	"github.com/posthouse-mail/posthouse/pkg/session"
)

// Options are the settings of a session.
type Options struct {
	// Log writes a line; level is info, warn, error or debug.
	Log          func(level, format string, args ...any)
	Capability   []string      // imap_capability
	Timeout      time.Duration // imap_timeout
	IdleNotify   time.Duration // imap_idle_notify_interval
	MaxLine      int           // imap_max_line_length
	MessageLimit int64         // imap_append_limit; 0: none
	SearchTime   time.Duration // imap_search_time_limit; 0: none
	Name         string        // of the software, for ID
	Deflaters    *Deflaters    // nil for some of its own
	FullText     bool          // fts_index
	MaxText      int64         // fts_message_max_size
	Indexer      *Indexer      // keeps the full-text indexes; nil: nobody does
	// Pace is asked for all processors by commands that have use for them.
	Pace *pace.Governor
	// Background is for what goes on when the session is over; nil: it has no
	// end.
	Background context.Context
	// Parting writes the last line of a session, which is nothing to hurry
	// with; nil for Log.
	Parting func(format string, args ...any)
}

// Limits.
const (
	writeLimit   = 5 * time.Minute // for a client to take what is sent
	maxErrors    = 20              // bad commands one after another
	defaultQuiet = 30 * time.Minute
)

// OptionsFrom makes options of the settings that came with a session.
func OptionsFrom(set map[string]string) Options {
	seconds := func(name string) time.Duration {
		n, _ := strconv.Atoi(set[name])
		return time.Duration(n) * time.Second
	}
	o := Options{Capability: strings.Fields(set["imap_capability"]), Timeout: seconds("imap_timeout"),
		IdleNotify: seconds("imap_idle_notify_interval"), SearchTime: seconds("imap_search_time_limit"), Name: set["mail_name"]}
	o.MaxLine, _ = strconv.Atoi(set["imap_max_line_length"])
	o.MessageLimit, _ = strconv.ParseInt(set["imap_append_limit"], 10, 64)
	o.FullText = set["fts_index"] == "1"
	o.MaxText, _ = strconv.ParseInt(set["fts_message_max_size"], 10, 64)
	return o
}

// conn is one session.
type conn struct {
	ctx   context.Context
	net   net.Conn
	fast  net.Conn // the same, for reads and writes
	start *session.Start
	store *mailstore.Store
	o     Options
	dec   *imapwire.Decoder
	enc   *imapwire.Encoder
	caps  []string
	began time.Time
	in    *counter

	tag   string
	name  string    // of the command
	since time.Time // the command is being done
	bads  int       // one after another
	over  bool

	// ENABLE and what counts as it.
	condstore, qresync, utf8, rev2, uidOnly bool
	compressed                              bool
	mb                                      *selected
	saved                                   []uint32 // UIDs of the last SEARCH with SAVE
	notify                                  *notification
	contexts                                []*searchContext
	appended                                struct{ n, deleted, expunged int }
	lastTree                                *partTree
}

// selected is the mailbox that is selected.
type selected struct {
	*mailstore.Mailbox
	keywords int // that the client was told of
}

// Serve runs a session to its end.
func Serve(ctx context.Context, nc net.Conn, start *session.Start, store *mailstore.Store, o Options) error {
	if o.Timeout <= 0 {
		o.Timeout = defaultQuiet
	}
	if o.Log == nil {
		o.Log = func(string, string, ...any) {}
	}
	if o.Parting == nil {
		o.Parting = func(format string, args ...any) { o.Log("info", format, args...) }
	}
	if o.Deflaters == nil {
		o.Deflaters = new(Deflaters)
	}
	if o.Name == "" {
		o.Name = "Posthouse"
	}
	c := &conn{ctx: ctx, net: nc, start: start, store: store, o: o, began: time.Now()}
	c.fast = nowait.Wrap(nc)
	c.in = &counter{ctx: ctx, conn: c.fast, limit: o.Timeout}
	c.dec = imapwire.NewDecoder(c.in, start.Pending)
	c.dec.MaxLine = o.MaxLine
	c.dec.Continue = c.askLiteral
	c.enc = imapwire.NewEncoder(deadlineWriter{c.fast})
	c.setCapabilities()
	defer c.closeMailbox()
	defer func() { c.notify.close() }()
	stop := context.AfterFunc(ctx, func() { nc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	c.tag = start.Tag
	c.enc.Line("%s OK [CAPABILITY %s] Logged in", c.tag, strings.Join(c.caps, " "))
	err := c.enc.Flush()
	for err == nil && !c.over {
		err = c.command()
	}
	c.leave(err)
	return nil
}

// counter counts what the client sends, and limits how long it may be silent.
type counter struct {
	ctx   context.Context
	conn  net.Conn
	limit time.Duration
	n     int64

	ahead    bool // first was read by wait
	first    [1]byte
	rest     []byte    // read from the connection before compression began
	inflated io.Reader // reads by way of raw
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	if c.ahead && len(p) > 0 {
		c.ahead = false
		p[0] = c.first[0]
		return 1, nil
	}
	c.conn.SetReadDeadline(time.Now().Add(c.limit))
	if c.ctx.Err() != nil {
		c.conn.SetReadDeadline(time.Unix(1, 0))
	}
	n, err := c.src().Read(p)
	c.n += int64(n)
	return n, err
}

// src is where bytes come from.
func (c *counter) src() io.Reader {
	if c.inflated != nil {
		return c.inflated
	}
	return c.conn
}

// raw reads the connection below compression, rest first.
func (c *counter) raw(rest []byte) io.Reader {
	c.rest = rest
	return rawReader{c}
}

// inflate makes compressed bytes what is read.
func (c *counter) inflate(r io.Reader) { c.inflated = r }

type rawReader struct{ c *counter }

func (r rawReader) Read(p []byte) (int, error) {
	if len(r.c.rest) > 0 {
		n := copy(p, r.c.rest)
		if r.c.rest = r.c.rest[n:]; len(r.c.rest) == 0 {
			r.c.rest = nil
		}
		return n, nil
	}
	return r.c.conn.Read(p)
}

// deadlineWriter gives the client a limited time for each write.
type deadlineWriter struct{ net.Conn }

func (w deadlineWriter) Write(p []byte) (int, error) {
	w.SetWriteDeadline(time.Now().Add(writeLimit))
	return w.Conn.Write(p)
}

// askLiteral has the client send a literal.
func (c *conn) askLiteral() error {
	c.enc.Line("+ OK")
	return c.enc.Flush()
}

// command reads, does and answers one command.
func (c *conn) command() error {
	c.tag, c.name = "", ""
	if err := c.waitCommand(); err != nil {
		return err
	}
	tag := c.dec.Tag()
	if c.dec.Err() == nil {
		c.tag = tag
		c.dec.SP()
	}
	c.name = c.dec.Word()
	err := c.dec.Err()
	if err == nil {
		err = c.dispatch()
	}
	if derr := c.dec.Err(); derr != nil {
		err = derr
	}
	if err := c.answer(err); err != nil {
		return err
	}
	if c.over {
		return c.enc.Flush()
	}
	if err := c.dec.Finish(); err != nil {
		return err
	}
	if len(c.dec.Buffered()) > 0 && c.enc.Err() == nil {
		// More commands are here already: their answers leave together,
		// unless there is much.
		return c.enc.FlushIfFull()
	}
	return c.enc.Flush()
}

// waitCommand waits for a command. With NOTIFY the client is told of changes
// meanwhile.
func (c *conn) waitCommand() error {
	if len(c.dec.Buffered()) == 0 {
		if err := c.enc.Flush(); err != nil {
			return err
		}
		c.enc.Release()
	}
	if c.notify != nil && len(c.dec.Buffered()) == 0 {
		if err := c.waitNotify(); err != nil {
			return err
		}
	}
	err := c.dec.Next()
	c.o.Pace.Touch()
	return err
}

// answer ends a command that has failed; nil is for those that answered
// themselves.
func (c *conn) answer(err error) error {
	var syntax *imapwire.SyntaxError
	var no *refusal
	switch {
	case err == nil:
		c.bads = 0
		return nil
	case errors.As(err, &syntax):
		c.bad(syntax.Text)
		if c.bads++; c.bads >= maxErrors {
			c.enc.Line("* BYE Too many invalid IMAP commands.")
			c.over = true
		}
		return nil
	case errors.As(err, &no):
		c.no(no.code, no.text)
		return nil
	case errors.Is(err, imapwire.ErrTooBig):
		c.no("TOOBIG", "Literal is too big.")
		return nil
	case isStoreError(err):
		r := c.fromStore(err)
		c.no(r.code, r.text)
		return nil
	}
	return err
}

// bad answers a command that cannot be understood.
func (c *conn) bad(text string) {
	tag := c.tag
	if tag == "" {
		tag = "*"
	}
	c.enc.Line("%s BAD %s", tag, text)
}

// no refuses a command.
func (c *conn) no(code, text string) {
	if code != "" {
		text = "[" + code + "] " + text
	}
	c.enc.Line("%s NO %s", c.tag, text)
}

// ok ends a command that was done. Before the tagged line the client is told
// what changed in the selected mailbox.
func (c *conn) ok(format string, args ...any) error {
	if err := c.sync(c.keepsNumbers()); err != nil {
		return err
	}
	c.okNow(format, args...)
	return nil
}

// okNow is ok without a look at the mailbox.
func (c *conn) okNow(format string, args ...any) {
	c.enc.Raw(c.tag).Raw(" OK ")
	c.enc.Line(format, args...)
}

// keepsNumbers reports whether the present command forbids EXPUNGE responses
// (RFC 9051 7.5.1).
func (c *conn) keepsNumbers() bool {
	switch c.name {
	case "FETCH", "STORE", "SEARCH", "SORT", "THREAD":
		return true
	}
	return false
}

// leave says goodbye and logs the end.
func (c *conn) leave(err error) {
	why := "Logged out"
	var timeout net.Error
	switch {
	case c.ctx.Err() != nil:
		why = "Server shutting down"
		c.enc.Line("* BYE Server shutting down.")
	case err == nil:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		why = "Connection closed"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		why = fmt.Sprintf("Disconnected for inactivity in %s", c.where())
		c.enc.Line("* BYE Disconnected for inactivity.")
	case errors.Is(err, imapwire.ErrTooLong), errors.Is(err, imapwire.ErrTooBig):
		why = "Disconnected: input is too long"
		c.enc.Line("* BYE Input is too long.")
	case errors.Is(err, errReturned):
		why = "Unauthenticated"
	case errors.Is(err, mailstore.ErrReplaced):
		why = "Selected mailbox was deleted"
		c.enc.Line("* BYE Selected mailbox was deleted, have to disconnect.")
	default:
		why = "Disconnected: " + err.Error()
	}
	if c.enc.Err() == nil && !errors.Is(err, errReturned) {
		c.net.SetWriteDeadline(time.Now().Add(2 * time.Second))
		c.enc.Flush()
	}
	c.o.Parting("%s in=%d out=%d deleted=%d expunged=%d appended=%d", why, c.in.n, c.enc.Written(),
		c.appended.deleted, c.appended.expunged, c.appended.n)
}

func (c *conn) where() string {
	if c.name != "" {
		return c.name
	}
	return "waiting for a command"
}

// hugeMailbox is one whose commands may have taken much memory, which the
// runtime would give back in minutes only.
const hugeMailbox = 100000

// closeMailbox deselects.
func (c *conn) closeMailbox() {
	if c.mb == nil {
		return
	}
	huge := c.mb.Len() >= hugeMailbox
	c.mb.Close()
	c.mb, c.saved, c.contexts, c.lastTree = nil, nil, nil, nil
	if huge {
		debug.FreeOSMemory()
	}
}
