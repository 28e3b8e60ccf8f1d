package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// action is what happens to a logical line of a file.
type action byte

const (
	keep action = iota
	replace
	remove
	comment
)

// change is one request to change main.cf.
type change struct {
	name string
	line string // with -e
	done bool
}

// edit changes a file as -e, -X and -# ask for.
func (a *app) edit() error {
	if len(a.args) == 0 {
		if a.flags['e'] {
			return errors.New("-e requires name=value argument")
		}
		return errors.New("-X or -# requires a name argument")
	}
	who := "-e, -X, or -# accepts"
	if a.masterMode() {
		who = "-Me, -Fe, -Pe, -X, or -# accept"
	}
	for _, arg := range a.args {
		if strings.ContainsAny(arg, "\n\x00") {
			return errors.New(who + " no multi-line input")
		}
		if strings.HasPrefix(strings.TrimSpace(arg), "#") {
			return errors.New(who + " no comment input")
		}
	}
	if a.masterMode() {
		return a.editMaster()
	}
	changes, err := a.changes()
	if err != nil {
		return err
	}
	path := filepath.Join(a.dir, "main.cf")
	return rewrite(path, func(content string) (string, error) {
		return a.changeMain(path, content, changes), nil
	})
}

// kind returns the action that the options ask for.
func (a *app) kind() action {
	switch {
	case a.flags['X']:
		return remove
	case a.flags['#']:
		return comment
	}
	return replace
}

// changes parses the arguments for main.cf.
func (a *app) changes() ([]*change, error) {
	var list []*change
	for _, arg := range a.args {
		c := &change{name: strings.TrimSpace(arg)}
		if a.kind() == replace {
			name, value, err := splitSetting(arg)
			if err != nil {
				return nil, err
			}
			c.name, c.line = name, name+" = "+value
		} else if c.name == "" {
			return nil, errors.New("-X or -# requires non-blank parameter names")
		} else if strings.ContainsAny(c.name, "= \t") {
			return nil, fmt.Errorf("-X or -# requires a name without value: %q", arg)
		}
		for i, old := range list {
			if old.name == c.name {
				if a.kind() == replace {
					a.warn("ignoring earlier request: '%s'", old.line)
				}
				list = append(list[:i], list[i+1:]...)
				break
			}
		}
		list = append(list, c)
	}
	return list, nil
}

// splitSetting splits name=value.
func splitSetting(arg string) (name, value string, err error) {
	name, value, ok := strings.Cut(arg, "=")
	name, arg = strings.TrimSpace(name), strings.TrimSpace(arg)
	switch {
	case name == "":
		return "", "", fmt.Errorf("missing attribute name: %q", arg)
	case !ok || strings.ContainsAny(name, " \t"):
		return "", "", fmt.Errorf("missing '=' after attribute name: %q", arg)
	}
	return name, strings.TrimSpace(value), nil
}

// changeMain applies changes to the text of main.cf.
func (a *app) changeMain(path, content string, changes []*change) string {
	content = editLines(content, func(_ int, text string) (action, string) {
		// A line without = belongs to its first word, so that a mistake can be
		// put right.
		name := text[:strings.IndexAny(text+"=", "= \t\r\v\f")]
		for _, c := range changes {
			if c.name == name {
				if c.done {
					a.warn("%s: multiple entries for %q", path, name)
				}
				c.done = true
				return a.kind(), c.line
			}
		}
		return keep, ""
	})
	for _, c := range changes {
		if !c.done && a.kind() == replace {
			content = addLine(content, c.line)
		}
	}
	return content
}

// addLine adds a line to a text, whose last one may have no end.
func addLine(content, line string) string {
	if content != "" && !strings.HasSuffix(content, "\n") {
		content += "\n"
	}
	return content + line + "\n"
}

// editLines asks what to do with each logical line, and returns the changed
// text. Comments and empty lines stay where they are.
func editLines(content string, decide func(line int, text string) (action, string)) string {
	lines := strings.Split(strings.TrimSuffix(content, "\n"), "\n")
	if content == "" {
		lines = nil
	}
	owner := make([]int, len(lines)) // the line that starts the logical line, or -1
	logical := map[int]string{}
	current := -1
	for i, line := range lines {
		trimmed := strings.TrimLeft(line, " \t\r\v\f")
		owner[i] = -1
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if len(trimmed) == len(line) {
			current = i
		}
		if owner[i] = current; current >= 0 {
			logical[current] += line
		}
	}
	var out []string
	end := content[len(strings.TrimSuffix(content, "\n")):]
	what, text := keep, ""
	for i, line := range lines {
		if owner[i] == i {
			what, text = decide(i+1, logical[i])
		}
		switch {
		case owner[i] < 0 || what == keep:
			out = append(out, line)
		case what == comment:
			out = append(out, "#"+line)
		case what == replace && owner[i] == i:
			out, end = append(out, text), "\n"
		}
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, "\n") + end
}

// rewrite replaces a file by what change makes of it. Owner and mode stay.
func rewrite(path string, change func(content string) (string, error)) error {
	link := path
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return plainOpen(fmt.Errorf("open %s: %w", link, unwrapAll(err)))
	}
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer unlock()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return plainOpen(fmt.Errorf("open %s: %w", path, unwrapAll(err)))
	}
	text, err := change(string(old))
	if err != nil || text == string(old) {
		return err
	}
	fs := &safefile.FS{}
	return fs.WriteAtomic(path, info.Mode().Perm(), func(w io.Writer) error {
		f, isFile := w.(*os.File)
		if st, ok := info.Sys().(*syscall.Stat_t); ok && isFile && os.Geteuid() == 0 {
			if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
				return err
			}
		}
		_, err := io.WriteString(w, text)
		return err
	})
}

// lockDir keeps a second postconf from changing the same directory.
func lockDir(dir string) (unlock func(), err error) {
	const patience = 30 * time.Second
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := safefile.Flock(ctx, f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}
