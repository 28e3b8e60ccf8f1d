package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
	"github.com/posthouse-mail/posthouse/pkg/usertool"
	"github.com/posthouse-mail/posthouse/pkg/usertool/secret"
)

const userUsage = "posthouse user add | passwd | show | list | set | delete | hold | release | import"

// userCommand dispatches the commands about users.
func (a *app) userCommand(args []string) error {
	f := newFlags("user")
	f.SetInterspersed(false) // options are those of the word
	if err := a.parseWords(f, args, userUsage, userWords()); err != nil {
		return err
	}
	u := &users{app: a, in: os.Stdin}
	i := slices.IndexFunc(u.commands(), func(c command2) bool { return c.name == f.Arg(0) })
	return u.commands()[i].run(f.Args()[1:])
}

// userWords leaves their arguments to the commands.
func userWords() []word {
	var list []word
	for _, c := range new(users).commands() {
		list = append(list, word{c.name, 0, -1})
	}
	return list
}

func (u *users) commands() []command2 {
	return []command2{
		{"add", u.add}, {"passwd", u.passwd}, {"show", u.show}, {"list", u.list}, {"set", u.set}, {"delete", u.remove},
		{"hold", func(args []string) error { return u.hold(args, true) }},
		{"release", func(args []string) error { return u.hold(args, false) }},
		{"import", u.importFrom},
	}
}

// command2 is a word behind the first one.
type command2 struct {
	name string
	run  func([]string) error
}

// users is one command about users.
type users struct {
	*app
	site *usertool.Site
	in   *os.File
}

// secretOptions say where a password comes from, and what is stored of it.
type secretOptions struct {
	file           string
	random, none   bool
	scheme         string
	scram, cramMD5 bool
}

func (o *secretOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.file, "password-file", "", "")
	f.BoolVar(&o.random, "random", false, "")
	f.StringVar(&o.scheme, "scheme", "", "")
	f.BoolVar(&o.scram, "scram", false, "")
	f.BoolVar(&o.cramMD5, "cram-md5", false, "")
}

// parse reads the command line of a command about users and then, for one that
// is right, the configuration.
func (u *users) parse(f *pflag.FlagSet, args []string, usage string, least, most int) (err error) {
	if err = u.app.parse(f, args, "posthouse user "+usage, least, most); err == nil {
		u.site, err = usertool.Open(u.configDir)
	}
	return err
}

// plaintext gets the new password: from a file, from the person at the
// terminal, or a random one, which is printed.
func (u *users) plaintext(o secretOptions, login string) (string, error) {
	switch {
	case o.file != "":
		return secret.ReadFile(o.file, u.in)
	case !o.random && usertool.IsTerminal(u.in):
		plaintext, err := usertool.NewPassword(u.in, u.err)
		if err == nil {
			err = password.CheckPlaintext(plaintext)
		}
		return plaintext, err
	}
	plaintext := password.Random()
	fmt.Fprintf(u.out, "password of %s: %s\n", login, plaintext)
	return plaintext, nil
}

// secrets are the fields that a new password is stored in: the one that was
// asked for, and all of the record that would be wrong otherwise.
func (u *users) secrets(o secretOptions, main string, old *userdb.Record, plaintext string) ([]userdb.Field, error) {
	scheme := o.scheme
	if scheme == "" {
		scheme = u.site.Scheme
	}
	var wanted []string
	if o.scram {
		wanted = append(wanted, "scram-sha-256pw", "scram-sha-1pw")
	}
	if o.cramMD5 {
		wanted = append(wanted, "hmac-md5pw")
	}
	return secret.Fields(main, scheme, plaintext, old, wanted...)
}

// checkAddress refuses what cannot be a user of ours.
func checkAddress(login string) error {
	if login == "" || strings.ContainsAny(login, " \t|/:\x00") || strings.HasPrefix(login, "@") || strings.HasSuffix(login, "@") || strings.HasSuffix(login, "=") || login[0] == '#' {
		return fmt.Errorf("%w: %q is neither an address nor the name of an account", errUsage, login)
	}
	if i := strings.LastIndexByte(login, '@'); i >= 0 && !validDomain(login[i+1:]) {
		return fmt.Errorf("%w: %q is not a domain name", errUsage, login[i+1:])
	}
	return nil
}

const addUsage = "add ADDRESS [--password-file F | --random | --no-password] [--scheme S] [--scram] [--cram-md5] [--uid N] [--gid N] " +
	"[--home D] [--mail D] [--quota Q] [--name N] [--alias A ...] [--send-as A ...] [--no-mailbox]"

