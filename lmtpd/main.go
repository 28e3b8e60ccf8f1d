// Lmtpd receives mail by LMTP for the mailboxes of this host.
//
// # Synopsis
//
//	lmtpd [generic daemon options]
//
// # Description
//
// The LMTP server (RFC 2033) takes mail from a mail transfer agent, this one or
// another, and has deposit(8) put it into mailboxes. It keeps no queue: after
// the message it answers for each recipient, and says 250 only when the
// message is on disk in that recipient's mailbox. Unknown users and users over
// quota are refused at RCPT already.
//
// It is reached over TCP, where only clients in lmtpd_client_networks are
// served, or over a socket in the queue directory; one that is named
// private/dovecot-lmtp takes the place of Dovecot's, for which many main.cf have
//
//	virtual_transport = lmtp:unix:private/dovecot-lmtp
//
// An address without a mailbox that is an alias for several gets no mailbox of
// its own: the message goes into the queue for these, and is answered with 250
// when it is there.
//
// With lmtp_save_to_detail_mailbox, mail to user+folder@domain goes to the
// folder.
//
// When notify_classes names a kind of error that a session had, the server mails the
// postmaster what was said in it, as smtpd(8) does.
//
// LMTP with PIPELINING, SIZE, VRFY, STARTTLS, ENHANCEDSTATUSCODES, 8BITMIME,
// SMTPUTF8 and CHUNKING.
//
// # Security
//
// The server may talk to strangers. It runs chrooted in the queue directory as
// the mail owner, opens no file after its start, and starts no program. It
// tells deposit and cleanup(8) addresses only; whose they are, and with which rights a
// mailbox is written, deposit finds out itself.
//
// # Parameters
//
// bounce_notice_recipient, cleanup_service_name, error_notice_recipient,
// hopcount_limit, line_length_limit, lmtpd_banner, lmtpd_client_networks, lmtpd_recipient_limit, lmtpd_timeout, lmtpd_tls_security_level,
// message_size_limit, myhostname, notify_classes, smtpd_error_sleep_time,
// smtpd_hard_error_limit, smtpd_junk_command_limit, smtpd_soft_error_limit,
// smtpd_starttls_timeout, smtpd_tls_loglevel, smtpd_tls_mandatory_protocols,
// smtpd_tls_protocols, requiretls_enable, smtputf8_enable.
//
// # See also
//
// deposit(8), lmtp(8), authd(8), tlsmgr(8), postconf(5).
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name: "lmtpd", About: "receives mail by LMTP for the mailboxes of this host",
		Kind: service.Stream, Jail: jail.Network, Submission: true, Prepare: prepare,
	})
}
