// Imapd talks to IMAP clients until they have logged in.
//
// # Synopsis
//
//	imapd [generic daemon options]
//
// # Description
//
// The server greets clients, offers TLS, and asks authd(8) about logins. Once
// a client has logged in, sessiond(8) gets the connection, and with it a
// ticket of authd's, and passes it to a process that works as the user,
// mailuser(8), where all of IMAP is. Commands that a client sends in one go
// with its login are not lost.
//
// Without TLS, the connection goes to authd along with the password of LOGIN, and
// from there to sessiond.
//
// A connection with TLS stays: imapd encrypts for the session. One without is
// passed on as it is.
//
// Commands: CAPABILITY, ID, NOOP, LOGOUT, STARTTLS, LOGIN, and AUTHENTICATE
// with initial responses (RFC 4959), with the mechanisms that authd has.
// Without TLS the server refuses logins that show the password, unless the
// client is on this host (disable_plaintext_auth).
//
// With -o login_tls_wrappermode=yes in master.cf the server expects TLS from
// the first byte on.
//
// # Log
//
// Lines are those of Dovecot's imap-login, for programs that read them:
// "imap-login: Login: user=<you@example.com>, method=PLAIN, rip=..., lip=...,
// TLS, session=<...>", and "imap-login: Disconnected (auth failed, 1 attempts
// in 2 secs): user=<...>, method=PLAIN, rip=...".
//
// # Security
//
// Imapd talks to strangers. It runs chrooted with a user of its own
// (login_owner) that owns nothing, opens no file after its start, holds no
// private key and no password, and may talk to authd, sessiond, tlsmgr and
// anvil only. What a client sends before login is limited to 8 kB a command.
// What it sent in clear behind STARTTLS ends the connection.
//
// # Parameters
//
// disable_plaintext_auth, imap_capability, login_client_connection_limit, login_greeting,
// login_hard_error_limit, login_owner, login_timeout, login_tls_protocols,
// login_tls_wrappermode, and the certificates of smtpd_tls_cert_file and its
// relatives; see postconf(5).
//
// # See also
//
// authd(8), mailuser(8), pop3d(8), sessiond(8), tlsmgr(8), postconf(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name: "imapd", About: "talks to IMAP clients until they have logged in",
		Kind: service.Stream, Jail: jail.Login, LoginLog: true, Calm: true, Prepare: prepare,
	})
}
