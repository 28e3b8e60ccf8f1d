// Authd says who a user is and whether a secret is right.
//
// # Synopsis
//
//	authd [generic daemon options]
//
// # Description
//
// The authentication server is the only daemon that reads passwords. Servers
// (smtpd, submission, imapd, pop3d, authgate) pass on what their clients say,
// step by step, and learn how it ended and, after a success, who the user is,
// without hashes. smtpd, lmtpd, deposit and virtual ask it who gets the mail for
// an address.
//
// Users come from the sources in auth_sources. The first source that knows a
// login decides; a source that cannot be asked makes the answer a temporary
// failure, and never goes on to the next.
//
//	userdb             text in the format of Courier's userdb (userdb_path)
//	passwd             accounts of the system, in /etc/passwd and /etc/shadow
//	pam pam:SERVICE    accounts in /etc/passwd, with passwords that PAM checks, by way
//	                   of pamd(8); SERVICE stands for auth_pam_service
//	passwd-file:FILE   a Dovecot passwd-file
//	pgsql:FILE mysql:FILE sqlite:FILE
//	                   a database; FILE is like that of a table of the type, and
//	                   its query returns columns that are named as the fields
//	                   of userdb, or password, user
//	ldap:FILE          a directory: attributes, and a bind where it shows no hash
//	saslauthd:SOCKET   passwords that Cyrus's saslauthd checks, by PAM or others;
//	                   it knows no users, and so must be the last source
//
// A login is made lower case, must consist of the characters in
// auth_username_chars, and is tried as it is and then with auth_default_realm.
//
// Mechanisms are PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-1 and SCRAM-SHA-256 with and
// without -PLUS, OAUTHBEARER, XOAUTH2 and EXTERNAL, as far as auth_mechanisms
// allows them and the sources can serve them. Those that show the password are
// offered under TLS only, and to clients in auth_cleartext_networks.
//
// # Sessions
//
// imapd(8) and pop3d(8) get a ticket for a login, with which sessiond(8) learns who
// has logged in. They may send their client's connection along with a password
// instead: authd passes it on to sessiond, over one of the connections that
// sessiond keeps open for this, together with who the user is.
//
// # Guesses
//
// The answer to a wrong password takes auth_failure_delay, twice as long after
// each further one from the same network or for the same user, up to
// auth_failure_delay_limit. Until it is given, further attempts from there have
// to wait. A user who logged in from a network before does not wait there, until
// twenty attempts in a row have failed.
// Verifications of unlikely logins are done one at a time when many fail.
//
// A password that was right is remembered, as a keyed hash together with the
// stored one, for auth_cache_time, so that mail programs that log in every
// minute cost little. The stored password is looked up each time: a change
// takes effect at once.
//
// # Security
//
// Runs with a user of its own (parameter auth_owner), which owns the user
// database; may read files and talk to database servers; starts no programs. To
// read /etc/shadow it keeps the group that may, if that is not root's. Nothing
// that it sends has a hash. Tickets, by which sessiond learns who has logged
// in, are given to root only, once. A process that is replaced leaves its
// tickets, delays and verified passwords to its successor, in memory that master
// keeps and no other process sees; one that is killed leaves nothing. Unknown users cost the time of a
// verification and get the same answers as wrong passwords.
//
// # Parameters
//
// auth_sources, auth_mechanisms, auth_cleartext_networks, auth_username_chars,
// auth_default_realm, auth_failure_delay, auth_failure_delay_limit,
// auth_cache_time, auth_cache_size, auth_verify_limit, auth_owner, login_owner,
// auth_pam_service, auth_pam_time_limit,
// auth_oauth_keys, auth_oauth_issuers, auth_oauth_audiences,
// auth_oauth_login_claims, auth_oauth_introspection_url,
// auth_oauth_introspection_credentials,
// userdb_path, password_scheme, mail_uid, mail_gid, mail_home,
// virtual_minimum_uid, recipient_delimiter, domain_alias_maps, debug_login, myhostname
//
// # See also
//
// authgate(8), pamd(8), sessiond(8), userdb(8), authtest(1), postconf(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name: "authd", About: "says who a user is and whether a secret is right",
		Kind: service.Stream, Jail: jail.Auth, Login: true, Submission: true,
		Solitary: true, Permanent: true, Keeps: true, Calm: true, Prepare: prepare,
	})
}
