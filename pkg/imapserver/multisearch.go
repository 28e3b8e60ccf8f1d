package imapserver

import (
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// maxSources bounds the mailboxes of one search.
const maxSources = 10000

// source is where a search in several mailboxes looks (RFC 7377 2.2).
type source struct {
	kind  string
	names []string
}

// multiSearch is ESEARCH.
func (c *conn) multiSearch() error {
	var sources []source
	c.dec.SP()
	if rest := c.dec.Rest(); len(rest) > 3 && equalFold(rest[:3], "IN ") {
		c.dec.Word()
		c.dec.SP()
		sources = c.readSources()
		c.dec.SP()
	}
	o := returnOptions{given: true, all: true}
	r := &searchReader{c: c}
	k := c.readSearch(&o, r)
	r.checkScored(o.relevancy)
	if !c.dec.End() {
		return nil
	}
	o.given = true
	if o.save || o.update || o.context {
		return badArgs("SAVE, UPDATE and CONTEXT are not for a search in several mailboxes.")
	}
	if r.charset != "" && !knownCharset(r.charset) {
		return refuse("BADCHARSET (US-ASCII UTF-8)", "Unknown charset.")
	}
	o.tag, o.uid, o.modseq = c.tag, true, r.modseq
	if sources == nil {
		sources = []source{{kind: "SELECTED"}}
	}
	names, err := c.sourceNames(sources)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := c.searchOne(name, k, o); err != nil {
			return err
		}
	}
	return c.ok("Esearch completed.")
}

// readSources reads (personal mailboxes (a b) ...).
func (c *conn) readSources() []source {
	var out []source
	d := c.dec
	d.List(func() {
		s := source{kind: d.Word()}
		switch s.kind {
		case "SELECTED", "INBOXES", "PERSONAL", "SUBSCRIBED":
		case "SUBTREE", "SUBTREE-ONE", "MAILBOXES":
			d.SP()
			if d.Peek() == '(' {
				d.List(func() { s.names = append(s.names, d.Mailbox()) })
			} else {
				s.names = []string{d.Mailbox()}
			}
		default:
			d.Fail("Unknown mailbox filter %s", s.kind)
		}
		out = append(out, s)
		if len(out) > maxGroups || len(s.names) > maxSources {
			d.Fail("Too many sources")
		}
	})
	return out
}

// sourceNames returns the mailboxes that sources mean, each once.
func (c *conn) sourceNames(sources []source) ([]string, error) {
	folders, err := c.store.List()
	if err != nil {
		return nil, err
	}
	var out []string
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] && len(out) < maxSources {
			seen[name] = true
			out = append(out, name)
		}
	}
	for _, s := range sources {
		if s.kind == "SELECTED" {
			if c.mb == nil {
				return nil, badArgs("No mailbox selected.")
			}
			add(c.mb.Name())
			continue
		}
		for _, f := range folders {
			if !f.NoSelect && s.covers(&f) {
				add(f.Name)
			}
		}
	}
	return out, nil
}

func (s *source) covers(f *mailstore.FolderInfo) bool {
	switch s.kind {
	case "PERSONAL":
		return true
	case "INBOXES":
		return f.Name == "INBOX"
	case "SUBSCRIBED":
		return f.Subscribed
	}
	for _, name := range s.names {
		below, ok := strings.CutPrefix(f.Name, name+"/")
		switch {
		case f.Name == name:
			return true
		case s.kind == "SUBTREE" && ok, s.kind == "SUBTREE-ONE" && ok && !strings.Contains(below, "/"):
			return true
		}
	}
	return false
}

// searchOne searches one mailbox and tells what was found. One that cannot be
// read is left out (RFC 7377 2.1).
func (c *conn) searchOne(name string, k *key, o returnOptions) error {
	if c.mb == nil || c.mb.Name() != name {
		mb, err := c.store.Mailbox(name, true)
		if err != nil {
			if isStoreError(err) {
				return nil
			}
			return err
		}
		defer mb.Close()
		before, tree := c.mb, c.lastTree
		c.mb = &selected{Mailbox: mb}
		defer func() { c.mb, c.lastTree = before, tree }()
	}
	found, err := c.find(k)
	if err != nil || len(found) == 0 {
		return err
	}
	o.mailbox, o.validity = name, c.mb.UIDValidity()
	c.tellESearch(&o, found, found)
	return nil
}
