package main

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"

	"errors"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// fieldNames are the names of the columns of master.cf for -F.
func fieldNames() []string {
	return []string{"service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command"}
}

// request is one argument of -M, -F or -P: service/type/name, with * or
// nothing for any.
type request struct {
	text                string
	service, typ, third string
	matched             bool
}

// requests parses the arguments. What is left out at the end is any, and so is
// a * by itself; there are no other patterns.
func (a *app) requests(option, form string) ([]*request, error) {
	args := a.args
	if len(args) == 0 {
		args = []string{"*"}
	}
	var list []*request
	for _, arg := range args {
		words := strings.Split(arg, "/")
		r := &request{text: arg, service: "*", typ: "*", third: "*"}
		parts := []*string{&r.service, &r.typ, &r.third}[:strings.Count(form, "/")+1]
		if len(words) > len(parts) || words[0] == "" || slices.ContainsFunc(words, partPattern) {
			return nil, fmt.Errorf("-%s option requires %s", option, form)
		}
		for i, w := range words {
			if w != "" || i+1 < len(words) {
				*parts[i] = w
			}
		}
		list = append(list, r)
	}
	return list, nil
}

// partPattern tells whether a word has a * that is not all of it.
func partPattern(word string) bool { return word != "*" && strings.Contains(word, "*") }

// match tells whether a service is asked for.
func (r *request) match(s *config.Service) bool {
	return (r.service == "*" || r.service == s.Name) && (r.typ == "*" || r.typ == s.Type)
}

// matchThird tells whether a field or parameter is asked for.
func (r *request) matchThird(name string) bool { return r.third == "*" || r.third == name }

// unmatched warns of requests that found nothing.
func (a *app) unmatched(list []*request) {
	for _, r := range list {
		if !r.matched && len(a.args) > 0 {
			a.warn("unmatched request: %q", r.text)
		}
	}
}

// showEntries shows lines of master.cf.
func (a *app) showEntries() error {
	list, err := a.requests("M", "service_name[/type]")
	if err != nil {
		return err
	}
	for i := range a.master.All {
		s := &a.master.All[i]
		for _, r := range list {
			if !r.match(s) {
				continue
			}
			r.matched = true
			text, err := a.entryText(s, a.flags['f'])
			if err != nil {
				return err
			}
			fmt.Fprintln(a.out, text)
		}
	}
	a.unmatched(list)
	return nil
}

// showFields shows columns of master.cf.
func (a *app) showFields() error {
	list, err := a.requests("F", "service_name[/type[/field]]")
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.third != "*" && !slices.Contains(fieldNames(), r.third) {
			return fmt.Errorf("invalid service attribute name: %q", r.third)
		}
	}
	for i := range a.master.All {
		s := &a.master.All[i]
		for _, r := range list {
			for n, field := range fieldNames() {
				if !r.match(s) || !r.matchThird(field) {
					continue
				}
				r.matched = true
				value := s.Fields[n]
				name := s.Name + "/" + s.Type + "/" + field
				if field != "command" || a.flags['H'] {
					a.printPair(name, value)
				} else if err := a.printCommand(s, name); err != nil {
					return err
				}
			}
		}
	}
	a.unmatched(list)
	return nil
}

// printCommand prints the last field, the program with its arguments.
func (a *app) printCommand(s *config.Service, name string) error {
	list, err := a.argumentList(s)
	if err != nil {
		return err
	}
	var b strings.Builder
	if !a.flags['h'] {
		b.WriteString(name + " = ")
	}
	b.WriteString(s.Program)
	writeArguments(&b, b.Len(), list, a.flags['f'])
	fmt.Fprintln(a.out, b.String())
	return nil
}

// showOverrides shows the -o settings of master.cf.
func (a *app) showOverrides() error {
	list, err := a.requests("P", "service_name[/type[/parameter]]")
	if err != nil {
		return err
	}
	for i := range a.master.All {
		s := &a.master.All[i]
		values := map[string]string{}
		for _, o := range s.Overrides {
			values[o.Name] = o.Value
		}
		for _, r := range list {
			for _, name := range slices.Sorted(maps.Keys(values)) {
				if !r.match(s) || !r.matchThird(name) {
					continue
				}
				r.matched = true
				value, err := a.expandFor(s, values[name])
				if err != nil {
					return err
				}
				a.printPair(s.Name+"/"+s.Type+"/"+name, value)
			}
		}
	}
	a.unmatched(list)
	return nil
}

