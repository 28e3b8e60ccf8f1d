// Autoconf tells mail programs how to reach the mail system.
//
// # Synopsis
//
//	autoconf [generic daemon options]
//
// # Description
//
// Thunderbird and programs like it ask http://autoconfig.DOMAIN/mail/config-v1.1.xml
// or https://DOMAIN/.well-known/autoconfig/mail/config-v1.1.xml, Outlook posts to
// https://autodiscover.DOMAIN/autodiscover/autodiscover.xml. The answer names the
// servers, ports and the login for a mail address in autoconf_domains. It says
// nothing about whether the address exists.
//
// The service is off unless master.cf has a line for it:
//
//	80   inet  n  -  y  -  1  autoconf
//	443  inet  n  -  y  -  1  autoconf -o smtpd_tls_wrappermode=yes
//
// The names autoconfig.DOMAIN and autodiscover.DOMAIN must lead to this host, with a
// certificate that has them; or a web server passes these paths on.
//
// # Security
//
// One request is read from a connection, with a small limit, and answered. The
// process has no file, no key and no right to ask other parts of the mail
// system but tlsmgr(8). It is the only one that links an HTTP parser for
// requests.
//
// # Parameters
//
// autoconf_domains, autoconf_host, autoconf_imap_port, autoconf_imaps_port,
// autoconf_pop3_port, autoconf_pop3s_port, autoconf_submission_port,
// autoconf_submissions_port, smtpd_tls_wrappermode
//
// # See also
//
// imapd(8), pop3d(8), submission(8), tlsmgr(8), postconf(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name: "autoconf", About: "tells mail programs how to reach the mail system",
		Kind: service.Stream, Jail: jail.Login, Prepare: prepare,
	})
}
