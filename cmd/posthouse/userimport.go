package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/userdb"
	"github.com/posthouse-mail/posthouse/pkg/usertool"
)

const importUsage = "import passwd [FILE] | dovecot FILE | dovecot-sql FILE | userdb PATH [--domain D] [--shadow FILE] [--min-uid N] [--mail PATH] [--replace] [--dry-run]"

// importOptions are those of "user import".
type importOptions struct {
	domain, shadow, mail string
	minUID               int
	replace, dryRun      bool
}

// importFrom takes users over from another system's files.
func (u *users) importFrom(args []string) error {
	var o importOptions
	f := newFlags("user import")
	f.StringVar(&o.domain, "domain", "", "")
	f.StringVar(&o.shadow, "shadow", "/etc/shadow", "")
	f.StringVar(&o.mail, "mail", "", "")
	f.IntVar(&o.minUID, "min-uid", 1000, "")
	f.BoolVar(&o.replace, "replace", false, "")
	f.BoolVar(&o.dryRun, "dry-run", false, "")
	if err := u.parse(f, args, importUsage, 1, 2); err != nil {
		return err
	}
	path := f.Arg(1)
	var records []*userdb.Record
	var err error
	switch kind := f.Arg(0); {
	case kind == "passwd":
		if path == "" {
			path = "/etc/passwd"
		}
		records, err = importPasswd(path, o)
	case kind == "dovecot" && path != "":
		records, err = u.importDovecot(path)
	case kind == "dovecot-sql" && path != "":
		return importDovecotSQL(u.out, path)
	case kind == "userdb" && path != "":
		records, err = u.importUserdb(path)
	default:
		return wrongUsage("posthouse user "+importUsage, "user import: which kind of users, and from which file?")
	}
	if err != nil {
		return err
	}
	return u.store(records, o)
}