func (u *users) add(args []string) error {
	var o secretOptions
	var home, mail, quota, name string
	var aliases, sendAs []string
	uid, gid, noMailbox := -1, -1, false
	f := newFlags("user add")
	o.flags(f)
	f.BoolVar(&o.none, "no-password", false, "")
	f.IntVar(&uid, "uid", -1, "")
	f.IntVar(&gid, "gid", -1, "")
	f.StringVar(&home, "home", "", "")
	f.StringVar(&mail, "mail", "", "")
	f.StringVar(&quota, "quota", "", "")
	f.StringVar(&name, "name", "", "")
	f.StringArrayVar(&aliases, "alias", nil, "")
	f.StringArrayVar(&sendAs, "send-as", nil, "")
	f.BoolVar(&noMailbox, "no-mailbox", false, "")
	if err := u.parse(f, args, addUsage, 1, 1); err != nil {
		return err
	}
	quota, err := parseQuota(quota, addUsage)
	if err != nil {
		return err
	}
	r := &userdb.Record{Login: f.Arg(0), UID: uid, GID: gid, Home: home, MailDir: mail, Quota: quota, Name: name, Aliases: aliases, SendAs: sendAs}
	if err := checkAddress(r.Login); err != nil {
		return err
	}
	return u.addRecord(r, o, !noMailbox)
}

// addRecord makes the mailbox and then the record: a user that is there has a
// mailbox.
func (u *users) addRecord(r *userdb.Record, o secretOptions, mailbox bool) error {
	u.fromSystem(r)
	if err := u.mustBeNew(r); err != nil {
		return err
	}
	file, err := u.site.HomeOf(r.Login)
	if err != nil {
		return err
	}
	if _, err := r.Format(); err != nil {
		return err
	}
	place, err := u.site.PlaceOf(r)
	if err != nil {
		return err
	}
	if !o.none {
		plaintext, err := u.plaintext(o, r.Login)
		if err != nil {
			return err
		}
		fields, err := u.secrets(o, "systempw", nil, plaintext)
		if err != nil {
			return err
		}
		r.Hashes = map[string]string{}
		for _, f := range fields {
			r.Hashes[f.Name] = f.Value
		}
	}
	if mailbox {
		if err := u.site.MakeMailbox(place, r.Quota); err != nil {
			return err
		}
	}
	return u.edit(file, func(f *userdb.File) error {
		if _, there := f.Fields(r.Login); there {
			return fmt.Errorf("%s is in %s already", r.Login, file)
		}
		return f.Replace(r)
	})
}

// fromSystem takes ids and home of an account of the machine, for a login
// that is its name.
func (u *users) fromSystem(r *userdb.Record) {
	if strings.Contains(r.Login, "@") || r.UID >= 0 || r.Home != "" {
		return
	}
	account, err := user.Lookup(r.Login)
	if err != nil {
		return
	}
	fmt.Sscan(account.Uid, &r.UID)
	fmt.Sscan(account.Gid, &r.GID)
	r.Home = account.HomeDir
}

// mustBeNew refuses names that some record has.
func (u *users) mustBeNew(r *userdb.Record) error {
	db, err := userdb.Open(u.site.Path, u.site.Options(nil))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range append([]string{r.Login}, r.Aliases...) {
		other, err := db.Lookup(name)
		if errors.Is(err, userdb.ErrUnknown) {
			continue
		}
		if err != nil {
			return err
		}
		if !strings.EqualFold(other.Login, r.Login) || name == r.Login {
			return fmt.Errorf("%s is there already: it belongs to %s", name, other.Login)
		}
	}
	return nil
}

func (u *users) edit(file string, change func(*userdb.File) error) error {
	return userdb.Edit(context.Background(), file, u.site.EditOptions(), change)
}

// change edits the file that has a record.
func (u *users) change(login string, change func(*userdb.File, *userdb.Record) error) error {
	file, err := u.site.Find(login)
	if errors.Is(err, userdb.ErrUnknown) {
		return fmt.Errorf("%s: no such user", login)
	}
	if err != nil {
		return err
	}
	return u.edit(file, func(f *userdb.File) error {
		r, err := f.Record(login)
		if err != nil {
			return fmt.Errorf("%s: %w", login, err)
		}
		return change(f, r)
	})
}

