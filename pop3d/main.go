// Pop3d is the POP3 server before login.
//
// # Synopsis
//
//	pop3d [generic daemon options]
//
// # Description
//
// The POP3 server takes connections, greets, starts TLS and has authd(8) check
// who the client is. A client who has logged in is handed to sessiond(8),
// which has a process of that user's go on with the session; with TLS, pop3d
// stays in between and passes bytes. Commands that the client sent behind its
// login go along.
//
// Service on port 110 offers TLS by STLS; with login_tls_wrappermode, for port
// 995, TLS comes first. Passwords are taken over TLS only, unless the client
// is on this host or disable_plaintext_auth is off.
//
// POP3 (RFC 1939) with CAPA and response codes (RFC 2449, 3206), STLS (RFC
// 2595), AUTH with the mechanisms of authd (RFC 5034), UTF8 and LANG (RFC
// 6856). With pop3_apop the greeting has a timestamp for APOP, which works for
// users whose password authd can read.
//
// # Security
//
// The server talks to strangers. It runs chrooted as login_owner, which owns
// nothing, opens no file, and can open no mailbox: sessiond wants a ticket that
// authd gives out for a login and that counts once. Private keys are in
// tlsmgr(8).
//
// # Diagnostics
//
// Log lines are those of Dovecot's pop3-login, which fail2ban knows.
//
// # Parameters
//
// disable_plaintext_auth, login_client_connection_limit, login_greeting,
// login_hard_error_limit, login_timeout, login_tls_protocols,
// login_tls_wrappermode, myhostname, pop3_apop, pop3_expire, pop3_login_delay,
// pop3_uidl_format.
//
// # See also
//
// authd(8), sessiond(8), mailuser(8), imapd(8), tlsmgr(8), postconf(5).
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name: "pop3d", About: "is the POP3 server before login",
		Kind: service.Stream, Jail: jail.Login, LoginLog: true, Calm: true, Prepare: prepare,
	})
}
