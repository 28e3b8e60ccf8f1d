// Virtual delivers mail to mailboxes that belong to no account of this machine.
//
// # Synopsis
//
//	virtual [generic daemon options]
//
// # Description
//
// The queue manager sends delivery requests. For each recipient virtual looks
// up the mailbox in virtual_mailbox_maps, by the full address, the address
// without its extension, and @domain. The result is a path relative to
// virtual_mailbox_base; one that ends in '/' is a Maildir, any other a mailbox
// file. virtual_uid_maps and virtual_gid_maps say to whom it belongs. There
// are no aliases, .forward files and commands.
//
// Where virtual_mailbox_maps names authd:mailbox, addresses that no other of
// its tables has are asked of authd(8), which gives the Maildir, the uid and
// gid, and the quota of a user; virtual_mailbox_base and the other tables do
// not matter then. A message that does not fit is returned, or kept for
// another try with quota_full_tempfail, quota_rules, quota_warning_levels, and authd is told.
//
// A message is on disk, its name included, before the recipient counts as
// done. A message that passed the recipient before, as its Delivered-To
// fields tell, is bounced as a loop.
//
// # Security
//
// Virtual is root in order to start workers, asuser(8), under the uid that
// the tables give, which must be at least virtual_minimum_uid. A worker is
// confined to virtual_mailbox_base, or to the directories of a user of authd,
// whose socket must be one that master made. Virtual opens no mailbox and reads no
// message itself. Tables that substitute parts of the address in their
// results are refused, and so are paths with "..".
//
// # Parameters
//
// deliver_lock_attempts, deliver_lock_delay, enable_original_recipient,
// quota_full_tempfail, quota_rules, quota_warning_levels, recipient_delimiter,
// stale_lock_time, strict_mailbox_ownership,
// virtual_gid_maps, virtual_mailbox_base, virtual_mailbox_limit,
// virtual_mailbox_lock, virtual_mailbox_maps, virtual_minimum_uid,
// virtual_uid_maps; and those of each delivery agent.
//
// # See also
//
// asuser(8), qmgr(8), local(8), postmap(1).
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name:    "virtual",
		About:   "delivers mail to mailboxes that belong to no account of this machine",
		Kind:    service.Stream,
		Jail:    jail.Parent,
		Inner:   true,
		Brief:   true,
		Prepare: prepare,
	})
}
