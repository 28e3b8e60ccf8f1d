package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// passwdFile is a passwd-file of Dovecot:
//
//	user:{SCHEME}password:uid:gid:gecos:home:shell:extra fields
type passwdFile struct {
	path    string
	counted counted
}

func openPasswdFile(path string) (source, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, errors.New("the name of the file must begin with /")
	}
	p := &passwdFile{path, newCounted()}
	if _, err := findLine(path, "\x01"); !errors.Is(err, userdb.ErrUnknown) {
		return nil, err
	}
	return p, nil
}

func (p *passwdFile) name() string { return "passwd-file" }

// serves looks through all users now and then.
func (p *passwdFile) serves(mechanism string) bool { return p.counted.serves(mechanism, p.all) }

// all calls yield for each user until it returns false.
func (p *passwdFile) all(yield func(*userdb.Record, error) bool) {
	err := eachLine(p.path, func(line string) bool {
		if line == "" || line[0] == '#' {
			return true
		}
		return yield(parsePasswdLine(strings.Split(line, ":")))
	})
	if err != nil {
		yield(nil, err)
	}
}

func (p *passwdFile) lookup(_ context.Context, login, _ string) (*found, error) {
	fields, err := findLine(p.path, login)
	if err != nil {
		return nil, err
	}
	r, err := parsePasswdLine(fields)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", p.path, login, err)
	}
	f := &found{rec: r}
	// Dovecot takes "nopassword"; we do not.
	if _, ok := r.Hashes["systempw"]; !ok {
		f.check = func(context.Context, string, authclient.Peer) (bool, error) { return false, nil }
	}
	return f, nil
}

// parsePasswdLine reads the fields of a line.
func parsePasswdLine(fields []string) (*userdb.Record, error) {
	get := func(i int) string {
		if i < len(fields) {
			return fields[i]
		}
		return ""
	}
	text := []string{}
	add := func(name, value string) {
		if value != "" {
			text = append(text, name+"="+value)
		}
	}
	add("uid", get(2))
	add("gid", get(3))
	add("gecos", get(4))
	add("home", get(5))
	// Extra fields may hold colons.
	if len(fields) > 7 {
		for f := range strings.FieldsSeq(strings.Join(fields[7:], ":")) {
			name, value, _ := strings.Cut(f, "=")
			if err := addExtra(strings.TrimPrefix(name, "userdb_"), value, add); err != nil {
				return nil, err
			}
		}
	}
	r, err := userdb.Parse(get(0), strings.Join(text, "|"))
	if err != nil {
		return nil, err
	}
	joinMaildir(r)
	if stored := get(1); stored != "" && stored[0] != '!' && stored[0] != '*' {
		if !strings.HasPrefix(stored, "{") && !strings.HasPrefix(stored, "$") && len(stored) != 13 {
			return nil, password.ErrScheme
		}
		r.Hashes = map[string]string{"systempw": stored}
	}
	return r, nil
}

// joinMaildir puts a Maildir that is given relative to the home below it.
func joinMaildir(r *userdb.Record) {
	if rel, ok := r.Options["maildir"]; ok && r.MailDir == "" && r.Home != "" {
		r.MailDir = path.Join(r.Home, path.Join("/", rel))
		delete(r.Options, "maildir")
	}
}

// addExtra translates an extra field of Dovecot.
func addExtra(name, value string, add func(name, value string)) error {
	switch name {
	case "uid", "gid", "home":
		add(name, value)
	case "mail":
		dir, ok := strings.CutPrefix(value, "maildir:")
		if !ok && !strings.HasPrefix(value, "/") {
			return fmt.Errorf("mail=%s is no Maildir", value)
		}
		dir, _, _ = strings.Cut(dir, ":")
		if rel, ok := strings.CutPrefix(dir, "~/"); ok {
			add("options", "maildir="+rel)
			return nil
		}
		add("mail", dir)
	case "quota_rule":
		q, err := quotaRule(value)
		if err != nil {
			return err
		}
		add("quota", q)
	case "allow_nets":
		add("networks", value)
	case "nologin":
		// The field counts by being there.
		add("disabled", "imap,pop3,submission,smtp,sieve")
	}
	return nil
}

// quotaRule translates "*:storage=1G:messages=1000".
func quotaRule(rule string) (string, error) {
	parts := strings.Split(rule, ":")
	var items []string
	for _, p := range parts[1:] {
		name, value, _ := strings.Cut(p, "=")
		switch name {
		case "storage", "bytes":
			n, err := bytesOf(value, name == "storage")
			if err != nil {
				return "", err
			}
			items = append(items, fmt.Sprintf("%dS", n))
		case "messages":
			items = append(items, value+"C")
		}
	}
	return strings.Join(items, ","), nil
}

// bytesOf reads a size with a unit; storage without one is in kilobytes.
func bytesOf(s string, kilo bool) (int64, error) {
	unit := int64(1)
	if kilo {
		unit = 1 << 10
	}
	if i := strings.IndexAny(s, "bkMGTK"); i > 0 {
		unit = map[byte]int64{'b': 1, 'k': 1 << 10, 'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40}[s[i]]
		s = s[:i]
	}
	var n int64
	if _, err := fmt.Sscanf(s, "%d", &n); err != nil || n < 0 || n > (1<<62)/unit {
		return 0, fmt.Errorf("not a size: %q", s)
	}
	return n * unit, nil
}
