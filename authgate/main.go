// Authgate lets programs that are not ours log their users in with authd.
//
// # Synopsis
//
//	authgate [generic daemon options] [-o authgate_protocol=PROTOCOL]
//
// # Description
//
// The authentication gateway speaks the protocols of other authentication
// servers and asks authd(8). The protocol of a service is set in master.cf:
//
//	dovecot         Dovecot's auth server, as Postfix (smtpd_sasl_type =
//	                dovecot) and Exim (driver = dovecot) use it
//	dovecot-master  the lookups of Dovecot's delivery agents and doveadm
//	                (auth-userdb): USER and PASS. LIST is refused, as nobody may
//	                list all users, and so is REQUEST, by which Dovecot's own
//	                imap learns of logins
//	authdaemon      Courier's authdaemon, as courier-imap, maildrop and
//	                authtest use it
//
// An endpoint may be a socket in the queue directory or, for dovecot, a port:
//
//	auth             unix  -  -  y  -  1  authgate
//	127.0.0.1:12345  inet  n  -  y  -  1  authgate
//	authdaemon       unix  n  -  y  -  1  authgate -o authgate_protocol=authdaemon
//
// A socket in public/ can be reached by members of the group setgid_group.
//
// A client names the service that it logs users in to, as imap or smtp; names
// that are not in authgate_services are refused.
//
// Mechanisms with channel binding and EXTERNAL are not offered, since the
// protocols do not carry what they need. Courier does not say whether its
// client uses TLS; it has to look after that itself. Hashes are never part of an answer, and passwords cannot be changed this way.
//
// # Security
//
// Holds no passwords. Runs as the mail owner in the queue directory and may
// open no file. A line, a request and the number of requests at a time have
// limits; what breaks the rules ends its own connection only. The delays of
// authd apply.
//
// # Parameters
//
// authgate_protocol, authgate_services
//
// # See also
//
// authd(8), smtpd(8), postconf(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name: "authgate", About: "lets programs that are not ours log their users in with authd",
		Kind: service.Stream, Jail: jail.Network, Prepare: prepare,
	})
}
