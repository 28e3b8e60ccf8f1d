package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/flushclient"
	"github.com/posthouse-mail/posthouse/pkg/getopt"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queuetool"
)

// Exit codes. Postfix's postqueue has one for all mistakes.
const (
	exUnavailable = 69
	exUsage       = exUnavailable
	exNoPerm      = exUnavailable
	exSoftware    = exUnavailable
)

const usage = "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site"

// dialTimeout bounds the connection to a service.
const dialTimeout = 30 * time.Second

// failure is an error with an exit code.
type failure struct {
	code int
	text string
}

func (f *failure) Error() string { return f.text }

func fail(code int, format string, args ...any) error {
	return &failure{code: code, text: fmt.Sprintf(format, args...)}
}

// options are the command line.
type options struct {
	flush, list, json bool
	one               bool // -i
	id, site, config  string
	verbose           bool
}

func parse(args []string, complain func(text string)) (options, error) {
	var o options
	modes := 0
	rest, err := getopt.Each(args, "c:fi:jps:v", func(c byte, value string) error {
		switch c {
		case 'c':
			o.config = value
			return nil
		case 'v':
			o.verbose = os.Getuid() == 0
			return nil
		case 'f':
			o.flush = true
		case 'i':
			o.one, o.id = true, value
		case 'j':
			o.json = true
		case 'p':
			o.list = true
		case 's':
			o.site = value
		}
		modes++
		return nil
	})
	if err != nil {
		complain(err.Error())
	}
	if err != nil || modes != 1 || len(rest) > 0 {
		return o, fail(exUsage, usage)
	}
	return o, nil
}

func run(args []string, stdout io.Writer) int {
	if err := queuetool.OpenStandardFiles(); err != nil {
		return exUnavailable
	}
	syscall.Umask(0o022)
	// A reader that goes away early is noticed by EPIPE.
	signal.Ignore(syscall.SIGPIPE)
	err := execute(args, stdout)
	if err == nil {
		return 0
	}
	code := exUnavailable
	var f *failure
	if errors.As(err, &f) {
		code = f.code
	}
	fmt.Fprintln(os.Stderr, queuetool.Line("postqueue", "fatal: "+err.Error()))
	return code
}

// acl are the lists of those who may ask.
type acl struct {
	Mailq []string `param:"authorized_mailq_users"`
	Flush []string `param:"authorized_flush_users"`
}

func execute(args []string, stdout io.Writer) error {
	o, err := parse(args, func(text string) { fmt.Fprintln(os.Stderr, "postqueue: "+text) })
	if err != nil {
		return err
	}
	t, err := queuetool.Open("postqueue", o.config, o.verbose)
	if err != nil {
		return err
	}
	defer t.Close()
	var lists acl
	if err := t.Config.Fill(&lists); err != nil {
		return err
	}
	parameter, list, what := "authorized_flush_users", lists.Flush, "flush"
	if o.list || o.json {
		parameter, list, what = "authorized_mailq_users", lists.Mailq, "view"
	}
	if err := o.valid(); err != nil {
		return err
	}
	if err := permit(t, parameter, list, what); err != nil {
		return err
	}
	if err := os.Chdir(t.QueueDir); err != nil {
		return fail(exUnavailable, "chdir %s: %s", t.QueueDir, queuetool.ErrnoText(err))
	}
	switch {
	case o.list || o.json:
		return show(t, stdout, o.json)
	case o.flush:
		return flushAll(t)
	case o.one:
		return flushID(t, o.id)
	default:
		return flushSite(t, o.site)
	}
}

// valid refuses what is no id and no site.
func (o options) valid() error {
	switch {
	case o.one && !queue.ValidID(o.id):
		return fail(exUsage, "Cannot flush queue ID - invalid name: \"%.100s%s\"", o.id, dots(o.id))
	case !o.list && !o.json && !o.flush && !o.one && !flushclient.ValidSite(o.site):
		return fail(exUsage, "Cannot flush mail queue - invalid destination: \"%.100s%s\"", o.site, dots(o.site))
	}
	return nil
}

// permit refuses a user who is not on the list. The superuser and the mail
// owner may always.
func permit(t *queuetool.Tool, parameter string, list []string, what string) error {
	uid := os.Getuid()
	if uid == 0 || uid == t.OwnerUID {
		return nil
	}
	name, ok, err := queuetool.Allowed(parameter, list, t.Config.Dir(), uid)
	if err != nil {
		return fail(exUnavailable, "%v", err)
	}
	if !ok {
		return fail(exNoPerm, "User %s(%d) is not allowed to %s the mail queue", name, uid, what)
	}
	return nil
}
