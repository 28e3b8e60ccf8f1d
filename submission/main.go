// Submission takes new mail from users.
//
// # Synopsis
//
//	submission [generic daemon options]
//
// # Description
//
// The submission agent (RFC 6409) is what mail programs send to, on port 587
// with STARTTLS, or on port 465 with smtpd_tls_wrappermode. It speaks the SMTP
// of smtpd(8) with rules of its own; the port of strangers stays as it is. For
// each message, in this order:
//
// TLS, then AUTH by authd(8) or a Dovecot auth server, or by a client
// certificate (smtpd_tls_ask_ccert, smtpd_tls_CAfile); clients in
// submission_trusted_networks need neither. A user may have
// submission_connection_limit connections, and send so many messages to so
// many recipients in an hour and a day; what is more gets a temporary error,
// and the postmaster one notice. An account on hold cannot send any more, a
// second after the change at the latest.
//
// Envelope sender, From and Sender must be addresses of the user
// (submission_authorship): the login itself, its aliases, and the addresses
// and domains of its record, with subaddresses. An entry of
// smtpd_sender_login_maps decides where there is one.
//
// The header is completed: Date, Message-ID, From and MIME-Version where they
// are missing, and the domain of addresses without one. Bcc is removed. Other
// bytes stay as they are. A header that breaks the rules is refused, in words
// that its writer can act on.
//
// Messages are signed by submission_signers, in order. With dkim, each domain
// that has keys gets a signature for each of them; see "posthouse dkim". The
// keys are in tlsmgr(8).
//
// The message streams into cleanup(8) while it arrives, and is answered with
// 250 only when it is on disk.
//
// With submission_relayhost, the message goes to another mail server instead,
// by SMTP or LMTP, while the client waits; each reply to the client is that of
// the server then. What LMTP refuses for some recipients only is queued for
// them.
//
// FUTURERELEASE (RFC 4865) holds a message until a time that the client gives;
// MT-PRIORITY (RFC 6710) lets it overtake others.
//
// # Security
//
// The agent talks to strangers. It runs chrooted in the queue directory as
// submission_owner, for whom alone tlsmgr(8) signs messages, opens no file after its start, holds no private key and no list
// of passwords, and starts no program.
//
// # Parameters
//
// submission_owner, submission_tls_security_level,
// submission_tls_auth_only,
// submission_trusted_networks, submission_client_restrictions,
// submission_sender_restrictions, submission_relay_restrictions,
// submission_recipient_restrictions, submission_authorship,
// submission_resent, submission_groom, submission_received_address,
// submission_connection_limit, submission_messages_per_hour,
// submission_messages_per_day, submission_recipients_per_hour,
// submission_recipients_per_day, submission_notice_recipient,
// submission_hold_limit, submission_priority, submission_relayhost,
// submission_signers, data_directory, hopcount_limit,
// smtpd_sender_login_maps, and those of smtpd(8) that are not about
// restrictions; see postconf(5).
//
// # See also
//
// anvil(8), authd(8), cleanup(8), posthouse(8), smtpd(8), tlsmgr(8),
// postconf(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name: "submission", About: "takes new mail from users",
		Kind: service.Stream, Jail: jail.Submission, Prepare: prepare,
	})
}
