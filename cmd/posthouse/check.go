package main

import (
	"fmt"
	"path/filepath"

	"github.com/posthouse-mail/posthouse/pkg/check"
	"github.com/posthouse-mail/posthouse/pkg/config"
)

// check prints what is wrong with the configuration and the files, worst
// last, and fails if any of it is an error.
func (a *app) check(args []string) error {
	if err := a.noArguments("check", args); err != nil {
		return err
	}
	told, err := a.problems(config.Note)
	if err != nil {
		return err
	}
	_, s, err := a.load()
	if err != nil {
		return err
	}
	wrong, err := a.comparePermissions(s)
	if err != nil {
		return err
	}
	errors := told.errors
	for _, p := range wrong {
		// A file that others may write is wrong once, by whatever rule.
		if told.files[p.path] {
			continue
		}
		errors++
		fmt.Fprintf(a.err, "error: %s\n", p.text)
	}
	if errors > 0 {
		fmt.Fprintf(a.err, "posthouse: %s\n", countErrors(errors))
		return errQuiet
	}
	return nil
}

func countErrors(n int) string {
	if n == 1 {
		return "1 error"
	}
	return fmt.Sprintf("%d errors", n)
}

// findings is what was printed.
type findings struct {
	errors int
	files  map[string]bool // whose owner or mode is an error
}

// problems prints what is at least as bad as least, and counts the errors.
func (a *app) problems(least config.Severity) (told findings, err error) {
	problems, err := check.All(a.configDir)
	told.files = make(map[string]bool)
	for _, p := range problems {
		if p.Severity >= least {
			fmt.Fprintln(a.err, p)
		}
		if p.Severity == config.Error {
			told.errors++
			if p.Line == 0 {
				told.files[filepath.Clean(p.File)] = true
			}
		}
	}
	return told, err
}
