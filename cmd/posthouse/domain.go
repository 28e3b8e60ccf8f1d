package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/userdb"
	"github.com/posthouse-mail/posthouse/pkg/usertool"
)

const domainUsage = "posthouse domain add DOMAIN | list | delete DOMAIN | alias ALIAS DOMAIN"

func domainWords() []word {
	return []word{{"add", 1, 1}, {"list", 0, 0}, {"delete", 1, 1}, {"alias", 2, 2}}
}

// domainCommand edits the file of hosted domains.
func (a *app) domainCommand(args []string) error {
	f := newFlags("domain")
	if err := a.parseWords(f, args, domainUsage, domainWords()); err != nil {
		return err
	}
	site, err := usertool.Open(a.configDir)
	if err != nil {
		return err
	}
	switch f.Arg(0) {
	case "list":
		return a.listDomains(site)
	case "add":
		err = site.AddDomain(f.Arg(1), "")
	case "alias":
		err = site.AddDomain(f.Arg(1), f.Arg(2))
	case "delete":
		if err = a.noUsersIn(site, f.Arg(1)); err == nil {
			err = site.DeleteDomain(f.Arg(1))
		}
	}
	if err != nil {
		return err
	}
	if table := usertool.HostedFile + usertool.MapSuffix; !site.Mentions("virtual_mailbox_domains", table) {
		fmt.Fprintf(a.err, "posthouse: warning: virtual_mailbox_domains in main.cf does not name hash:%s\n", filepath.Join(site.Dir, table))
	}
	return nil
}

func (a *app) listDomains(site *usertool.Site) error {
	list, err := usertool.ReadDomains(site.Hosted())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, d := range list {
		if d.Target != "" {
			fmt.Fprintf(a.out, "%-40s alias of %s\n", d.Name, d.Target)
		} else {
			fmt.Fprintln(a.out, d.Name)
		}
	}
	return err
}

// noUsersIn refuses to delete a domain that has users.
func (a *app) noUsersIn(site *usertool.Site, domain string) error {
	db, err := userdb.Open(site.Path, site.Options(nil))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	db.All(func(r *userdb.Record, e error) bool {
		if e == nil && strings.HasSuffix(strings.ToLower(r.Login), "@"+strings.ToLower(domain)) {
			err = fmt.Errorf("%s has users, %s among them: delete them first", domain, r.Login)
		}
		return err == nil
	})
	return err
}