// store writes records, one file at a time.
func (u *users) store(records []*userdb.Record, o importOptions) error {
	files := map[string][]*userdb.Record{}
	var order []string
	skipped := 0
	for _, r := range records {
		if o.domain != "" && !strings.Contains(r.Login, "@") {
			r.Login += "@" + o.domain
		}
		if o.mail != "" && r.MailDir == "" {
			local, domain, _ := strings.Cut(r.Login, "@")
			r.MailDir = strings.NewReplacer("%u", r.Login, "%n", local, "%d", domain, "%h", r.Home).Replace(o.mail)
		}
		err := checkAddress(r.Login)
		if err == nil {
			_, err = r.Format()
		}
		if err != nil {
			fmt.Fprintf(u.err, "posthouse: warning: %s is left out: %v\n", r.Login, err)
			skipped++
			continue
		}
		if o.dryRun {
			line, _ := r.WithoutHashes().Format()
			fmt.Fprintln(u.out, line)
			continue
		}
		file, err := u.site.Find(r.Login)
		if errors.Is(err, userdb.ErrUnknown) {
			file, err = u.site.HomeOf(r.Login)
		}
		if err != nil {
			return err
		}
		if files[file] == nil {
			order = append(order, file)
		}
		files[file] = append(files[file], r)
	}
	added := 0
	for _, file := range order {
		err := u.edit(file, func(f *userdb.File) error {
			for _, r := range files[file] {
				if _, there := f.Fields(r.Login); there && !o.replace {
					fmt.Fprintf(u.err, "posthouse: warning: %s is there already and stays as it is\n", r.Login)
					skipped++
					continue
				}
				if err := f.Replace(r); err != nil {
					return err
				}
				added++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if !o.dryRun {
		fmt.Fprintf(u.out, "%d users imported, %d left out.\n", added, skipped)
	}
	if skipped > 0 {
		return errQuiet
	}
	return nil
}

// importPasswd takes the accounts of people: those with a uid of min-uid and
// above, and a password.
func importPasswd(path string, o importOptions) ([]*userdb.Record, error) {
	accounts, err := usertool.ReadPasswd(path, o.shadow)
	if err != nil {
		return nil, err
	}
	var records []*userdb.Record
	for _, a := range accounts {
		uid, err1 := strconv.Atoi(a.UID)
		gid, err2 := strconv.Atoi(a.GID)
		if err1 != nil || err2 != nil || uid < o.minUID || uid == 65534 {
			continue
		}
		name, _, _ := strings.Cut(a.Gecos, ",")
		r := &userdb.Record{Login: a.Name, UID: uid, GID: gid, Home: a.Home, Name: strings.ReplaceAll(name, "|", ".")}
		if a.Shell != "" {
			r.Fields = map[string]string{"shell": a.Shell}
		}
		if a.Password != "" {
			r.Hashes = map[string]string{"systempw": a.Password}
		}
		records = append(records, r)
	}
	return records, nil
}

// importDovecot reads a passwd-file: user:password:uid:gid:gecos:home:shell:extra.
func (u *users) importDovecot(path string) ([]*userdb.Record, error) {
	accounts, err := usertool.ReadPasswd(path, "")
	if err != nil {
		return nil, err
	}
	var records []*userdb.Record
	for _, a := range accounts {
		r := &userdb.Record{Login: a.Name, UID: -1, GID: -1, Home: a.Home, Name: strings.ReplaceAll(a.Gecos, "|", ".")}
		for _, id := range []struct {
			text string
			p    *int
		}{{a.UID, &r.UID}, {a.GID, &r.GID}} {
			if n, err := strconv.Atoi(id.text); err == nil {
				*id.p = n
			} else if id.text != "" {
				fmt.Fprintf(u.err, "posthouse: warning: %s:%d: id %q is not a number and is left out\n", path, a.Line, id.text)
			}
		}
		if a.Password != "" {
			r.Hashes = map[string]string{"systempw": a.Password}
		}
		u.dovecotExtra(r, a, path)
		records = append(records, r)
	}
	return records, nil
}

// dovecotExtra takes the extra fields that mean something here.
func (u *users) dovecotExtra(r *userdb.Record, a usertool.Account, path string) {
	for field := range strings.FieldsSeq(a.Extra) {
		name, value, _ := strings.Cut(strings.TrimPrefix(field, "userdb_"), "=")
		switch name {
		case "mail":
			dir := strings.TrimPrefix(value, "maildir:")
			dir, _, _ = strings.Cut(dir, ":")
			r.MailDir = strings.NewReplacer("~", r.Home, "%h", r.Home).Replace(dir)
		case "quota_rule":
			if _, rule, ok := strings.Cut(value, "storage="); ok {
				r.Quota = dovecotSize(rule)
			}
		case "nopassword", "proxy", "allow_nets":
			if name == "allow_nets" {
				if p, err := userdb.Parse(r.Login, "networks="+value); err == nil {
					r.Networks = p.Networks
					continue
				}
			}
			fmt.Fprintf(u.err, "posthouse: warning: %s:%d: %s is not taken over\n", path, a.Line, name)
		}
	}
}

// dovecotSize turns 500M into bytes; a number alone counts kilobytes.
func dovecotSize(s string) string {
	digits := strings.TrimRight(s, "BbkKMGT")
	n, err := strconv.ParseUint(digits, 10, 40)
	if err != nil {
		return ""
	}
	switch strings.ToUpper(strings.TrimSuffix(s[len(digits):], "B")) {
	case "", "K":
		n <<= 10
	case "M":
		n <<= 20
	case "G":
		n <<= 30
	case "T":
		n <<= 40
	}
	return strconv.FormatUint(n, 10) + "S"
}

// importUserdb reads a database of Courier's: a file or a directory.
func (u *users) importUserdb(path string) ([]*userdb.Record, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		fmt.Fprintf(u.err, "posthouse: warning: %s is readable for others: its passwords may be known\n", path)
	}
	db, err := userdb.OpenAny(path)
	if err != nil {
		return nil, err
	}
	var records []*userdb.Record
	db.All(func(r *userdb.Record, err error) bool {
		if err != nil {
			fmt.Fprintf(u.err, "posthouse: warning: %v: left out\n", err)
			return true
		}
		records = append(records, r)
		return true
	})
	return records, nil
}
