// Smtpd receives mail from the network by SMTP.
//
// # Synopsis
//
//	smtpd [generic daemon options]
//	smtpd -S
//
// # Description
//
// The SMTP server accepts connections, decides by the smtpd_*_restrictions
// who may send what to whom, and passes each message to cleanup(8) while it
// arrives. It answers 250 only after cleanup has the message on disk.
//
// The server asks trivial-rewrite(8) where recipients go, anvil(8) how busy a
// client is, and tlsmgr(8) for certificates and signatures. It serves many
// clients in one process, up to the parameter client_limit.
//
// SMTP (RFC 5321) with PIPELINING, SIZE, VRFY, STARTTLS, AUTH,
// ENHANCEDSTATUSCODES, 8BITMIME, DSN, SMTPUTF8, CHUNKING, REQUIRETLS and ETRN.
//
// With smtpd_sasl_auth_enable, clients log in with AUTH (RFC 4954). authd(8)
// checks what they say or, with smtpd_sasl_type = dovecot, a Dovecot auth
// server at smtpd_sasl_path. Mail programs of users are better served by
// submission(8).
//
// When notify_classes names a kind of error that a session had, the server mails
// the postmaster a transcript after the session has ended: of its end and its
// beginning if it is long, without messages and logins. The mail is from
// double_bounce_sender, and no session that carries such mail is reported.
//
// With -S alone, for sendmail -bs, one session runs on standard input and
// output with the rights of the caller. Mail goes to postdrop(1), so the mail
// system need not run; restrictions, limits on clients and TLS are for the
// network and do not apply.
//
// # Security
//
// The server talks to strangers. It runs chrooted in the queue directory as
// the mail owner, opens no file after its start, holds no private key and no
// list of passwords, and starts no program. The end of a message is CR LF "." CR LF
// and nothing else; commands that are sent before their time end the session.
//
// # Parameters
//
// smtpd_banner, smtpd_client_restrictions, smtpd_helo_restrictions,
// smtpd_sender_restrictions, smtpd_relay_restrictions,
// smtpd_recipient_restrictions, smtpd_data_restrictions,
// smtpd_end_of_data_restrictions, mynetworks, local_recipient_maps,
// message_size_limit, command_directory,
// smtpd_sasl_auth_enable, smtpd_sasl_type, smtpd_sasl_path,
// smtpd_sender_login_maps, smtpd_timeout, smtpd_tls_ask_ccert,
// smtpd_tls_auth_only, smtpd_tls_CAfile, smtpd_tls_CApath,
// smtpd_tls_req_ccert, smtpd_tls_ccert_verifydepth, relay_clientcerts,
// smtpd_sasl_local_domain, smtpd_authorized_priority_clients, smtpd_tls_security_level,
// requiretls_enable, notify_classes, error_notice_recipient, bounce_notice_recipient,
// double_bounce_sender, smtpd_history_flush_threshold and others;
// see postconf(5).
//
// # See also
//
// anvil(8), authd(8), cleanup(8), postdrop(1), submission(8), sendmail(1), tlsmgr(8),
// trivial-rewrite(8), postconf(5)
package main

import (
	"os"

	"github.com/posthouse-mail/posthouse/pkg/intake"
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	if standAlone(os.Args) {
		os.Exit(runStandAlone(os.Stdin, os.Stdout))
	}
	service.Main(service.Daemon{
		Name: "smtpd", About: "receives mail from the network by SMTP",
		Kind: service.Stream, Jail: jail.Network, Prepare: intake.Prepare,
	})
}
