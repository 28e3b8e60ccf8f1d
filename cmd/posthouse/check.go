package main

import (
	"fmt"

	"github.com/posthouse-mail/posthouse/pkg/check"
	"github.com/posthouse-mail/posthouse/pkg/config"
)

// check prints what is wrong with the configuration and the files, worst
// last, and fails if any of it is an error.
func (a *app) check(args []string) error {
	if err := noArguments("check", args); err != nil {
		return err
	}
	errors, err := a.problems(config.Note)
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
	for _, text := range wrong {
		fmt.Fprintln(a.err, "error: "+text)
	}
	if errors+len(wrong) > 0 {
		fmt.Fprintf(a.err, "posthouse: %d errors\n", errors+len(wrong))
		return errQuiet
	}
	return nil
}

// problems prints what is at least as bad as least, and counts the errors.
func (a *app) problems(least config.Severity) (errors int, err error) {
	problems, err := check.All(a.configDir)
	for _, p := range problems {
		if p.Severity >= least {
			fmt.Fprintln(a.err, p)
		}
		if p.Severity == config.Error {
			errors++
		}
	}
	return errors, err
}
