package imapserver

import (
	"maps"
	"slices"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// Events of annotations (RFC 5465 5.6, 5.7), which a server with METADATA has
// to have.
const (
	mailboxMetadata = "MAILBOXMETADATACHANGE"
	serverMetadata  = "SERVERMETADATACHANGE"
)

// knownMetadata is what a client was told of the annotations of a mailbox; ""
// is the server.
type knownMetadata struct {
	stamp  string
	values map[string]string
}

// wantsMetadata reports whether the annotations of a mailbox, or of the server,
// are to be told of.
func (n *notification) wantsMetadata(name string, subscribed bool) bool {
	if name != "" {
		return n.covers(name, mailboxMetadata, subscribed)
	}
	return slices.ContainsFunc(n.groups, func(g eventGroup) bool { return g.events[serverMetadata] })
}

// tellMetadataChanges tells which annotations changed since it looked last. The
// first time it only learns how they are.
func (c *conn) tellMetadataChanges(folders []mailstore.FolderInfo) {
	n := c.notify
	quiet := n.metadata == nil
	if quiet {
		n.metadata = make(map[string]knownMetadata)
	}
	look := func(name string, subscribed bool) {
		if !n.wantsMetadata(name, subscribed) {
			return
		}
		stamp, err := c.store.MetadataStamp(name)
		old, known := n.metadata[name]
		if err != nil || known && old.stamp == stamp {
			return
		}
		list, err := c.store.Metadata(name)
		if err != nil {
			return // the client may not see them
		}
		now := knownMetadata{stamp, make(map[string]string)}
		for _, a := range list {
			now.values[a.Name] = string(a.Value)
		}
		n.metadata[name] = now
		if changed := changedKeys(old.values, now.values); !quiet && len(changed) > 0 {
			// RFC 5464 4.4.2: the names only.
			c.enc.Raw("* METADATA ").Mailbox(name)
			for _, entry := range changed {
				c.enc.SP().AString(entry)
			}
			c.enc.CRLF()
		}
	}
	look("", false)
	seen := make(map[string]bool)
	for _, f := range folders {
		seen[f.Name] = true
		look(f.Name, f.Subscribed)
	}
	maps.DeleteFunc(n.metadata, func(name string, _ knownMetadata) bool { return name != "" && !seen[name] })
}

// changedKeys returns, in order, where two maps differ.
func changedKeys(old, now map[string]string) (out []string) {
	for k, v := range now {
		if before, ok := old[k]; !ok || before != v {
			out = append(out, k)
		}
	}
	for k := range old {
		if _, ok := now[k]; !ok {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// learnMetadata learns how annotations are when NOTIFY begins.
func (c *conn) learnMetadata() {
	if c.notify == nil || len(c.notify.groups) == 0 {
		return
	}
	if folders, err := c.store.List(); err == nil {
		c.tellMetadataChanges(folders)
	}
}

// changedMetadata is called after this session has set annotations: its own
// client needs no telling.
func (c *conn) changedMetadata(name string, list []mailstore.Annotation) {
	if c.notify == nil {
		return
	}
	known, ok := c.notify.metadata[name]
	if !ok {
		return
	}
	for _, a := range list {
		if a.Value == nil {
			delete(known.values, a.Name)
		} else {
			known.values[a.Name] = string(a.Value)
		}
	}
}
