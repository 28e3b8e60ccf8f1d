package imapserver

import (
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// Limits of LIST.
const (
	maxPatterns = 100
	maxPattern  = 1024
)

// listing is a LIST that was read (RFC 9051 6.3.9).
type listing struct {
	reply    string // LIST, LSUB or XLIST
	patterns []string
	extended bool

	// Selection options.
	subscribed, special, remote, recursive bool
	// Return options.
	retSubscribed, retChildren, retSpecial, retRights bool
	status                                            *statusItems
	metadata                                          []string
}

// list is LIST, LSUB and XLIST.
func (c *conn) list() error {
	l := &listing{reply: c.name}
	c.dec.SP()
	if c.name == "LIST" && c.dec.Peek() == '(' {
		l.extended = true
		c.dec.List(func() { c.readListSelect(l) })
		c.dec.SP()
	}
	reference := c.dec.ListMailbox()
	c.dec.SP()
	if c.name == "LIST" && c.dec.Peek() == '(' {
		l.extended = true
		c.dec.List(func() {
			l.patterns = append(l.patterns, c.dec.ListMailbox())
			if len(l.patterns) > maxPatterns {
				c.dec.Fail("Too many patterns")
			}
		})
	} else {
		l.patterns = []string{c.dec.ListMailbox()}
	}
	if c.name == "LIST" && c.dec.TrySP() {
		if word := c.dec.Word(); word != "RETURN" {
			c.dec.Fail("Unexpected %s", word)
		}
		l.extended = true
		c.dec.SP()
		c.dec.List(func() { c.readListReturn(l) })
	}
	if !c.dec.End() {
		return nil
	}
	if l.recursive && !l.subscribed {
		return badArgs("RECURSIVEMATCH needs SUBSCRIBED.")
	}
	if !l.extended && l.patterns[0] == "" && c.name != "LSUB" {
		// RFC 9051 6.3.9: the separator and the root.
		c.enc.Line(`* %s (\Noselect) "/" ""`, l.reply)
		return c.ok("%s completed.", c.title())
	}
	if err := c.decodePatterns(l, reference); err != nil {
		return err
	}
	if err := c.doList(l); err != nil {
		return err
	}
	return c.ok("%s completed.", c.title())
}

func (c *conn) readListSelect(l *listing) {
	switch word := c.dec.Word(); word {
	case "SUBSCRIBED":
		l.subscribed, l.retSubscribed = true, true
	case "SPECIAL-USE":
		l.special, l.retSpecial = true, true
	case "REMOTE":
		l.remote = true
	case "RECURSIVEMATCH":
		l.recursive = true
	default:
		c.dec.Fail("Unknown selection option %s", word)
	}
}

func (c *conn) readListReturn(l *listing) {
	switch word := c.dec.Word(); word {
	case "SUBSCRIBED":
		l.retSubscribed = true
	case "CHILDREN":
		l.retChildren = true
	case "SPECIAL-USE":
		l.retSpecial = true
	case "MYRIGHTS":
		l.retRights = true
	case "STATUS":
		c.dec.SP()
		items := c.readStatusItems()
		l.status = &items
	case "METADATA":
		c.dec.SP()
		c.dec.List(func() { l.metadata = append(l.metadata, c.dec.AString()) })
	default:
		c.dec.Fail("Unknown return option %s", word)
	}
}

// decodePatterns puts the reference in front and makes UTF-8 of the patterns.
func (c *conn) decodePatterns(l *listing, reference string) error {
	for i, p := range l.patterns {
		p, ok := c.dec.DecodeMailbox(reference + p)
		if !ok || len(p) > maxPattern {
			return badArgs("Invalid mailbox pattern")
		}
		l.patterns[i] = p
	}
	return nil
}

// match reports whether a name matches one of the patterns.
func (l *listing) match(name string) bool {
	for _, p := range l.patterns {
		if matchPattern(p, name) {
			return true
		}
	}
	return false
}

// matchPattern matches '*' with anything and '%' with all but '/'. It takes
// time in proportion to both lengths, whatever they contain: where a wild card
// can end is kept as a set.
func matchPattern(pattern, name string) bool {
	// at[i]: the pattern so far can match name[:i].
	at := make([]bool, len(name)+1)
	at[0] = true
	for i := 0; i < len(pattern); i++ {
		ch := pattern[i]
		if ch == '*' || ch == '%' {
			reach := false
			for j := range at {
				if j > 0 && ch == '%' && name[j-1] == '/' {
					reach = false
				}
				reach = reach || at[j]
				at[j] = reach
			}
			continue
		}
		for j := len(name); j > 0; j-- {
			at[j] = at[j-1] && name[j-1] == ch
		}
		at[0] = false
	}
	return at[len(name)]
}

// entry is a line of LIST.
type entry struct {
	mailstore.FolderInfo
	missing   bool // subscribed, and not there
	childInfo bool // RFC 5258 4
	noInfer   bool
}

// doList sends the lines.
func (c *conn) doList(l *listing) error {
	folders, err := c.store.List()
	if err != nil {
		return err
	}
	entries, err := c.candidates(l, folders)
	if err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		c.listLine(l, e)
		if c.enc.Err() != nil {
			return nil
		}
		if e.NoSelect || e.missing {
			continue
		}
		if err := c.listMore(l, e); err != nil {
			return err
		}
	}
	return nil
}

