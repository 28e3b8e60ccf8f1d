package imapserver

import (
	"errors"
	"syscall"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// refusal is a NO: a response code and a text for the client's human.
type refusal struct{ code, text string }

// Error implements error.
func (r *refusal) Error() string { return r.text }

func refuse(code, text string) error { return &refusal{code, text} }

// badArgs is a BAD for a command whose form is right but not its sense.
func badArgs(text string) error { return &imapwire.SyntaxError{Text: text} }

// errReturned ends a session that gives its connection back.
var errReturned = errors.New("unauthenticated")

// storeErrors are what callers are told for each error of the store (RFC 9051
// 7.1, RFC 5530).
func storeErrors() []struct {
	err        error
	code, text string
} {
	return []struct {
		err        error
		code, text string
	}{
		{mailstore.ErrNoMailbox, "NONEXISTENT", "Mailbox doesn't exist."},
		{mailstore.ErrExists, "ALREADYEXISTS", "Mailbox already exists."},
		{mailstore.ErrBadName, "CANNOT", "Invalid mailbox name."},
		{mailstore.ErrHasChildren, "HASCHILDREN", "Mailbox has children, delete them first."},
		{mailstore.ErrOverQuota, "OVERQUOTA", "Quota exceeded (mailbox for user is full)."},
		{mailstore.ErrTooBig, "TOOBIG", "Message is too large."},
		{mailstore.ErrNoPermission, "NOPERM", "Permission denied."},
		{mailstore.ErrBadRights, "CANNOT", "Invalid identifier or rights."},
		{mailstore.ErrReadOnly, "READ-ONLY", "Mailbox is read-only."},
		{mailstore.ErrExpunged, "EXPUNGEISSUED", "Some of the requested messages no longer exist."},
		{mailstore.ErrKeywordLimit, "LIMIT", "Too many keywords in the mailbox."},
		{mailstore.ErrTemporary, "SERVERBUG", "Internal error occurred. Try again later."},
	}
}

func isStoreError(err error) bool {
	for _, e := range storeErrors() {
		if errors.Is(err, e.err) {
			return true
		}
	}
	return false
}

// fromStore makes a NO of an error of the store. What the store could not do
// for reasons of its own is logged.
func (c *conn) fromStore(err error) *refusal {
	for _, e := range storeErrors() {
		if !errors.Is(err, e.err) {
			continue
		}
		if e.err == mailstore.ErrTemporary {
			c.o.Log("error", "%s: %v", c.name, err)
			if errors.Is(err, mailstore.ErrNoRoom) {
				return &refusal{"UNAVAILABLE", "The mail server's disk is full. This mailbox can be opened for the first time when there is room: tell your postmaster."}
			}
			if errors.Is(err, syscall.ENOSPC) {
				return &refusal{"UNAVAILABLE", "The mail server's disk is full. Try again later."}
			}
			return &refusal{"UNAVAILABLE", e.text}
		}
		return &refusal{e.code, e.text}
	}
	c.o.Log("error", "%s: %v", c.name, err)
	return &refusal{"UNAVAILABLE", "Internal error occurred. Try again later."}
}
