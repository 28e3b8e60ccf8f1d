// Package bouncetext has the wordings of delivery notices: the built-in ones and
// those of a site's bounce_template_file, in the form of bounce(5).
package bouncetext

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// Template is the wording of one kind of notice.
type Template struct {
	From, Subject string
	OwnFrom       bool   // From is the site's own, to be used as it is
	CopySubject   string // of the postmaster's copy
	Charset       string // of Text

	Text    []string // for the sender
	Builtin []string // the text where the site has none of its own

	Content string // Content-Description of the original
	Retry   bool   // says until when it will be tried
}

// Set are the wordings in force.
type Set struct{ Failure, Delay, Success, Verify Template }

// Named is a template with its name in a file.
type Named struct {
	Name string
	*Template
}

// All returns the templates in the order in which they are shown.
func (s *Set) All() []Named {
	return []Named{{"failure", &s.Failure}, {"delay", &s.Delay}, {"success", &s.Success}, {"verify", &s.Verify}}
}

func (s *Set) find(name string) *Template {
	for _, t := range s.All() {
		if name == t.Name+"_template" {
			return t.Template
		}
	}
	return nil
}

// maxFile limits the file of templates.
const maxFile = 1 << 20

// Load reads a file of templates; without one, the texts are the built-in ones.
// Their $name are replaced by what cfg says, unless it is nil. A file that
// cannot be opened is an error beside the built-in texts; a template with a mistake is reported, and the
// built-in one used instead: a notice in other words is better than none.
func Load(cfg *config.Config, path string, warn func(format string, args ...any)) (Set, error) {
	expand := func(text string) (string, error) { return text, nil }
	if cfg != nil {
		expand = knownNames(cfg.With(config.WithOverrides(lifetimes(cfg))))
	}
	set := Builtin()
	for _, t := range set.All() {
		text, err := expand(strings.Join(t.Builtin, "\n"))
		if err != nil {
			return set, err
		}
		t.Builtin = strings.Split(text, "\n")
		t.Text = t.Builtin
	}
	if path == "" {
		return set, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return set, fmt.Errorf("bounce_template_file: %w", err)
	}
	defer f.Close()
	builtin := set
	err = read(io.LimitReader(f, maxFile), warn, func(name string, line int, text []string) {
		dst := set.find(name)
		if dst == nil {
			warn("%s, line %d: unknown template name: %s -- ignoring this template", path, line, name)
			return
		}
		changed, err := dst.apply(text, expand)
		if err != nil {
			warn("%s, line %d: %s: %v -- using the built-in text", path, line, name, err)
			return
		}
		warnZero(cfg, path, strings.TrimSuffix(name, "_template"), text, warn)
		*dst = changed
	})
	if err != nil {
		warn("%s: %v -- using built-in texts", path, err)
		return builtin, nil
	}
	return set, nil
}

// knownNames expands a text in which a name that nobody knows is a mistake. It
// may stand in a condition.
func knownNames(cfg *config.Config) func(text string) (string, error) {
	return func(text string) (string, error) {
		unknown := ""
		out, err := config.ExpandMacros(text, func(name string) (string, bool) {
			value, ok := cfg.Raw(name)
			conditional := strings.Contains(text, name+"?") || strings.Contains(text, name+":")
			if !ok && !conditional {
				unknown = name
			}
			return value, ok
		})
		if err == nil && unknown != "" {
			err = fmt.Errorf("undefined $%s", unknown)
		}
		return out, err
	}
}

// read splits a file into "name = <<WORD", lines, "WORD".
func read(r io.Reader, warn func(string, ...any), found func(name string, line int, text []string)) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, word, ok := strings.Cut(line, "=")
		word, isHere := strings.CutPrefix(strings.TrimSpace(word), "<<")
		name, word = strings.TrimSpace(name), strings.TrimSpace(word)
		if !ok || !isHere || word == "" || name == "" {
			return fmt.Errorf("line %d: want name = <<EOF", n)
		}
		var text []string
		start, closed := n, false
		for lines.Scan() {
			n++
			if closed = lines.Text() == word; closed {
				break
			}
			text = append(text, lines.Text())
		}
		if !closed {
			warn("line %d: missing %q end marker", start, word)
		}
		found(name, start, text)
	}
	return lines.Err()
}

