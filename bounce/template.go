package main

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

// templates are the wordings in force: the built-in ones, or those of
// bounce_template_file.
type templates struct{ failure, delay, success, verify template }

// maxTemplate limits the file of templates.
const maxTemplate = 1 << 20

// loadTemplates reads bounce_template_file in the form of bounce(5). A file
// that cannot be read is an error; a template with a mistake is reported, and
// the built-in one used instead: a notice in other words is better than none.
func loadTemplates(cfg *config.Config, path string, warn func(format string, args ...any)) (templates, error) {
	t := builtinTemplates()
	if path == "" {
		return t, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return t, fmt.Errorf("bounce_template_file: %w", err)
	}
	defer f.Close()
	cfg = cfg.With(config.WithOverrides(lifetimes(cfg)))
	err = readTemplates(io.LimitReader(f, maxTemplate), func(name string, line int, text []string) {
		dst := t.find(name)
		if dst == nil {
			warn("%s, line %d: unknown template name: %s", path, line, name)
			return
		}
		changed, err := dst.apply(text, cfg.Expand)
		if err != nil {
			warn("%s, line %d: %s: %v -- using the built-in text", path, line, name, err)
			return
		}
		*dst = changed
	})
	if err != nil {
		warn("%s: %v -- using built-in texts", path, err)
		return builtinTemplates(), nil
	}
	return t, nil
}

func (t *templates) find(name string) *template {
	switch name {
	case "failure_template":
		return &t.failure
	case "delay_template":
		return &t.delay
	case "success_template":
		return &t.success
	case "verify_template":
		return &t.verify
	}
	return nil
}

// readTemplates splits a file into "name = <<WORD", lines, "WORD".
func readTemplates(r io.Reader, found func(name string, line int, text []string)) error {
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
			return fmt.Errorf("line %d: no line %q ends the template", start, word)
		}
		found(name, start, text)
	}
	return lines.Err()
}

var (
	errTemplateHeader = errors.New("bad header")
	errTemplateASCII  = errors.New("text that is not ASCII needs a Charset header")
)

// apply returns the template with the headers and the text of a file.
func (t template) apply(lines []string, expand func(string) (string, error)) (template, error) {
	t.charset = ""
	for len(lines) > 0 && lines[0] != "" {
		name, value, ok := strings.Cut(lines[0], ":")
		value = strings.TrimSpace(value)
		if !ok || value == "" || !isASCII(lines[0]) || strings.ContainsAny(lines[0], "\r\x00") {
			return t, fmt.Errorf("%w: %q", errTemplateHeader, lines[0])
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "charset":
			t.charset = value
		case "from":
			t.from = value
		case "subject":
			t.subject = value
		case "postmaster-subject":
			t.copySubject = value
		default:
			return t, fmt.Errorf("%w: %q", errTemplateHeader, lines[0])
		}
		lines = lines[1:]
	}
	text := strings.Trim(strings.Join(lines, "\n"), "\n")
	if text == "" {
		return t, errors.New("no text")
	}
	text, err := expand(text)
	if err != nil {
		return t, err
	}
	if !isASCII(text) && (t.charset == "" || strings.EqualFold(t.charset, "us-ascii")) {
		return t, errTemplateASCII
	}
	t.body = strings.Split(strings.NewReplacer("\r", "", "\x00", "").Replace(text), "\n")
	return t, nil
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
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
	return list
}
