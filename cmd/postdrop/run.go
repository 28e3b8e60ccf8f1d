package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/posthouse-mail/posthouse/pkg/getopt"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queuetool"
)

// Exit codes of sysexits.
const (
	exData        = 65
	exUnavailable = 69
	exTempFail    = 75
	exNoPerm      = 77
	exConfig      = 78
)

// Bits of the status that the caller gets, those of the cleanup service.
const (
	statBad   = 1
	statWrite = 2
	statSize  = 4
)

// fileMode is the mode of a complete file: the mail owner, who is neither its
// owner nor in its group, reads it. The directory keeps others out.
const fileMode = 0o744

// failure is an error with an exit code.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }

func fail(code int, format string, args ...any) error {
	return &failure{code: code, err: fmt.Errorf(format, args...)}
}

// params are what postdrop reads from main.cf.
type params struct {
	Submit    []string `param:"authorized_submit_users"`
	LineLimit int      `param:"line_length_limit"`
	SizeLimit int64    `param:"message_size_limit"`

	LoginSenders []string `param:"local_login_sender_maps"`
	NullSender   string   `param:"empty_address_local_login_sender_maps_lookup_key"`
	Delims       string   `param:"recipient_delimiter"`
}

// parse reads the command line.
func parse(args []string) (config string, verbose bool, err error) {
	_, err = getopt.Each(args, "c:rv", func(c byte, value string) error {
		switch c {
		case 'c':
			config = value
		case 'v':
			verbose = os.Getuid() == 0
		}
		return nil
	})
	return config, verbose, err
}

func run(args []string, stdin io.Reader, stdout io.Writer) int {
	if err := queuetool.OpenStandardFiles(); err != nil {
		return exTempFail
	}
	syscall.Umask(0o022)
	signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ)
	err := execute(args, stdin, stdout)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, queuetool.Line("postdrop", "fatal: "+err.Error()))
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return exTempFail
}

func execute(args []string, stdin io.Reader, stdout io.Writer) error {
	dir, verbose, err := parse(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "postdrop: "+err.Error())
		return fail(1, "usage: postdrop [-c config_dir] [-v]")
	}
	t, err := queuetool.Open("postdrop", dir, verbose)
	if err != nil {
		return fail(exConfig, "%w", err)
	}
	defer t.Close()
	var p params
	if err := t.Config.Fill(&p); err != nil {
		return fail(exConfig, "%w", err)
	}
	uid := os.Getuid()
	name, ok, err := queuetool.Allowed("authorized_submit_users", p.Submit, t.Config.Dir(), uid)
	if err != nil {
		return fail(exTempFail, "%w", err)
	}
	if !ok {
		t.Log.Fatal("", "User %s(%d) is not allowed to submit mail", name, uid)
		return fail(exNoPerm, "User %s(%d) is not allowed to submit mail", name, uid)
	}
	rules, err := readSenderRules(p, t.Config.Dir(), uid)
	if err != nil {
		return fail(exTempFail, "local_login_sender_maps: %w", err)
	}
	if err := os.Chdir(t.QueueDir); err != nil {
		return fail(exConfig, "chdir %s: %s", t.QueueDir, queuetool.ErrnoText(err))
	}
	return drop(t, p, rules, uid, stdin, bufio.NewWriter(stdout))
}

// drop makes the file and answers the caller.
func drop(t *queuetool.Tool, p params, rules *senderRules, uid int, stdin io.Reader, out *bufio.Writer) error {
	ctx := context.Background()
	guard := newGuard()
	defer guard.stop()
	w, err := t.Queue(".").CreateIn(ctx, queue.Maildrop, queue.ModeNew)
	if err != nil {
		return fail(exTempFail, "create maildrop file: %s", queuetool.ErrnoText(err))
	}
	guard.protect(w.Path())
	defer w.Abort()
	reply(out, "protocol", "postdrop_protocol", "queue_id", string(w.ID()))

	c := copier{w: w, uid: uid, limit: p.SizeLimit, warn: t.Warn, rules: rules}
	if err := c.copy(stdin, p.LineLimit); err != nil {
		if errors.Is(err, io.EOF) && !c.begun {
			return nil // cancelled
		}
		t.Log.Fatal("", "uid=%d: %v", uid, err)
		return fail(exData, "uid=%d: %w", uid, err)
	}
	switch {
	case c.denied != "":
		w.Abort()
		t.Log.Fatal("", "uid=%d: %s", uid, c.denied)
		reply(out, "status", fmt.Sprint(statBad), "reason", c.denied)
		return fail(exNoPerm, "uid=%d: %s", uid, c.denied)
	case c.problem != "" || c.senders == 0 || c.rcpts == 0:
		w.Abort()
		reply(out, "status", fmt.Sprint(statBad), "reason", c.problem)
		return fail(exData, "uid=%d: %s", uid, orElse(c.problem, "no sender or recipient"))
	case c.failed != nil:
		err = c.failed
	case !guard.release():
		select {} // the signal ends the process
	default:
		err = w.CommitMode(ctx, fileMode)
	}
	if err != nil {
		w.Abort()
		t.Warn("uid=%d: %s", uid, queuetool.ErrnoText(err))
		if errors.Is(err, syscall.EFBIG) {
			// It will be too big the next time, too.
			reply(out, "status", fmt.Sprint(statSize), "reason", "message file too big")
			return fail(exUnavailable, "uid=%d: message file too big", uid)
		}
		reply(out, "status", fmt.Sprint(statWrite), "reason", queuetool.ErrnoText(err))
		return fail(exTempFail, "uid=%d: %s", uid, queuetool.ErrnoText(err))
	}
	// A lost trigger only delays: pickup looks by itself, too.
	_ = t.Trigger(t.PickupService, "W")
	reply(out, "status", "0", "reason", "")
	return nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// reply sends an attribute list. A caller that is gone learns nothing.
func reply(out *bufio.Writer, words ...string) {
	_, _ = out.WriteString(strings.Join(words, "\x00") + "\x00\x00")
	_ = out.Flush()
}

// guard removes the unfinished file when a signal ends the process.
type guard struct {
	mu      sync.Mutex
	path    string
	dying   bool
	signals chan os.Signal
}

func newGuard() *guard {
	g := &guard{signals: make(chan os.Signal, 1)}
	signals := []os.Signal{syscall.SIGINT, syscall.SIGQUIT}
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signals = append(signals, s)
		}
	}
	signal.Notify(g.signals, signals...)
	go func() {
		if _, ok := <-g.signals; !ok {
			return
		}
		g.mu.Lock() // and keep it: nothing is committed any more
		g.dying = true
		if g.path != "" {
			_ = os.Remove(g.path)
		}
		os.Exit(exTempFail)
	}()
	return g
}

func (g *guard) protect(path string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.path = path
}

// release ends the protection, and reports whether it was in time.
func (g *guard) release() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.path = ""
	return !g.dying
}

func (g *guard) stop() { signal.Stop(g.signals) }
