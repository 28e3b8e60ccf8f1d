package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/dkim"
	"github.com/posthouse-mail/posthouse/pkg/dns"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// keyTable is the table of DKIM keys with its comments.
type keyTable struct {
	file  string
	lines []string
}

const keyTableHead = `# The DKIM keys of this site; "posthouse dkim" writes this file, and tlsmgr(8)
# reads it a few seconds after a change. A line has the domain, the selector,
# the state (new: its record is being published; signing; old: kept in the DNS
# for mail that is under way), the file with the private key, and further
# domains whose mail the key signs, .example.com for subdomains.
#
# domain                 selector         state    key file
`

const dkimUsage = "posthouse dkim create DOMAIN | list | rotate DOMAIN | dns [DOMAIN] [--selector NAME] [--algorithm KIND] [--also DOMAIN ...] [--force]"

func dkimWords() []word {
	return []word{{"create", 1, 1}, {"list", 0, 0}, {"rotate", 1, 1}, {"dns", 0, 1}}
}

// dkimCommand does "posthouse dkim create|list|rotate|dns".
func (a *app) dkimCommand(args []string) error {
	flags := newFlags("dkim")
	selector := flags.String("selector", time.Now().Format("20060102"), "")
	algorithm := flags.String("algorithm", "both", "")
	also := flags.StringArray("also", nil, "")
	force := flags.Bool("force", false, "")
	if err := a.parseWords(flags, args, dkimUsage, dkimWords()); err != nil {
		return err
	}
	domain := strings.ToLower(flags.Arg(1))
	if flags.NArg() == 2 && !dkim.ValidDomain(domain) {
		return wrongUsage(dkimUsage, "dkim %s: %q is not a domain name", flags.Arg(0), domain)
	}
	t, err := a.keyTable()
	if err != nil {
		return err
	}
	switch flags.Arg(0) {
	case "create":
		return a.dkimCreate(t, domain, *selector, *algorithm, *also)
	case "rotate":
		return a.dkimRotate(t, domain, *selector, *force)
	case "list":
		return a.dkimList(t)
	}
	return a.dkimDNS(t, domain)
}

func (a *app) keyTable() (*keyTable, error) {
	cfg, _, err := a.load()
	if err != nil {
		return nil, err
	}
	var p struct {
		Table string `param:"dkim_key_table"`
	}
	if err := cfg.Fill(&p); err != nil {
		return nil, err
	}
	t := &keyTable{file: p.Table}
	text, err := os.ReadFile(t.file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		text = []byte(keyTableHead)
	case err != nil:
		return nil, err
	}
	if _, err := dkim.ParseTable(string(text)); err != nil {
		return nil, fmt.Errorf("%s: %w", t.file, err)
	}
	t.lines = strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return t, nil
}

// entries returns the keys of a domain, or all, with the numbers of their
// lines.
func (t *keyTable) entries(domain string) (list []dkim.Entry, at []int) {
	for i, line := range t.lines {
		e, err := dkim.ParseLine(line)
		if err == nil && e != nil && (domain == "" || e.Domain == domain) {
			list, at = append(list, *e), append(at, i)
		}
	}
	return list, at
}

func (t *keyTable) path(e *dkim.Entry) string {
	if filepath.IsAbs(e.File) {
		return e.File
	}
	return filepath.Join(filepath.Dir(t.file), e.File)
}

// save replaces the table.
func (t *keyTable) save() error {
	return new(safefile.FS).WriteAtomic(t.file, 0o644, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(t.lines, "\n")+"\n")
		return err
	})
}

// add makes a key and its line.
func (t *keyTable) add(e dkim.Entry, algorithm string) (dkim.Entry, error) {
	e.Selector += algorithm[:1] // r or e
	e.File = e.Domain + "/" + e.Selector + ".pem"
	all, _ := t.entries(e.Domain)
	if slices.ContainsFunc(all, func(x dkim.Entry) bool { return strings.EqualFold(x.Selector, e.Selector) }) {
		return e, fmt.Errorf("%s already has a key with the selector %s: choose another one with --selector", e.Domain, e.Selector)
	}
	if !dkim.ValidSelector(e.Selector) {
		return e, fmt.Errorf("%w: bad selector %q", errUsage, e.Selector)
	}
	key, err := dkim.Generate(algorithm)
	if err != nil {
		return e, err
	}
	text, err := dkim.EncodeKey(key)
	if err != nil {
		return e, err
	}
	if err := os.MkdirAll(filepath.Dir(t.path(&e)), 0o700); err != nil {
		return e, err
	}
	err = new(safefile.FS).WriteAtomic(t.path(&e), 0o600, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
	if err == nil {
		t.lines = append(t.lines, e.String())
	}
	return e, err
}

func algorithms(name string) ([]string, error) {
	switch name {
	case "both":
		return []string{dkim.RSA, dkim.Ed25519}, nil
	case "rsa", dkim.RSA:
		return []string{dkim.RSA}, nil
	case "ed25519", dkim.Ed25519:
		return []string{dkim.Ed25519}, nil
	}
	return nil, fmt.Errorf("%w: --algorithm %q: want rsa, ed25519 or both", errUsage, name)
}

// dkimCreate makes keys for a domain. The first ones sign at once: until the
// records are there, the signatures do no harm.
func (a *app) dkimCreate(t *keyTable, domain, selector, algorithm string, also []string) error {
	list, err := algorithms(algorithm)
	if err != nil {
		return err
	}
	for _, d := range also {
		if !dkim.ValidDomain(strings.TrimPrefix(d, ".")) {
			return fmt.Errorf("%w: --also %q: no domain", errUsage, d)
		}
	}
	e := dkim.Entry{Domain: domain, Selector: selector, State: dkim.StateSigning, Also: also}
	if have, _ := t.entries(domain); slices.ContainsFunc(have, func(x dkim.Entry) bool { return x.State == dkim.StateSigning }) {
		e.State = dkim.StateNew
	}
	for _, algorithm := range list {
		if _, err := t.add(e, algorithm); err != nil {
			return err
		}
	}
	if err := t.save(); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "; publish these records:\n")
	if err := a.dkimDNS(t, domain); err != nil {
		return err
	}
	if e.State == dkim.StateNew {
		fmt.Fprintf(a.out, "; and when they can be seen: posthouse dkim rotate %s\n", domain)
	}
	return nil
}

