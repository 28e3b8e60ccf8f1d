package imapserver

import (
	"fmt"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
)

// command is a row of the table.
type command struct {
	do       func(*conn) error
	selected bool // only with a mailbox selected
	numbers  bool // uses message numbers: not with UIDONLY (RFC 9586 3)
}

// lookup is the table of commands.
func lookup(name string) (command, bool) {
	switch name {
	// Any state (RFC 9051 6.1).
	case "CAPABILITY":
		return command{do: (*conn).capability}, true
	case "NOOP":
		return command{do: (*conn).noop}, true
	case "LOGOUT":
		return command{do: (*conn).logout}, true
	case "ID":
		return command{do: (*conn).id}, true
	// Authenticated (RFC 9051 6.3).
	case "ENABLE":
		return command{do: (*conn).enable}, true
	case "SELECT", "EXAMINE":
		return command{do: (*conn).selectMailbox}, true
	case "CREATE":
		return command{do: (*conn).create}, true
	case "DELETE":
		return command{do: (*conn).delete}, true
	case "RENAME":
		return command{do: (*conn).rename}, true
	case "SUBSCRIBE", "UNSUBSCRIBE":
		return command{do: (*conn).subscribe}, true
	case "LIST", "LSUB", "XLIST":
		return command{do: (*conn).list}, true
	case "NAMESPACE":
		return command{do: (*conn).namespace}, true
	case "STATUS":
		return command{do: (*conn).status}, true
	case "APPEND":
		return command{do: (*conn).append}, true
	case "IDLE":
		return command{do: (*conn).idle}, true
	case "NOTIFY":
		return command{do: (*conn).setNotify}, true
	case "COMPRESS":
		return command{do: (*conn).compress}, true
	case "UNAUTHENTICATE":
		return command{do: (*conn).unauthenticate}, true
	case "LANGUAGE", "COMPARATOR":
		return command{do: (*conn).comparator}, name == "COMPARATOR"
	case "ESEARCH":
		return command{do: (*conn).multiSearch}, true
	case "CANCELUPDATE":
		return command{do: (*conn).cancelUpdate}, true
	}
	if cmd, ok := lookupSelected(name); ok {
		return cmd, true
	}
	return lookupOther(name)
}

// lookupSelected has the commands of the selected state (RFC 9051 6.4).
func lookupSelected(name string) (command, bool) {
	switch name {
	case "CLOSE", "UNSELECT":
		return command{do: (*conn).closeSelected, selected: true}, true
	case "CHECK":
		return command{do: (*conn).noop, selected: true}, true
	case "EXPUNGE", "UID EXPUNGE":
		return command{do: (*conn).expunge, selected: true}, true
	case "SEARCH", "UID SEARCH":
		return command{do: (*conn).search, selected: true, numbers: name == "SEARCH"}, true
	case "SORT", "UID SORT":
		return command{do: (*conn).sort, selected: true, numbers: name == "SORT"}, true
	case "THREAD", "UID THREAD":
		return command{do: (*conn).thread, selected: true, numbers: name == "THREAD"}, true
	case "FETCH", "UID FETCH":
		return command{do: (*conn).fetch, selected: true, numbers: name == "FETCH"}, true
	case "STORE", "UID STORE":
		return command{do: (*conn).storeFlags, selected: true, numbers: name == "STORE"}, true
	case "COPY", "UID COPY", "MOVE", "UID MOVE":
		return command{do: (*conn).copy, selected: true, numbers: name == "COPY" || name == "MOVE"}, true
	case "REPLACE", "UID REPLACE":
		return command{do: (*conn).replace, selected: true, numbers: name == "REPLACE"}, true
	}
	return command{}, false
}

// lookupOther has quota, access lists and metadata.
func lookupOther(name string) (command, bool) {
	switch name {
	case "GETQUOTA":
		return command{do: (*conn).getQuota}, true
	case "GETQUOTAROOT":
		return command{do: (*conn).getQuotaRoot}, true
	case "SETQUOTA":
		return command{do: (*conn).setQuota}, true
	case "GETACL":
		return command{do: (*conn).getACL}, true
	case "SETACL":
		return command{do: (*conn).setACL}, true
	case "DELETEACL":
		return command{do: (*conn).deleteACL}, true
	case "LISTRIGHTS":
		return command{do: (*conn).listRights}, true
	case "MYRIGHTS":
		return command{do: (*conn).myRights}, true
	case "GETMETADATA":
		return command{do: (*conn).getMetadata}, true
	case "SETMETADATA":
		return command{do: (*conn).setMetadata}, true
	}
	return command{}, false
}

// dispatch reads the rest of a command's name and does it.
func (c *conn) dispatch() error {
	c.since = time.Now()
	if c.name == "UID" {
		c.dec.SP()
		c.name = "UID " + c.dec.Word()
		if err := c.dec.Err(); err != nil {
			return err
		}
	}
	cmd, ok := lookup(c.name)
	switch {
	case !ok && (c.name == "LOGIN" || c.name == "AUTHENTICATE" || c.name == "STARTTLS"):
		return badArgs("Already logged in.")
	case !ok:
		return badArgs(fmt.Sprintf("Unknown command %s.", strings.ToUpper(c.name)))
	case cmd.selected && c.mb == nil:
		return badArgs("No mailbox selected.")
	case cmd.numbers && c.uidOnly:
		return &imapwire.SyntaxError{Text: "[UIDREQUIRED] Message numbers are not allowed once UIDONLY is enabled."}
	}
	return cmd.do(c)
}

// isUID reports whether the command works with UIDs.
func (c *conn) isUID() bool { return strings.HasPrefix(c.name, "UID ") }

// title is the command's name for the tagged OK.
func (c *conn) title() string {
	base := strings.TrimPrefix(c.name, "UID ")
	return base[:1] + strings.ToLower(base[1:])
}
