package imapserver

import (
	"strings"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// notification is what NOTIFY asked for (RFC 5465).
type notification struct {
	selected map[string]bool // events of the selected mailbox
	items    *fetchRequest   // of MessageNew in the selected one
	delayed  bool            // SELECTED-DELAYED: expunges are told between commands
	groups   []eventGroup
	known    map[string]mailstore.Status // what the client was told of others
	names    map[string]bool             // folders, for MailboxName
	subs     map[string]bool
	boxes    map[string]*mailstore.Mailbox // that are watched
	missed   []string                      // changed, and not told yet
	metadata map[string]knownMetadata
}

// close ends watching.
func (n *notification) close() {
	if n == nil {
		return
	}
	for _, mb := range n.boxes {
		mb.Close()
	}
	n.boxes = nil
}

// watched returns a mailbox that is watched; nil if it cannot be.
func (n *notification) watched(c *conn, name string) *mailstore.Mailbox {
	if mb := n.boxes[name]; mb != nil {
		return mb
	}
	if len(n.boxes) >= maxWatched {
		return nil
	}
	mb, err := c.store.Mailbox(name, true)
	if err != nil {
		return nil
	}
	if n.boxes == nil {
		n.boxes = make(map[string]*mailstore.Mailbox)
	}
	n.boxes[name] = mb
	return mb
}

// eventGroup are events of some mailboxes.
type eventGroup struct {
	kind   string // PERSONAL, INBOXES, SUBSCRIBED, SUBTREE, MAILBOXES
	names  []string
	events map[string]bool
}

// supportedEvent reports events of RFC 5465 5 that there are; the others are
// told with BADEVENT.
func supportedEvent(name string) bool {
	switch name {
	case "MESSAGENEW", "MESSAGEEXPUNGE", "FLAGCHANGE", "MAILBOXNAME", "SUBSCRIPTIONCHANGE", mailboxMetadata, serverMetadata:
		return true
	}
	return false
}

// setNotify is NOTIFY.
func (c *conn) setNotify() error {
	c.dec.SP()
	n := &notification{selected: map[string]bool{}}
	status := false
	bad := ""
	switch word := c.dec.Word(); word {
	case "NONE":
		n = nil
	case "SET":
		c.dec.SP()
		if c.dec.Peek() != '(' {
			if c.dec.Word() != "STATUS" {
				c.dec.Fail("Expected STATUS or a list")
			}
			status = true
			c.dec.SP()
		}
		for {
			c.readEventGroup(n, &bad)
			if !c.dec.TrySP() {
				break
			}
		}
	default:
		c.dec.Fail("Expected SET or NONE")
	}
	if !c.dec.End() {
		return nil
	}
	if bad != "" {
		return refuse("BADEVENT (FlagChange MailboxMetadataChange MailboxName MessageExpunge MessageNew ServerMetadataChange SubscriptionChange)", "Unsupported event "+bad+".")
	}
	if n != nil {
		if err := c.startNotify(n, status); err != nil {
			return err
		}
	}
	c.notify.close()
	c.notify = n
	c.learnMetadata()
	return c.ok("Notify completed.")
}

// maxGroups bounds NOTIFY; IM8.
const maxGroups = 100

// readEventGroup reads (filter (events)).
func (c *conn) readEventGroup(n *notification, bad *string) {
	d := c.dec
	d.Special('(')
	g := eventGroup{kind: d.Word(), events: map[string]bool{}}
	d.SP()
	switch g.kind {
	case "SELECTED", "SELECTED-DELAYED", "PERSONAL", "INBOXES", "SUBSCRIBED":
	case "SUBTREE", "MAILBOXES":
		if d.Peek() == '(' {
			d.List(func() {
				g.names = append(g.names, d.Mailbox())
				if len(g.names) > maxPatterns {
					d.Fail("Too many mailboxes")
				}
			})
		} else {
			g.names = []string{d.Mailbox()}
		}
		d.SP()
	default:
		d.Fail("Unknown mailbox filter %s", g.kind)
	}
	selected := strings.HasPrefix(g.kind, "SELECTED")
	if d.Peek() == '(' {
		d.List(func() { c.readEvent(n, &g, selected, bad) })
	} else if d.Word() != "NONE" {
		d.Fail("Expected events or NONE")
	}
	d.Special(')')
	if len(n.groups) >= maxGroups {
		d.Fail("Too many event groups")
	}
	if selected {
		n.selected, n.delayed = g.events, g.kind == "SELECTED-DELAYED"
	} else {
		n.groups = append(n.groups, g)
	}
	// RFC 5465 5: these two only come together.
	if g.events["MESSAGENEW"] != g.events["MESSAGEEXPUNGE"] || g.events["FLAGCHANGE"] && !g.events["MESSAGENEW"] {
		d.Fail("MessageNew and MessageExpunge belong together, and FlagChange needs both")
	}
}

func (c *conn) readEvent(n *notification, g *eventGroup, selected bool, bad *string) {
	word := c.dec.Word()
	if !supportedEvent(word) {
		*bad = word
	}
	g.events[word] = true
	rest := c.dec.Rest()
	if selected && word == "MESSAGENEW" && strings.HasPrefix(rest, " (") {
		c.dec.SP()
		n.items = &fetchRequest{}
		c.readItems(n.items)
	}
}

// covers reports whether an event of a mailbox is to be told.
func (n *notification) covers(name, event string, subscribed bool) bool {
	for i := range n.groups {
		g := &n.groups[i]
		match := false
		switch g.kind {
		case "PERSONAL":
			match = true
		case "INBOXES":
			match = name == "INBOX"
		case "SUBSCRIBED":
			match = subscribed
		case "MAILBOXES":
			for _, m := range g.names {
				match = match || m == name
			}
		case "SUBTREE":
			for _, m := range g.names {
				match = match || m == name || strings.HasPrefix(name, m+"/")
			}
		}
		if match {
			// RFC 5465 6: the first group that matches decides.
			return g.events[event]
		}
	}
	return false
}

// startNotify learns how things are now, and tells it if asked to.
func (c *conn) startNotify(n *notification, tell bool) error {
	n.close()
	n.known, n.names, n.subs = map[string]mailstore.Status{}, map[string]bool{}, map[string]bool{}
	folders, err := c.store.List()
	if err != nil {
		return err
	}
	for _, f := range folders {
		n.names[f.Name] = true
		if f.Subscribed {
			n.subs[f.Name] = true
		}
		if f.NoSelect || !n.covers(f.Name, "MESSAGENEW", f.Subscribed) {
			continue
		}
		st, err := c.store.Status(f.Name, false)
		if err != nil {
			continue
		}
		n.known[f.Name] = st
		if tell && (c.mb == nil || c.mb.Name() != f.Name) {
			c.tellNotifyStatus(f.Name, &st, true)
		}
	}
	return nil
}

// tellNotifyStatus sends STATUS of a mailbox that changed, or first of how it
// is (RFC 5465 3.1).
func (c *conn) tellNotifyStatus(name string, st *mailstore.Status, first bool) {
	c.enc.Raw("* STATUS ").Mailbox(name)
	c.enc.Raw(" (MESSAGES ").Number(uint64(st.Messages)).Raw(" UIDNEXT ").Number(uint64(st.UIDNext)).
		Raw(" UIDVALIDITY ").Number(uint64(st.UIDValidity)).Raw(" UNSEEN ").Number(uint64(st.Unseen))
	if first || c.condstore { // RFC 5465 3.1 and 5.2
		c.enc.Raw(" HIGHESTMODSEQ ").Number(st.HighestModSeq)
	}
	c.enc.Byte(')').CRLF()
}

// waitNotify waits for a command and tells of events meanwhile.
func (c *conn) waitNotify() error {
	if err := c.sync(c.notify.delayed); err != nil {
		return err
	}
	missed := c.notify.missed
	c.notify.missed = nil
	for _, name := range missed {
		if err := c.tellOther(name); err != nil {
			return err
		}
	}
	if err := c.enc.Flush(); err != nil {
		return err
	}
	return c.waitChanges(false)
}

// watchOthers watches the mailboxes that NOTIFY is about, but for the selected
// one. The channel gives their names; "" is about the list of folders.
func (c *conn) watchOthers() (<-chan string, func()) {
	n := c.notify
	if n == nil || len(n.groups) == 0 {
		return nil, func() {}
	}
	out := make(chan string)
	end := make(chan struct{})
	missed := make(chan string, len(n.known)+1)
	var running sync.WaitGroup
	watch := func(changes <-chan struct{}, name string) {
		running.Add(1)
		go func() {
			defer running.Done()
			if relay(changes, name, out, end) {
				missed <- name
			}
		}()
	}
	for name := range n.known {
		if c.mb != nil && c.mb.Name() == name {
			continue
		}
		if mb := n.watched(c, name); mb != nil {
			watch(mb.Watch(), name)
		}
	}
	go n.watchFolders(out, end)
	return out, func() {
		close(end)
		running.Wait()
		close(missed)
		for name := range missed {
			n.missed = append(n.missed, name)
		}
	}
}

// maxWatched bounds the mailboxes that one session watches.
const maxWatched = 1000

// relay passes on that something changed, until end is closed. It returns
// whether a change was left then.
func relay(changes <-chan struct{}, name string, out chan<- string, end <-chan struct{}) bool {
	for {
		select {
		case <-changes:
		case <-end:
			return false
		}
		select {
		case out <- name:
		case <-end:
			return true
		}
	}
}

// tellOther tells of a change of a mailbox that is not selected.
func (c *conn) tellOther(name string) error {
	if name == "" {
		return c.tellFolders()
	}
	st, err := c.store.Status(name, false)
	if err != nil {
		if isStoreError(err) {
			return nil
		}
		return err
	}
	n := c.notify
	old, subscribed := n.known[name], n.subs[name]
	n.known[name] = st
	news := st.Messages != old.Messages || st.UIDNext != old.UIDNext
	flags := st.HighestModSeq != old.HighestModSeq
	if news && n.covers(name, "MESSAGENEW", subscribed) || flags && n.covers(name, "FLAGCHANGE", subscribed) {
		c.tellNotifyStatus(name, &st, false)
	}
	return nil
}

// tellFolders tells of folders that came, went, or were subscribed to (RFC
// 5465 5.4, 5.5).
func (c *conn) tellFolders() error {
	n := c.notify
	folders, err := c.store.List()
	if err != nil {
		if isStoreError(err) {
			return nil
		}
		return err
	}
	seen := map[string]bool{}
	for _, f := range folders {
		seen[f.Name] = true
		isNew := !n.names[f.Name]
		subs := f.Subscribed != n.subs[f.Name]
		n.names[f.Name] = true
		n.subs[f.Name] = f.Subscribed
		if isNew && n.covers(f.Name, "MAILBOXNAME", f.Subscribed) || subs && n.covers(f.Name, "SUBSCRIPTIONCHANGE", true) {
			c.listLine(&listing{reply: "LIST", retSubscribed: true}, &entry{FolderInfo: f})
		}
		if isNew && !f.NoSelect && n.covers(f.Name, "MESSAGENEW", f.Subscribed) {
			if st, err := c.store.Status(f.Name, false); err == nil {
				n.known[f.Name] = st
			}
		}
	}
	for name := range n.names {
		if !seen[name] {
			if n.covers(name, "MAILBOXNAME", n.subs[name]) {
				c.listLine(&listing{reply: "LIST"}, &entry{FolderInfo: mailstore.FolderInfo{Name: name}, missing: true})
			}
			delete(n.names, name)
			delete(n.known, name)
			if mb := n.boxes[name]; mb != nil {
				mb.Close()
				delete(n.boxes, name)
			}
		}
	}
	c.tellMetadataChanges(folders)
	return nil
}

// changedFolders is called after a command of this session changed the list of
// folders: its own client needs no telling.
func (c *conn) changedFolders() {
	if c.notify != nil {
		c.startNotify(c.notify, false)
	}
}

// foldersEvery is how often the list of folders is looked at.
const foldersEvery = time.Second

// watchFolders has the list of folders looked at while somebody wants to know
// of changes.
func (n *notification) watchFolders(out chan<- string, end <-chan struct{}) {
	wanted := false
	for i := range n.groups {
		e := n.groups[i].events
		wanted = wanted || e["MAILBOXNAME"] || e["SUBSCRIPTIONCHANGE"] || e[mailboxMetadata] || e[serverMetadata]
	}
	if !wanted {
		return
	}
	tick := time.NewTicker(foldersEvery)
	defer tick.Stop()
	relayTicks(tick.C, out, end)
}

func relayTicks(tick <-chan time.Time, out chan<- string, end <-chan struct{}) {
	for {
		select {
		case <-tick:
		case <-end:
			return
		}
		select {
		case out <- "":
		case <-end:
			return
		}
	}
}
