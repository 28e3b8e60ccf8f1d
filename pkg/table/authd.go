package table

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
)

// authdTable asks authd about users, so that the parameters of Postfix that
// list users and addresses work with the user database as it is at the moment.
//
//	authd:mailbox    the Maildir of the user who gets the mail for an address
//	authd:uid        whose it is
//	authd:gid
//	authd:home
//	authd:quota      in the form of Maildir++; users without one are not found
//	authd:full       "yes" for an address whose mailbox is over its quota, "no" for
//	                 that of another user
//	authd:recipient  the login of the user, or the addresses of an alias
//	authd:alias      what an address that is no login stands for: the addresses
//	                 of an alias, or the login of the user
//	authd:login      the login that may use an address as sender
type authdTable struct {
	use    string
	client *authclient.Client
}

func authdUses() []string {
	return []string{"alias", "full", "gid", "home", "login", "mailbox", "quota", "recipient", "uid"}
}

// NamesAuthd tells whether a list of tables has one of authd.
func NamesAuthd(specs []string) bool {
	_, found := WithoutAuthd(specs)
	return found
}

// WithoutAuthd takes the tables of authd out of a list.
func WithoutAuthd(specs []string) (others []string, found bool) {
	for _, s := range specs {
		items, err := SplitList(s)
		if err != nil {
			return specs, found // to be told by OpenMaps
		}
		for _, spec := range items {
			bare := spec
			for strings.HasPrefix(bare, "proxy:") {
				bare = strings.TrimPrefix(bare, "proxy:")
			}
			if strings.HasPrefix(bare, "authd:") {
				found = true
			} else {
				others = append(others, spec)
			}
		}
	}
	return others, found
}

// openAuthd connects nobody: authd may not be up yet.
func openAuthd(use string, o *Options) (Table, error) {
	if !slices.Contains(authdUses(), use) {
		return nil, fmt.Errorf("authd:%s: expected one of %s", use, strings.Join(authdUses(), ", "))
	}
	path := o.Authd
	if path == "" {
		path = authclient.Endpoint
	}
	t := &authdTable{use: use, client: authclient.New(path)}
	if o.Sensitive {
		// User ids come from it: not from whoever got hold of the socket's name.
		t.client.RequireMaster()
	}
	return t, nil
}

func (t *authdTable) Lookup(ctx context.Context, key string) (string, bool, error) {
	// authd finds the catch-all of a domain by itself. A domain alone is asked
	// for where virtual_alias_domains or virtual_mailbox_domains are not set.
	at := strings.IndexByte(key, '@')
	if at == 0 || at < 0 && (t.use == "alias" || t.use == "mailbox") {
		return "", false, nil
	}
	r, err := t.client.Recipient(ctx, key)
	if errors.Is(err, authclient.ErrUnknown) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("authd:%s: %w", t.use, err)
	}
	value := t.value(key, r)
	return value, value != "", nil
}

func (t *authdTable) value(key string, r *authclient.Recipient) string {
	if r.User == nil {
		if t.use == "alias" || t.use == "recipient" {
			return strings.Join(r.Targets, ", ")
		}
		return ""
	}
	switch t.use {
	case "mailbox":
		if r.User.MailDir == "" {
			return ""
		}
		return strings.TrimRight(r.User.MailDir, "/") + "/"
	case "uid":
		return idValue(r.User.UID)
	case "gid":
		return idValue(r.User.GID)
	case "home":
		return r.User.Home
	case "quota":
		return r.User.Quota
	case "full":
		if r.OverQuota {
			return "yes"
		}
		return "no"
	case "recipient", "login":
		return r.User.Login
	case "alias":
		return otherLogin(key, r.User)
	}
	return ""
}

// idValue never gives root's id.
func idValue(id int) string {
	if id <= 0 {
		return ""
	}
	return strconv.Itoa(id)
}

// otherLogin returns the login that an address is an alias of. An address that
// is a login or an alias with an extension is left alone: it is looked up
// without the extension next, which is then kept.
func otherLogin(key string, u *authclient.User) string {
	key = Fold(key)
	login := Fold(u.Login)
	at := strings.LastIndexByte(key, '@')
	if at < 0 || !strings.Contains(login, "@") || key == login {
		return ""
	}
	if slices.ContainsFunc(u.Aliases, func(alias string) bool { return Fold(alias) == key }) {
		return u.Login
	}
	local, domain := key[:at], key[at:]
	for _, name := range append([]string{login}, u.Aliases...) {
		name = Fold(name)
		base, ok := strings.CutSuffix(name, domain)
		if rest, found := strings.CutPrefix(local, base); ok && base != "" && found && !isWordByte(rest[0]) {
			return ""
		}
	}
	return u.Login
}

// isWordByte tells a byte that is no delimiter of an address extension.
func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c >= 0x80
}

// Close closes the connections that nobody uses.
func (t *authdTable) Close() error {
	t.client.Close()
	return nil
}
