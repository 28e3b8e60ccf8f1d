package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/bouncetext"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/table"
)

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

// templates shows the texts of notices in force, in the form of a file of
// templates; with -b, what follows their headers, with $name expanded.
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
	values := cfg
	if a.flags['t'] {
		values = nil
	}
	set, err := bouncetext.Load(values, path, func(format string, args ...any) {
		fmt.Fprintf(a.err, "postconf: warning: "+format+"\n", args...)
	})
	if err != nil {
		return plainOpen(err)
	}
	var b strings.Builder
	for i, t := range set.All() {
		if i > 0 {
			b.WriteByte('\n')
		}
		if a.flags['b'] {
			fmt.Fprintf(&b, "expanded_%s_text = <<EOF\n", t.Name)
		} else {
			fmt.Fprintf(&b, "%s_template = <<EOF\nCharset: %s\nFrom: %s\nSubject: %s\n", t.Name, cmp.Or(t.Charset, "us-ascii"), t.From, t.Subject)
			if t.CopySubject != "" {
				fmt.Fprintf(&b, "Postmaster-Subject: %s\n", t.CopySubject)
			}
			b.WriteByte('\n')
		}
		b.WriteString(strings.Join(t.Text, "\n") + "\nEOF\n")
	}
	_, err = io.WriteString(a.out, b.String())
	return err
}

// tls shows what the TLS library is and does. It is part of the Go release.
func (a *app) tls() error {
	switch a.tlsMode {
	case "compile-version", "run-version":
		fmt.Fprintln(a.out, "crypto/tls of "+runtime.Version())
	case "public-key-algorithms":
		fmt.Fprint(a.out, "ecdsa\ned25519\nrsa\n")
	default:
		fmt.Fprintf(a.err, "postconf: warning: unknown 'postconf -T' mode: %s\n", a.tlsMode)
		return errQuiet
	}
	return nil
}