// expandFor expands a value of a service with -x.
func (a *app) expandFor(s *config.Service, value string) (string, error) {
	if !a.flags['x'] {
		return value, nil
	}
	c := a.cfg.With(config.WithOverrides(s.Overrides), config.WithService(s.Name, s.Program))
	return c.ExpandWith(value, a.usage)
}

// argument is one argument of a service's program as it is shown, with the
// value of the option if it has one.
type argument struct {
	text   string
	option bool // of the daemon, not of the program that it runs
	value  bool // has a value
}

// argumentList returns the arguments of a service.
func (a *app) argumentList(s *config.Service) ([]argument, error) {
	var list []argument
	generic := true
	for i := 0; i < len(s.RawArgs); i++ {
		word := s.RawArgs[i]
		if generic = generic && len(word) > 1 && word[0] == '-' && word != "--"; !generic {
			list = append(list, argument{text: braced(word)})
			continue
		}
		if !strings.Contains(word, "o") {
			list = append(list, argument{text: word, option: true})
			continue
		}
		for j := 1; j < len(word); j++ {
			if word[j] != 'o' {
				list = append(list, argument{text: "-" + word[j:j+1], option: true})
				continue
			}
			value := word[j+1:]
			if value == "" && i+1 < len(s.RawArgs) {
				i++
				value = s.RawArgs[i]
			}
			text, err := a.optionText(s, value)
			if err != nil {
				return nil, err
			}
			list = append(list, argument{text: text, option: true, value: true})
			break
		}
	}
	return list, nil
}

// braced writes a word so that it is one again when it is read.
func braced(word string) string {
	if word == "" || word[0] == '{' || strings.ContainsAny(word, " \t\r\n") {
		return "{" + word + "}"
	}
	return word
}

// optionText writes a -o option.
func (a *app) optionText(s *config.Service, setting string) (string, error) {
	if name, value, ok := strings.Cut(setting, "="); ok {
		setting = strings.TrimSpace(name) + "=" + strings.TrimSpace(value)
	}
	setting, err := a.expandFor(s, setting)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(setting, " \t\r\n") {
		setting = "{" + setting + "}"
	}
	return "-o " + setting, nil
}

// argumentText returns the arguments as words.
func (a *app) argumentText(s *config.Service) ([]string, error) {
	list, err := a.argumentList(s)
	var words []string
	for _, x := range list {
		words = append(words, x.text)
	}
	return words, err
}

// entryText writes a line of master.cf.
func (a *app) entryText(s *config.Service, fold bool) (string, error) {
	list, err := a.argumentList(s)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	length := 0
	for i, goal := range []int{0, 11, 17, 25, 33, 41, 49, 57} {
		if i > 0 {
			pad := max(1, goal-length)
			b.WriteString(strings.Repeat(" ", pad))
			length += pad
		}
		b.WriteString(s.Fields[i])
		length += len(s.Fields[i])
	}
	writeArguments(&b, length, list, fold)
	return b.String(), nil
}

// writeArguments appends arguments to a line that has some length already.
func writeArguments(b *strings.Builder, length int, list []argument, fold bool) {
	start, generic := length, true
	for _, x := range list {
		if generic && !x.option {
			generic = false
			if length > start && fold {
				length = lineLimit
			}
		}
		// An option with a value has a line of its own.
		if x.value {
			length = lineLimit
		}
		if !fold || length+1+len(x.text) < lineLimit {
			b.WriteByte(' ')
			length++
		} else {
			b.WriteString("\n" + indent)
			length = len(indent)
		}
		b.WriteString(x.text)
		length += len(x.text)
		if x.value {
			length = lineLimit
		}
	}
}

// unwrapAll returns the innermost error.
func unwrapAll(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// plainOpen writes an error of the file system as Postfix does.
func plainOpen(err error) error {
	for text, is := range map[string]error{
		"No such file or directory": fs.ErrNotExist,
		"Permission denied":         fs.ErrPermission,
		"Not a directory":           syscall.ENOTDIR,
	} {
		if errors.Is(err, is) {
			head, _, _ := strings.Cut(err.Error(), ": ")
			return fmt.Errorf("%s: %s%w", head, text, quiet{is})
		}
	}
	return err
}

// quiet is an error without text.
type quiet struct{ error }

func (quiet) Error() string   { return "" }
func (q quiet) Unwrap() error { return q.error }
