package userdb

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Record is one user.
type Record struct {
	Login    string            // "you@example.com", or a plain account name
	Aliases  []string          // other logins of the same user; "@domain" is a catch-all
	UID, GID int               // -1 when the record has none
	Home     string            // absolute
	MailDir  string            // absolute path of the Maildir; "" = $home/Maildir
	Name     string            // display name
	Quota    string            // Maildir++ form "1000000S,1000C"; "" = none
	Hashes   map[string]string // field name to hash: "systempw", "imappw", "hmac-md5pw"
	Disabled []string          // services that are off: imap pop3 smtp submission sieve
	Networks []netip.Prefix    // allowed source networks; empty = any
	SendAs   []string          // addresses, or "@domain", beyond the login itself
	Limits   Limits            // what the user may send
	Held     bool              // the account may not send
	Options  map[string]string // the items of Courier's options field that are not a disabled service
	Fields   map[string]string // fields that this package does not know: shell and others
}

// Limits bound what a user may send. Zero is no limit of the user's own.
type Limits struct {
	MessagesHour   int
	MessagesDay    int
	RecipientsHour int
	RecipientsDay  int
	Connections    int
}

// Maildir returns the Maildir of the user, and "" for one without a home.
func (r *Record) Maildir() string {
	if r.MailDir != "" || r.Home == "" {
		return r.MailDir
	}
	return strings.TrimRight(r.Home, "/") + "/Maildir"
}

// serviceNames are the prefixes of the password field of a service, best
// first: Courier says esmtp where others say smtp.
func serviceNames(service string) []string {
	switch service {
	case "submission", "submissions":
		return []string{"submission", "smtp", "esmtp"}
	case "smtp", "smtpd", "esmtp":
		return []string{"smtp", "esmtp"}
	}
	return []string{service}
}

// Password returns the stored password for a service: that of the service,
// or else the one for all.
func (r *Record) Password(service string) (stored string, ok bool) {
	return r.Hash(service, "pw")
}

// Hash returns the stored secret of a kind for a service: kind is "pw",
// "hmac-md5pw" or the like, and the field imap-hmac-md5pw goes before
// hmac-md5pw, as imappw goes before systempw.
func (r *Record) Hash(service, kind string) (stored string, ok bool) {
	dash, common := "-", kind
	if kind == "pw" {
		dash, common = "", "systempw"
	}
	for _, name := range serviceNames(service) {
		if s, ok := r.Hashes[name+dash+kind]; ok && name != "" {
			return s, true
		}
	}
	stored, ok = r.Hashes[common]
	return stored, ok
}

// IsDisabled tells whether a service is off for the user.
func (r *Record) IsDisabled(service string) bool {
	for _, name := range serviceNames(service) {
		if slices.Contains(r.Disabled, name) {
			return true
		}
	}
	return false
}

// MayConnectFrom tells whether the user may log in from an address.
func (r *Record) MayConnectFrom(ip netip.Addr) bool {
	if len(r.Networks) == 0 {
		return true
	}
	ip = ip.Unmap()
	for _, n := range r.Networks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// Clone returns a deep copy.
func (r *Record) Clone() *Record {
	c := *r
	c.Aliases = slices.Clone(r.Aliases)
	c.Disabled = slices.Clone(r.Disabled)
	c.Networks = slices.Clone(r.Networks)
	c.SendAs = slices.Clone(r.SendAs)
	c.Hashes = maps.Clone(r.Hashes)
	c.Options = maps.Clone(r.Options)
	c.Fields = maps.Clone(r.Fields)
	return &c
}

// WithoutHashes returns a copy for those that must not see them.
func (r *Record) WithoutHashes() *Record {
	c := r.Clone()
	c.Hashes = nil
	return c
}
