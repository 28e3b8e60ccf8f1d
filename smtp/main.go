// Smtp delivers mail to other systems with SMTP; under the name lmtp it
// delivers with LMTP.
//
// # Synopsis
//
//	smtp [generic daemon options]
//	lmtp [generic daemon options]
//
// # Description
//
// The queue manager sends delivery requests, each for one message and one
// next hop. The agent finds the servers, connects, sends the message, and
// reports each recipient as sent, deferred or bounced.
//
// The next hop is a domain, whose MX records say where to connect; or a host
// in brackets, [host] or [host]:port, whose address is used; or host:port;
// or unix:path for a socket, relative to the queue directory. Several next
// hops, separated by commas, are tried in turn. LMTP looks up no MX records.
//
// Servers are tried by preference, equal ones in random order. A domain
// without MX records is its own server (RFC 5321 5.1); one with a null MX
// record takes no mail (RFC 7505). A temporary failure of one server leads to
// the next, within smtp_mx_address_limit and smtp_mx_session_limit; what a
// server refuses for good is final.
//
// After a message a session stays open for smtp_connection_cache_time_limit
// if the queue manager has more mail for the same place.
//
// On the way out, smtp_generic_maps replaces addresses in envelope and header,
// with the help of trivial-rewrite, and smtp_header_checks,
// smtp_mime_header_checks, smtp_nested_header_checks and smtp_body_checks may
// change headers and lines with the actions DUNNO, IGNORE, INFO, PREPEND,
// REPLACE, STRIP and WARN. The queue file stays as it is.
//
// When notify_classes names a kind of error that a session had, the postmaster
// gets a transcript of the session when it is over, from double_bounce_sender:
// without messages and logins, and never of a session that carried such mail.
//
// # Standards
//
// RFC 5321 (SMTP), 2033 (LMTP), 1870 (SIZE), 2920 (PIPELINING), 3207
// (STARTTLS), 3461 (DSN), 6152 (8BITMIME), 6531 (SMTPUTF8), 7505 (null MX),
// 8689 (REQUIRETLS and TLS-Required).
//
// # Security
//
// Runs as the mail owner, chrooted in the queue directory where master.cf
// says so. It opens queue files and makes network connections; it starts no
// programs. Resolver files, certificates of authorities and tables are read
// before the jail. Replies of servers are limited in size and made printable.
// The name server is trusted to say where a domain's mail goes, as SMTP asks;
// its word that an answer is authentic counts only from this machine.
//
// # Parameters
//
// The parameters of the client are named smtp_*, and for lmtp the same with
// lmtp_*; besides these notify_classes, error_notice_recipient,
// double_bounce_sender and others; see postconf(5).
//
// # Files
//
// resolv.conf and hosts in the configuration directory are used instead of
// those in /etc, where they exist.
//
// # See also
//
// qmgr(8), bounce(8), postconf(5), master(5)
package main

import (
	"os"
	"path/filepath"

	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	// One binary, two names: the name decides which protocol is spoken.
	name := "smtp"
	if filepath.Base(os.Args[0]) == "lmtp" {
		name = "lmtp"
	}
	service.Main(service.Daemon{
		Name: name, About: "delivers mail to other systems with SMTP; under the name lmtp it delivers with LMTP",
		Kind: service.Stream, Jail: jail.Client, Inner: true, Prepare: prepare,
	})
}