func (u *users) passwd(args []string) error {
	var o secretOptions
	service := ""
	f := newFlags("user passwd")
	o.flags(f)
	f.StringVar(&service, "service", "", "")
	if err := u.parse(f, args, "passwd ADDRESS [--service SERVICE] [--password-file F | --random] [--scheme S] [--scram] [--cram-md5]", 1, 1); err != nil {
		return err
	}
	login, field := f.Arg(0), "systempw"
	if service != "" {
		if strings.Trim(service, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return fmt.Errorf("%w: %q is not the name of a service", errUsage, service)
		}
		field = service + "pw"
	}
	// Ask before the file is locked, and only for a user that is there.
	if _, err := u.site.Find(login); err != nil {
		return fmt.Errorf("%s: %w", login, err)
	}
	plaintext, err := u.plaintext(o, login)
	if err != nil {
		return err
	}
	return u.change(login, func(f *userdb.File, r *userdb.Record) error {
		fields, err := u.secrets(o, field, r, plaintext)
		if err != nil {
			return err
		}
		return f.Set(login, fields...)
	})
}

const setUsage = "set ADDRESS [--quota Q] field=value ... (\"field=\" takes it out)"

func (u *users) set(args []string) error {
	quota := ""
	f := newFlags("user set")
	f.StringVar(&quota, "quota", "", "")
	if err := u.parse(f, args, setUsage, 1, -1); err != nil {
		return err
	}
	fields, err := fieldsOf(f.Args()[1:])
	if err != nil {
		return err
	}
	if f.Changed("quota") {
		if quota, err = parseQuota(quota, setUsage); err != nil {
			return err
		}
		if slices.ContainsFunc(fields, func(x userdb.Field) bool { return x.Name == "quota" }) {
			return wrongUsage("posthouse user "+setUsage, "user set: --quota and quota= exclude each other")
		}
		fields = append(fields, userdb.Field{Name: "quota", Value: quota})
	}
	if len(fields) == 0 {
		return wrongUsage("posthouse user "+setUsage, "user set: an argument is missing")
	}
	return u.change(f.Arg(0), func(file *userdb.File, r *userdb.Record) error {
		for _, x := range fields {
			if x.Value == "" {
				file.Unset(r.Login, x.Name)
			} else if err := file.Set(r.Login, x); err != nil {
				return err
			}
		}
		// What is there now must be a record as a whole.
		_, err := file.Record(r.Login)
		return err
	})
}

// fieldsOf reads arguments of the form field=value.
func fieldsOf(args []string) (fields []userdb.Field, err error) {
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, wrongUsage("posthouse user "+setUsage, "user set: %q is not of the form field=value", arg)
		}
		fields = append(fields, userdb.Field{Name: name, Value: value})
	}
	return fields, nil
}

// parseQuota refuses what a record could not have.
func parseQuota(quota, usage string) (string, error) {
	q, err := userdb.ParseQuota(quota)
	if err != nil {
		return "", wrongUsage("posthouse user "+usage, "--quota: %v (S: bytes, C: messages)", err)
	}
	return q, nil
}

func (u *users) remove(args []string) error {
	f := newFlags("user delete")
	if err := u.parse(f, args, "delete ADDRESS", 1, 1); err != nil {
		return err
	}
	var gone *userdb.Record
	err := u.change(f.Arg(0), func(file *userdb.File, r *userdb.Record) error {
		gone = r
		file.Delete(r.Login)
		return nil
	})
	if err != nil {
		return err
	}
	if p, err := u.site.PlaceOf(gone); err == nil {
		fmt.Fprintf(u.out, "%s is deleted. The mail in %s is left as it is.\n", gone.Login, p.MailDir)
	}
	return nil
}

// holdWait is longer than submission remembers who may send, so that nothing is
// sent any more when the command is done.
const holdWait = 1200 * time.Millisecond

// hold keeps a user from sending, or lets it again.
func (u *users) hold(args []string, held bool) error {
	name := "release"
	if held {
		name = "hold"
	}
	f := newFlags("user " + name)
	if err := u.parse(f, args, name+" ADDRESS", 1, 1); err != nil {
		return err
	}
	if held {
		defer time.Sleep(holdWait)
	}
	return u.change(f.Arg(0), func(file *userdb.File, r *userdb.Record) error {
		if held {
			return file.Set(r.Login, userdb.Field{Name: "held", Value: "1"})
		}
		file.Unset(r.Login, "held")
		return nil
	})
}