var (
	errHeader = errors.New("bad header")
	errASCII  = errors.New("text that is not ASCII needs a Charset header")
)

// apply returns the template with the headers and the text of a file.
// They end at an empty line, or at one that is no header.
func (t Template) apply(lines []string, expand func(string) (string, error)) (Template, error) {
	for len(lines) > 0 && lines[0] != "" {
		name, value, ok := strings.Cut(lines[0], ":")
		if !ok || strings.ContainsAny(name, " \t") {
			break
		}
		value = strings.TrimSpace(value)
		if value == "" || !isASCII(lines[0]) || strings.ContainsAny(lines[0], "\r\x00") {
			return t, fmt.Errorf("%w: %q", errHeader, lines[0])
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "charset":
			t.Charset = value
		case "from":
			t.From, t.OwnFrom = value, true
		case "subject":
			t.Subject = value
		case "postmaster-subject":
			t.CopySubject = value
		default:
			return t, fmt.Errorf("%w: %q", errHeader, lines[0])
		}
		lines = lines[1:]
	}
	text := strings.TrimLeft(strings.Join(lines, "\n"), "\n")
	if strings.TrimSpace(text) == "" {
		return t, errors.New("no text")
	}
	text, err := expand(text)
	if err != nil {
		return t, err
	}
	if !isASCII(text) && (t.Charset == "" || strings.EqualFold(t.Charset, "us-ascii")) {
		return t, errASCII
	}
	t.Text = strings.Split(strings.NewReplacer("\r", "", "\x00", "").Replace(text), "\n")
	return t, nil
}

// EightBit reports whether the text has more than US-ASCII.
func (t *Template) EightBit() bool { return !isASCII(strings.Join(t.Text, "")) }

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// warnZero tells of times that a text gives in a unit of which they are none.
func warnZero(cfg *config.Config, path, name string, lines []string, warn func(format string, args ...any)) {
	if cfg == nil {
		return
	}
	text := strings.NewReplacer("{", "", "(", "").Replace(strings.Join(lines, "\n"))
	for _, o := range lifetimes(cfg) {
		if o.Value == "0" && strings.Contains(text, "$"+o.Name) {
			warn("%s: zero result in %s template conversion of parameter %q", path, name, o.Name)
		}
	}
}

// lifetimes gives the names like maximal_queue_lifetime_days that a text may
// use.
func lifetimes(cfg *config.Config) []config.Override {
	var list []config.Override
	var p struct {
		Warning  time.Duration `param:"delay_warning_time"`
		Lifetime time.Duration `param:"maximal_queue_lifetime"`
	}
	if cfg.Fill(&p) != nil {
		return nil
	}
	for _, unit := range []struct {
		name string
		d    time.Duration
	}{{"seconds", time.Second}, {"minutes", time.Minute}, {"hours", time.Hour}, {"days", 24 * time.Hour}, {"weeks", 7 * 24 * time.Hour}} {
		list = append(list,
			config.Override{Name: "delay_warning_time_" + unit.name, Value: strconv.Itoa(int(p.Warning / unit.d))},
			config.Override{Name: "maximal_queue_lifetime_" + unit.name, Value: strconv.Itoa(int(p.Lifetime / unit.d))})
	}
	return append(list, config.Override{Name: "maximal_queue_lifetime_words", Value: words(p.Lifetime)})
}

// words says a lifetime in the largest unit that it is a multiple of.
func words(d time.Duration) string {
	for _, unit := range []struct {
		name string
		d    time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}} {
		switch {
		case d == unit.d:
			return "1 " + unit.name
		case d%unit.d == 0 && d > 0:
			return fmt.Sprintf("%d %ss", d/unit.d, unit.name)
		}
	}
	return d.String()
}
