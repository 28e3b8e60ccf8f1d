// Deposit puts messages from lmtpd(8) into mailboxes.
//
// # Synopsis
//
//	deposit [generic daemon options]
//
// # Description
//
// Lmtpd asks deposit whether an address has a mailbox and room in it, writes a
// message into a file that deposit opened for it, and has it delivered. For
// each recipient deposit asks authd(8) who that is, and gives the message to a
// worker, asuser(8), which runs under the uid of that user and puts it into
// the store. All recipients of a message share its one file. Success is
// reported when the message is on disk in the recipient's mailbox.
//
// An address with an extension, user+extension@domain, belongs to the user
// when no other has it. With lmtp_save_to_detail_mailbox the extension names
// the folder that the message goes to; one that does not exist is made if
// lda_mailbox_autocreate says so, and else the message goes to the inbox.
//
// # Security
//
// Deposit is root in order to start workers. It opens no mailbox and reads no
// message. Its client names addresses, and neither uids nor paths.
//
// # Parameters
//
// daemon_directory, data_directory, lda_mailbox_autocreate,
// lda_mailbox_autosubscribe, lmtp_save_to_detail_mailbox, message_size_limit,
// myhostname, quota_full_tempfail, quota_rules, quota_warning_levels,
// recipient_delimiter, virtual_mailbox_base, virtual_minimum_uid.
//
// # See also
//
// lmtpd(8), asuser(8), authd(8).
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name: "deposit", About: "puts messages from lmtpd(8) into mailboxes",
		Kind: service.Stream, Jail: jail.Parent, Brief: true, Prepare: prepare,
	})
}