// listMore sends what was asked for beside a line: STATUS (RFC 5819),
// MYRIGHTS (RFC 8440) and METADATA (RFC 9590).
func (c *conn) listMore(l *listing, e *entry) error {
	if l.retRights {
		c.tellRights(e.Name)
	}
	if l.status != nil {
		if err := c.tellStatus(e.Name, *l.status); err != nil && !isStoreError(err) {
			return err
		}
	}
	if len(l.metadata) > 0 {
		if err := c.tellMetadata(e.Name, l.metadata, metadataOptions{}); err != nil && !isStoreError(err) {
			return err
		}
	}
	return nil
}

// candidates returns what is listed.
func (c *conn) candidates(l *listing, folders []mailstore.FolderInfo) ([]entry, error) {
	var out []entry
	if !l.subscribed && l.reply != "LSUB" {
		for _, f := range folders {
			if l.match(f.Name) && (!l.special || len(f.SpecialUse) > 0) {
				out = append(out, entry{FolderInfo: f})
			}
		}
		return out, nil
	}
	names, err := c.store.Subscriptions()
	if err != nil {
		return nil, err
	}
	byName := make(map[string]mailstore.FolderInfo, len(folders))
	for _, f := range folders {
		byName[f.Name] = f
	}
	slices.Sort(names)
	seen := make(map[string]int)
	for _, name := range names {
		f, there := byName[name]
		if !there {
			f = mailstore.FolderInfo{Name: name, Subscribed: true}
		}
		f.Subscribed = true
		if l.match(name) && (!l.special || len(f.SpecialUse) > 0) {
			if i, ok := seen[name]; ok {
				child := out[i].childInfo
				out[i] = entry{FolderInfo: f, missing: !there, childInfo: child}
				continue
			}
			seen[name] = len(out)
			out = append(out, entry{FolderInfo: f, missing: !there})
		}
		if l.reply == "LSUB" || l.recursive {
			out = l.parents(out, seen, byName, name)
		}
	}
	return out, nil
}

// parents adds the levels above a subscribed name that match although the name
// itself is further down (RFC 9051 6.3.9.7, RFC 3501 6.3.9).
func (l *listing) parents(out []entry, seen map[string]int, byName map[string]mailstore.FolderInfo, name string) []entry {
	below := l.match(name)
	for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
		parent := name[:i]
		if !l.match(parent) {
			continue
		}
		if l.reply == "LSUB" && below {
			continue // shown itself
		}
		if k, ok := seen[parent]; ok {
			out[k].childInfo = true
			continue
		}
		f, there := byName[parent]
		if !there {
			f = mailstore.FolderInfo{Name: parent}
		}
		f.Subscribed = false
		seen[parent] = len(out)
		out = append(out, entry{FolderInfo: f, missing: !there, childInfo: true, noInfer: true})
	}
	return out
}

// listLine sends one line.
func (c *conn) listLine(l *listing, e *entry) {
	c.enc.Raw("* ").Raw(l.reply).Raw(" (")
	first := true
	attr := func(s string) {
		if !first {
			c.enc.SP()
		}
		first = false
		c.enc.Raw(s)
	}
	switch {
	case l.reply == "LSUB":
		if e.noInfer || e.missing {
			attr(`\Noselect`)
		}
	case e.missing, e.NoSelect && (l.extended || c.rev2): // RFC 5258 3, RFC 9051 6.3.9.5
		attr(`\NonExistent`)
	case e.NoSelect:
		attr(`\Noselect`)
	}
	if l.reply != "LSUB" {
		if e.Children {
			attr(`\HasChildren`)
		} else {
			attr(`\HasNoChildren`)
		}
		if l.retSubscribed && e.Subscribed {
			attr(`\Subscribed`)
		}
		for _, use := range e.SpecialUse {
			attr(`\` + use)
		}
	}
	if l.reply == "XLIST" && e.Name == "INBOX" {
		attr(`\Inbox`)
	}
	c.enc.Raw(`) "/" `).Mailbox(e.Name)
	if l.recursive && e.childInfo {
		c.enc.Raw(` ("CHILDINFO" ("SUBSCRIBED"))`)
	}
	c.enc.CRLF()
}
