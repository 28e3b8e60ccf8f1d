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

// domainCommand edits the file of hosted domains.
func (a *app) domainCommand(args []string) error {
	site, err := usertool.Open(a.configDir)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 2 && args[0] == "add":
		err = site.AddDomain(args[1], "")
	case len(args) == 3 && args[0] == "alias":
		err = site.AddDomain(args[1], args[2])
	case len(args) == 2 && args[0] == "delete":
		if err = a.noUsersIn(site, args[1]); err == nil {
			err = site.DeleteDomain(args[1])
		}
	case len(args) == 1 && args[0] == "list":
		return a.listDomains(site)
	default:
		return fmt.Errorf("%w: %s", errUsage, domainUsage)
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
