package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/getopt"
)

// Exit codes of sysexits.h.
const (
	exOK = 0
	// Sendmail says 64 to a wrong command line. Postfix does not, and programs
	// have come to know it.
	exUsage       = 75
	exDataErr     = 65
	exNoUser      = 67
	exUnavailable = 69
	exSoftware    = 70
	exTempFail    = 75
	exNoPerm      = 77
)

// mode is what the command is to do.
type mode byte

const (
	modeMail    mode = 'm'
	modeQueue   mode = 'p'
	modeAliases mode = 'i'
	modeDaemon  mode = 'd'
	modeSMTP    mode = 's'
	modeFlush   mode = 'q'
	modeNothing mode = 'h'

	modeFlushSite mode = 'R'
	modeFlushID   mode = 'I'
)

// options are the command line.
type options struct {
	mode        mode
	configDir   string
	aliasFile   string // -oA
	flushSite   string
	flushID     string
	sender      *string // nil: the caller
	fullName    string
	haveName    bool
	encoding    string
	notify      int
	requireTLS  bool // -O requiretls=yes
	ret         int
	envid       string
	verp        *string // delimiters, "" for the default
	gateway     bool
	fromHeader  bool // -t
	dotIsData   bool // -i
	probe       bool // -bv
	verbose     int  // -v
	recipients  []string
	messages    []string // for standard error
	programName string
}

// exit is an error with the status to exit with.
type exit struct {
	code int
	text string
}

func (e *exit) Error() string { return e.text }

func fail(code int, format string, args ...any) error {
	return &exit{code, fmt.Sprintf(format, args...)}
}

// letters are the options, of which those before a colon take a value.
const letters = "A:B:C:F:L:N:O:R:V:X:b:e:f:h:o:p:q:r:GIUcimntvx"

// eachOption hands the options to take, in their order, and returns what
// follows them. "-q" and "-V" are older than getopt: the former may stand
// alone, the latter once meant what -XV means now.
func (o *options) eachOption(argv []string, take func(c byte, value string) error) ([]string, error) {
	for len(argv) > 0 {
		word := argv[0]
		if word == "--" {
			return argv[1:], nil
		}
		if len(word) < 2 || word[0] != '-' {
			break
		}
		argv = argv[1:]
		switch {
		case word == "-q":
			word = "-q="
		case word == "-V" && len(argv) > 0 && len(argv[0]) == 2:
			o.warn("option -V is deprecated with Postfix 2.3; specify -XV instead")
			word = "-XV"
		case len(word) == 4 && word[1] == 'V':
			o.warn("option " + word + " is deprecated with Postfix 2.3; specify -X" + word[1:] + " instead")
			word = "-X" + word[1:]
		}
		var err error
		if argv, err = getopt.Word(word[1:], argv, letters, take); err != nil {
			return nil, err
		}
	}
	return argv, nil
}

// parseOptions reads the command line, the program's name included. What was to
// be said on the way is in the options, also after an error.
func parseOptions(argv []string) (*options, error) {
	o := &options{mode: modeMail, programName: filepath.Base(argv[0])}
	switch o.programName {
	case "mailq":
		o.mode = modeQueue
	case "newaliases":
		o.mode = modeAliases
	}
	rest, err := o.eachOption(argv[1:], o.take)
	if e, ok := errors.AsType[*getopt.Error](err); ok {
		o.complain(e.Error())
		err = fail(exUsage, "usage: sendmail [options]")
	}
	if err != nil {
		return o, err
	}
	o.recipients = rest
	return o, o.check()
}

// take obeys one option. Later ones win.
func (o *options) take(c byte, value string) error {
	switch c {
	case 'b':
		return o.takeMode(value)
	case 'q':
		return o.takeQueueRun(value)
	case 'B', 'N', 'R', 'V':
		return o.takeDSN(c, value)
	case 'C':
		o.configDir = value
		if filepath.Base(value) == "main.cf" {
			o.configDir = filepath.Dir(value)
		}
	case 'F':
		o.fullName, o.haveName = value, true
	case 'G':
		o.gateway = true
	case 'I':
		o.mode = modeAliases
	case 'O':
		return o.takeOption(value)
	case 'X':
		return o.takeVERP(value)
	case 'f', 'r':
		o.sender = &value
	case 'i':
		o.dotIsData = true
	case 'n':
		return fail(exUsage, "-n option not supported")
	case 'o':
		return o.takeOld(value)
	case 't':
		o.fromHeader = true
	case 'v':
		o.verbose++
	}
	return nil
}

func (o *options) takeMode(value string) error {
	switch value[:min(1, len(value))] {
	case "m":
		o.mode = modeMail
	case "p":
		o.mode = modeQueue
	case "i":
		o.mode = modeAliases
	case "d", "l":
		o.mode = modeDaemon
	case "s":
		o.mode = modeSMTP
	case "v":
		o.mode, o.probe = modeMail, true
	case "h", "H": // the status of hosts, which nobody keeps here
		o.mode = modeNothing
	default:
		return fail(exUsage, "unsupported: -b%.1s", value)
	}
	return nil
}

func (o *options) takeQueueRun(q string) error {
	switch {
	case q[:min(1, len(q))] >= "0" && q[:min(1, len(q))] <= "9":
		// A daemon's interval, which is queue_run_delay here. Without a
		// daemon, there is nothing to do.
		if o.mode != modeDaemon {
			o.mode = modeNothing
		}
	case q == "" || q == "=":
		o.mode = modeFlush
	case q == "R":
		return fail(exUsage, "specify: -qRsitename")
	case q == "I":
		return fail(exUsage, "specify: -qIqueueid")
	case q[0] == 'R':
		o.flushSite = q[1:]
	case q[0] == 'I':
		o.flushID = q[1:]
	default:
		return fail(exUsage, "-q%c is not implemented", q[0])
	}
	return nil
}