// dkimRotate puts new keys in the place of those that sign. Where there are no
// new ones it makes them, and leaves the change to the next call, when their
// records are published.
func (a *app) dkimRotate(t *keyTable, domain, selector string, force bool) error {
	all, at := t.entries(domain)
	if len(all) == 0 {
		return fmt.Errorf("%s has no keys: posthouse dkim create %s", domain, domain)
	}
	var kinds, also []string
	fresh := false
	for _, e := range all {
		fresh = fresh || e.State == dkim.StateNew
		if e.State == dkim.StateSigning {
			key, err := t.key(&e)
			if err != nil {
				return err
			}
			kind, _ := dkim.Describe(key)
			kinds, also = append(kinds, kind), e.Also
		}
	}
	if !fresh {
		return a.dkimPrepare(t, domain, selector, kinds, also)
	}
	if !force {
		if err := a.published(t, all); err != nil {
			return err
		}
	}
	var gone []string
	for i, e := range all {
		switch e.State {
		case dkim.StateNew:
			e.State = dkim.StateSigning
		case dkim.StateSigning:
			e.State = dkim.StateOld
		default:
			gone = append(gone, t.path(&e))
			t.lines[at[i]] = ""
			continue
		}
		t.lines[at[i]] = e.String()
	}
	t.lines = slices.DeleteFunc(t.lines, func(l string) bool { return l == "" })
	if err := t.save(); err != nil {
		return err
	}
	for _, file := range gone {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	fmt.Fprintf(a.out, "The new keys of %s sign within seconds. Leave the records of the old ones for some days.\n", domain)
	return nil
}

func (a *app) dkimPrepare(t *keyTable, domain, selector string, kinds, also []string) error {
	for _, kind := range kinds {
		if _, err := t.add(dkim.Entry{Domain: domain, Selector: selector, State: dkim.StateNew, Also: also}, kind); err != nil {
			return err
		}
	}
	if err := t.save(); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "; publish these records, and when they can be seen, again: posthouse dkim rotate %s\n", domain)
	return a.dkimDNS(t, domain)
}

// published checks that the records of new keys can be seen.
func (a *app) published(t *keyTable, all []dkim.Entry) error {
	cfg, err := dns.Load(a.configDir)
	if err != nil {
		return err
	}
	resolver := dns.New(cfg)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, e := range all {
		if e.State != dkim.StateNew {
			continue
		}
		key, err := t.key(&e)
		if err != nil {
			return err
		}
		want, err := dkim.Record(key)
		if err != nil {
			return err
		}
		name := e.Selector + "._domainkey." + e.Domain
		answer, err := resolver.Lookup(ctx, name, dns.TypeTXT)
		if err != nil {
			return fmt.Errorf("the record of a new key cannot be seen yet: %w; --force does without", err)
		}
		public := want[strings.Index(want, "p="):]
		if !slices.ContainsFunc(answer.Records, func(r dns.Record) bool { return strings.Contains(strings.ReplaceAll(r.Text, " ", ""), public) }) {
			return fmt.Errorf("the record %s has another key than %s; --force does without", name, t.path(&e))
		}
	}
	return nil
}

func (t *keyTable) key(e *dkim.Entry) (crypto.Signer, error) {
	text, err := os.ReadFile(t.path(e))
	if err != nil {
		return nil, err
	}
	key, err := dkim.DecodeKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.path(e), err)
	}
	return key, nil
}

// dkimList prints the keys.
func (a *app) dkimList(t *keyTable) error {
	all, _ := t.entries("")
	for _, e := range all {
		kind := "no key"
		if key, err := t.key(&e); err == nil {
			kind, _ = dkim.Describe(key)
		} else if !errors.Is(err, os.ErrPermission) {
			kind = err.Error()
		}
		fmt.Fprintf(a.out, "%-24s %-16s %-8s %-15s %s\n", e.Domain, e.Selector, e.State, kind, strings.Join(e.Also, " "))
	}
	return nil
}

// dkimDNS prints the records, as lines of a zone file.
func (a *app) dkimDNS(t *keyTable, domain string) error {
	all, _ := t.entries(domain)
	if len(all) == 0 && domain != "" {
		return fmt.Errorf("%s has no keys: posthouse dkim create %s", domain, domain)
	}
	for _, e := range all {
		key, err := t.key(&e)
		if err != nil {
			return err
		}
		record, err := dkim.Record(key)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.out, dkim.ZoneLine(e.Domain, e.Selector, record))
	}
	return nil
}
