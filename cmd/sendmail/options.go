package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Exit codes of sysexits.h.
const (
	exOK          = 0
	exUsage       = 64
	exDataErr     = 65
	exNoUser      = 67
	exUnavailable = 69
	exSoftware    = 70
	exTempFail    = 75
	exNoPerm      = 77
	exConfig      = 78
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
	ret         int
	envid       string
	verp        *string // delimiters, "" for the default
	gateway     bool
	fromHeader  bool // -t
	dotIsData   bool // -i
	probe       bool // -bv
	report      bool // -v
	recipients  []string
	warnings    []string
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

// rewriteArgs brings the command line into the form that pflag takes: its
// options have a value or none, while "-q" has either, and -o and -q of
// Sendmail stick to their values.
func rewriteArgs(argv []string) []string {
	var out []string
	for i, a := range argv {
		if a == "--" || a == "-" || !strings.HasPrefix(a, "-") {
			return append(out, argv[i:]...)
		}
		if strings.HasPrefix(a, "--") {
			// There are no long options; let it fail as an unknown one.
			a = "-" + a
		}
		if a == "-q" {
			a = "-q="
		}
		out = append(out, a)
		// An option whose value is the next word takes that word along.
		if needsValue(a) && i+1 < len(argv) {
			return append(append(out, argv[i+1]), rewriteArgs(argv[i+2:])...)
		}
	}
	return out
}

// withValue are the options that take a value.
const withValue = "ABCFLNORVXbefhoprq"

// needsValue reports whether the last option of a word waits for its value.
func needsValue(word string) bool {
	for i := 1; i < len(word); i++ {
		if strings.IndexByte(withValue, word[i]) >= 0 {
			return i == len(word)-1
		}
	}
	return false
}

// flags are the raw values of the options.
type flags struct {
	text  map[byte]*[]string
	count map[byte]*int
}

func parseFlags(argv []string) (*flags, []string, error) {
	set := pflag.NewFlagSet("sendmail", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.SetInterspersed(false)
	f := &flags{text: map[byte]*[]string{}, count: map[byte]*int{}}
	for _, c := range []byte(withValue) {
		f.text[c] = set.StringArrayP("option-"+string(c), string(c), nil, "")
	}
	for _, c := range []byte("GIUcimntvx") {
		f.count[c] = set.CountP("option-"+string(c), string(c), "")
	}
	if err := set.Parse(rewriteArgs(argv)); err != nil {
		return nil, nil, fail(exUsage, "%v", err)
	}
	return f, set.Args(), nil
}

// last returns the last value of an option.
func (f *flags) last(c byte) (string, bool) {
	list := *f.text[c]
	if len(list) == 0 {
		return "", false
	}
	return list[len(list)-1], true
}

// parseOptions reads the command line, the program's name included.
func parseOptions(argv []string) (*options, error) {
	o := &options{mode: modeMail, programName: filepath.Base(argv[0])}
	switch o.programName {
	case "mailq":
		o.mode = modeQueue
	case "newaliases":
		o.mode = modeAliases
	}
	f, rest, err := parseFlags(argv[1:])
	if err != nil {
		return nil, err
	}
	o.recipients = rest
	for _, step := range []func(*flags) error{o.takeMode, o.takeQueueRun, o.takeSender, o.takeDSN, o.takeMisc} {
		if err := step(f); err != nil {
			return nil, err
		}
	}
	return o, o.check()
}

func (o *options) takeMode(f *flags) error {
	for _, b := range *f.text['b'] {
		switch b {
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
		case "h", "H": // no host status here
		default:
			return fail(exUsage, "unsupported: -b%s", b)
		}
	}
	if *f.count['I'] > 0 {
		o.mode = modeAliases
	}
	return nil
}

func (o *options) takeQueueRun(f *flags) error {
	for _, q := range *f.text['q'] {
		switch {
		case o.mode == modeDaemon: // the daemon's interval is not ours
			o.warn("ignoring -q option in daemon mode")
		case q == "" || q == "=":
			o.mode = modeFlush
		case q[0] >= '0' && q[0] <= '9':
			o.mode = modeFlush
		case q[0] == 'R' && len(q) > 1:
			o.mode, o.flushSite = modeFlush, q[1:]
		case q[0] == 'I' && len(q) > 1:
			o.mode, o.flushID = modeFlush, q[1:]
		case q == "R":
			return fail(exUsage, "specify: -qRsitename")
		case q == "I":
			return fail(exUsage, "specify: -qIqueueid")
		default:
			return fail(exUsage, "-q%c is not implemented", q[0])
		}
	}
	return nil
}

func (o *options) takeSender(f *flags) error {
	for _, c := range []byte("rf") {
		if s, ok := f.last(c); ok {
			o.sender = &s
		}
	}
	o.fullName, o.haveName = f.last('F')
	return nil
}

func (o *options) takeDSN(f *flags) error {
	if b, ok := f.last('B'); ok {
		switch {
		case strings.EqualFold(b, "8BITMIME"):
			o.encoding = "8bit"
		case strings.EqualFold(b, "7BIT"):
			o.encoding = "7bit"
		default:
			return fail(exUsage, "-B option needs 8BITMIME or 7BIT")
		}
	}
	if n, ok := f.last('N'); ok {
		if o.notify, ok = parseNotify(n); !ok {
			o.notify = 0
			o.warn("bad -N option value -- ignored")
		}
	}
	if r, ok := f.last('R'); ok {
		switch strings.ToLower(r) {
		case "full":
			o.ret = 1
		case "hdrs":
			o.ret = 2
		default:
			o.warn("bad -R option value -- ignored")
		}
	}
	if v, ok := f.last('V'); ok {
		// RFC 3461 5.4 ends it at 100 characters.
		if len(v) > 100 {
			o.warn("too long -V option value -- ignored")
		} else {
			o.envid = v
		}
	}
	return nil
}

func parseNotify(s string) (int, bool) {
	bits := map[string]int{"never": 1, "success": 2, "failure": 4, "delay": 8}
	n := 0
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return r == ',' || r == ' ' }) {
		b, ok := bits[w]
		if !ok {
			return 0, false
		}
		n |= b
	}
	return n, n != 0 && (n&1 == 0 || n == 1)
}