func (o *options) takeDSN(c byte, value string) error {
	ok := true
	switch c {
	case 'B':
		switch strings.ToUpper(value) {
		case "8BITMIME":
			o.encoding = "8bit"
		case "7BIT":
			o.encoding = "7bit"
		default:
			return fail(exUsage, "-B option needs 8BITMIME or 7BIT")
		}
	case 'N':
		var unknown string
		if o.notify, unknown, ok = parseNotify(value); unknown != "" {
			o.warn(fmt.Sprintf("unknown DSN NOTIFY command value \"%s\" in \"%s\"", unknown, value))
		}
	case 'R':
		o.ret, ok = map[string]int{"full": 1, "hdrs": 2}[strings.ToLower(value)]
	case 'V':
		// RFC 3461 5.4 ends it at 100 characters.
		if len(value) > 100 {
			o.warn("too long -V option value -- ignored")
			return nil
		}
		// One with a control character is refused, see check.
		if value == "" || !hasControl(value) && strings.ContainsFunc(value, func(r rune) bool { return r > '~' }) {
			o.warn("bad syntax in -V option value -- ignored")
			return nil
		}
		o.envid = value
	}
	if !ok {
		o.warn("bad -" + string(rune(c)) + " option value -- ignored")
	}
	return nil
}

// parseNotify reads a list such as success,failure. It returns the first word
// that it does not know.
func parseNotify(s string) (bits int, unknown string, ok bool) {
	known := map[string]int{"never": 1, "success": 2, "failure": 4, "delay": 8}
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		b, ok := known[strings.ToLower(w)]
		if !ok {
			return 0, w, false
		}
		bits |= b
	}
	// RFC 3461 4.1: NEVER stands alone.
	if bits == 0 || bits&1 != 0 && bits != 1 {
		return 0, "", false
	}
	return bits, "", true
}

// takeOption reads -O name=value.
func (o *options) takeOption(text string) error {
	switch name, value, given := strings.Cut(strings.ToLower(text), "="); {
	case name != "requiretls":
	case !given || value == "yes":
		o.requireTLS = true
	case value == "no":
		o.requireTLS = false
	default:
		return fail(exUsage, "-O requiretls wants yes or no")
	}
	return nil
}

func (o *options) takeVERP(value string) error {
	delims, ok := strings.CutPrefix(value, "V")
	if !ok {
		return fail(exUsage, "unsupported: -X%.1s", value)
	}
	o.verp = &delims
	return nil
}

// takeOld obeys what Sendmail calls the old form of its options.
func (o *options) takeOld(value string) error {
	switch {
	case value == "A":
		return fail(exUsage, "-oA requires pathname")
	case strings.HasPrefix(value, "A"):
		o.aliasFile = value[1:]
	case strings.HasPrefix(value, "i"):
		o.dotIsData = true
	}
	return nil
}

func (o *options) complain(text string) { o.messages = append(o.messages, text) }

func (o *options) warn(text string) { o.complain("warning: " + text) }

// report tells whether a report on the delivery is wanted. More than one -v ask
// for what programs say for their programmers, of which there is nothing here.
func (o *options) report() bool { return o.verbose == 1 }

// check refuses what does not go together, and what would become a line or a
// record of its own in a queue file.
func (o *options) check() error {
	for i, r := range o.recipients {
		o.recipients[i] = strings.ReplaceAll(r, "\t", " ")
	}
	o.fullName = strings.ReplaceAll(o.fullName, "\t", " ")
	all := append([]string{o.fullName, o.envid, o.flushSite, o.flushID, o.aliasFile, o.configDir}, o.recipients...)
	if o.sender != nil {
		all = append(all, *o.sender)
	}
	if slices.ContainsFunc(all, hasControl) {
		return fail(exDataErr, "control character in an option or an address")
	}
	if o.fromHeader && o.mode != modeMail {
		return fail(exUsage, "-t can be used only in delivery mode")
	}
	for _, f := range []struct {
		name string
		set  bool
	}{{"-qI", o.flushID != ""}, {"-qR", o.flushSite != ""}} {
		if f.set && o.mode != modeMail {
			return fail(exUsage, "%s can be used only in delivery mode", f.name)
		}
	}
	for _, f := range []struct {
		name string
		set  bool
	}{{"-t", o.fromHeader}, {"-N", o.notify != 0}, {"-R", o.ret != 0}, {"-v", o.report()}} {
		if o.probe && f.set {
			return fail(exUsage, "%s option cannot be used with -bv", f.name)
		}
	}
	if o.mode == modeMail {
		switch {
		case o.flushSite != "":
			o.mode = modeFlushSite
		case o.flushID != "":
			o.mode = modeFlushID
		}
	}
	what := map[mode]string{modeQueue: "display queue mode", modeFlush: "flush queue mode", modeDaemon: "daemon mode",
		modeAliases: "alias initialization mode", modeSMTP: "stand-alone mode",
		modeFlushSite: "flush site", modeFlushID: "flush queue_id"}[o.mode]
	if what != "" && len(o.recipients) > 0 {
		return fail(exUsage, "%s requires no recipient", what)
	}
	return nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
