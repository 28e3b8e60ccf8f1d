package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// open opens the database to look at it. Lines in error are told.
func (u *users) open() (*userdb.DB, error) {
	return userdb.Open(u.site.Path, u.site.Options(func(err error) { fmt.Fprintf(u.err, "posthouse: warning: %v\n", err) }))
}

func (u *users) show(args []string) error {
	f := newFlags("user show")
	if err := u.parse(f, args, "show ADDRESS", 1, 1); err != nil {
		return err
	}
	db, err := u.open()
	if err != nil {
		return err
	}
	r, err := db.Resolve(f.Arg(0), u.site.Delimiter)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Arg(0), err)
	}
	out := bufio.NewWriter(u.out)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(out, "%-12s %s\n", name, value)
		}
	}
	line("login", r.Login)
	line("name", r.Name)
	line("aliases", strings.Join(r.Aliases, ", "))
	if p, err := u.site.PlaceOf(r); err == nil {
		line("uid:gid", fmt.Sprintf("%d:%d", p.UID, p.GID))
		line("home", p.Home)
		line("mailbox", p.MailDir)
	} else {
		line("mailbox", "none: "+err.Error())
	}
	line("quota", r.Quota)
	for _, name := range slices.Sorted(maps.Keys(r.Hashes)) {
		line(name, describe(r.Hashes[name]))
	}
	line("disabled", strings.Join(r.Disabled, ", "))
	var networks []string
	for _, n := range r.Networks {
		networks = append(networks, n.String())
	}
	line("networks", strings.Join(networks, ", "))
	line("sends as", strings.Join(r.SendAs, ", "))
	line("limits", r.Limits.String())
	if r.Held {
		line("held", "yes: may not send")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		line(name, r.Fields[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Options)) {
		line("option", name+"="+r.Options[name])
	}
	return out.Flush()
}

// describe tells the scheme of a stored password, and nothing of it.
func describe(stored string) string {
	if rest, ok := strings.CutPrefix(stored, "{"); ok {
		if scheme, _, ok := strings.Cut(rest, "}"); ok && len(scheme) < 20 {
			return "{" + scheme + "}..."
		}
	}
	if parts := strings.SplitN(stored, "$", 3); len(parts) == 3 && parts[0] == "" && len(parts[1]) < 20 {
		return "$" + parts[1] + "$..."
	}
	switch {
	case stored == "" || stored[0] == '*' || stored[0] == '!' || stored == "x":
		return "locked"
	case len(stored) == 13:
		return "DES crypt: should be changed"
	}
	return "..."
}

func (u *users) list(args []string) error {
	f := newFlags("user list")
	if err := u.parse(f, args, "list [DOMAIN]", 0, 1); err != nil {
		return err
	}
	db, err := u.open()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	out := bufio.NewWriter(u.out)
	var failed error
	db.All(func(r *userdb.Record, err error) bool {
		if err != nil {
			fmt.Fprintf(u.err, "posthouse: warning: %v\n", err)
			failed = errQuiet
			return true
		}
		if f.NArg() == 1 && !strings.HasSuffix(strings.ToLower(r.Login), "@"+strings.ToLower(f.Arg(0))) {
			return true
		}
		var notes []string
		if r.Held {
			notes = append(notes, "held")
		}
		if len(r.Disabled) > 0 {
			notes = append(notes, "without "+strings.Join(r.Disabled, ", "))
		}
		if r.Name != "" {
			notes = append(notes, r.Name)
		}
		if len(notes) == 0 {
			fmt.Fprintln(out, r.Login)
			return true
		}
		fmt.Fprintf(out, "%-40s %s\n", r.Login, strings.Join(notes, "; "))
		return true
	})
	if err := out.Flush(); err != nil {
		return err
	}
	return failed
}