func (o *options) takeMisc(f *flags) error {
	for _, x := range *f.text['X'] {
		if v, ok := strings.CutPrefix(x, "V"); ok {
			if len(v) != 0 && len(v) != 2 {
				return fail(exUsage, "-XV requires two delimiter characters")
			}
			o.verp = &v
		}
	}
	for _, v := range *f.text['o'] {
		switch {
		case v == "i":
			o.dotIsData = true
		case v == "A":
			return fail(exUsage, "-oA requires pathname")
		case strings.HasPrefix(v, "A"):
			o.aliasFile = v[1:]
		}
	}
	for _, v := range *f.text['O'] {
		if strings.HasPrefix(strings.ToLower(v), "requiretls") {
			// Who asks for it does not want the mail sent without.
			return fail(exUnavailable, "-O requiretls is not supported")
		}
	}
	if c, ok := f.last('C'); ok {
		o.configDir = c
		if strings.HasSuffix(c, ".cf") {
			o.configDir = filepath.Dir(c)
		}
	}
	o.dotIsData = o.dotIsData || *f.count['i'] > 0
	o.fromHeader = *f.count['t'] > 0
	o.gateway = *f.count['G'] > 0
	o.report = *f.count['v'] == 1
	return nil
}

func (o *options) warn(text string) { o.warnings = append(o.warnings, text) }

// check refuses what does not go together, and what would become a line or a
// record of its own in a queue file.
func (o *options) check() error {
	all := append([]string{o.fullName, o.envid, o.flushSite, o.flushID, o.aliasFile, o.configDir}, o.recipients...)
	if o.sender != nil {
		all = append(all, *o.sender)
	}
	if slices.ContainsFunc(all, hasControl) {
		return fail(exUsage, "control character in an option or an address")
	}
	if o.fromHeader && o.mode != modeMail {
		return fail(exUsage, "-t can be used only in delivery mode")
	}
	if o.probe && (o.fromHeader || o.notify != 0 || o.ret != 0 || o.report) {
		return fail(exUsage, "-t, -N, -R and -v cannot be used with -bv")
	}
	what := map[mode]string{modeQueue: "display queue", modeFlush: "flush queue", modeDaemon: "daemon",
		modeAliases: "alias initialization", modeSMTP: "stand-alone"}[o.mode]
	if what != "" && len(o.recipients) > 0 {
		return fail(exUsage, "%s mode requires no recipient", what)
	}
	return nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
