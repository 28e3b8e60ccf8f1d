package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/table"
)

// maxTemplate limits the file of bounce templates.
const maxTemplate = 1 << 20

// lists answers -m, -l, -a and -A.
func (a *app) lists() error {
	var names []string
	switch {
	case a.flags['m']:
		names = table.Types()
	case a.flags['l']:
		names = []string{"flock", "fcntl", "dotlock"}
	case a.flags['a']:
		// Of smtpd_sasl_type; for cyrus and posthouse, authd answers.
		names = []string{"cyrus", "dovecot", "posthouse"}
	case a.flags['A']:
		// The mechanisms of smtp are its own, under the name of the default
		// of smtp_sasl_type.
		names = []string{"cyrus"}
	}
	for _, name := range names {
		if _, err := fmt.Fprintln(a.out, name); err != nil {
			return err
		}
	}
	return nil
}

// templates shows the file of bounce templates that is in force, with -b with
// $name expanded.
func (a *app) templates() error {
	a.findDir()
	cfg, err := config.Load(a.dir, config.WithOverrides(a.override))
	if err != nil {
		return plainOpen(err)
	}
	path, err := cfg.Value("bounce_template_file")
	if err != nil {
		return err
	}
	if len(a.args) > 0 {
		path = a.args[0]
	}
	if path == "" {
		return errors.New("no bounce_template_file is set; the built-in texts are part of bounce(8)")
	}
	f, err := os.Open(path)
	if err != nil {
		return plainOpen(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTemplate))
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	shown := string(text)
	if a.flags['b'] {
		if shown, err = cfg.Expand(shown); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	_, err = io.WriteString(a.out, shown)
	return err
}
