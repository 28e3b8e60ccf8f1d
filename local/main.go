// Local delivers mail to the accounts and aliases of this machine.
//
// # Synopsis
//
//	local [generic daemon options]
//
// # Description
//
// The queue manager sends delivery requests. For each recipient local looks,
// in this order, for an alias; for the user's .forward file; and delivers to
// the mailbox: by mailbox_transport, mailbox_command, home_mailbox or in the
// mail_spool_directory. A name that is neither alias nor user goes to
// fallback_transport or luser_relay, or is bounced as unknown.
//
// Aliases and .forward files name addresses, \user, "|command", /file, /dir/
// (a Maildir) and :include:/file; see aliases(5). Mail that goes to other
// addresses is queued as a new message. A message that passed the recipient
// before, as its Delivered-To fields tell, is bounced as a loop.
//
// Mailboxes have the form of RFC 4155 with ">From " quoting, under the locks
// of mailbox_delivery_lock, or are Maildirs. Both are on disk, their names
// included, before the recipient counts as done.
//
// # Security
//
// Local is root in order to start workers, asuser(8), under the uid of each
// recipient. It opens no file of a user and reads no message: both is the
// workers' task. Commands and files of an alias run as the owner of the alias
// table or :include: file, and as default_privs where that is root. There are
// no supplementary groups. Local refuses tables that substitute parts of the
// address in alias_maps. Mail for root without an alias is delivered with
// default_privs.
//
// # Parameters
//
// alias_maps, allow_mail_to_commands, allow_mail_to_files, biff (no effect),
// command_execution_directory, command_expansion_filter, command_time_limit,
// default_privs, deliver_lock_attempts, deliver_lock_delay,
// expand_owner_alias, export_environment, fallback_transport,
// fallback_transport_maps, forward_expansion_filter, forward_path,
// home_mailbox, local_command_shell, luser_relay, mailbox_command,
// mailbox_command_maps, mailbox_delivery_lock, mailbox_size_limit,
// mailbox_transport, mailbox_transport_maps, mail_spool_directory,
// owner_request_special, prepend_delivered_header, recipient_delimiter,
// stale_lock_time, strict_mailbox_ownership; and those of each delivery
// agent.
//
// # See also
//
// asuser(8), qmgr(8), bounce(8), aliases(5), postalias(1).
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name:    "local",
		About:   "delivers mail to the accounts and aliases of this machine",
		Kind:    service.Stream,
		Jail:    jail.Parent,
		Inner:   true,
		Brief:   true,
		Prepare: prepare,
	})
}
