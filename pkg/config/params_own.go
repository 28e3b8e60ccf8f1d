package config

// rowsOwn returns the parameters of the area "own".
func rowsOwn() []row {
	return []row{
		{"auth_cache_size", Int, "100000", "0", "authd", 'O',
			"How many passwords that were right authd remembers, as keyed hashes."},
		{"auth_cache_time", Time, "1h", "0", "authd", 'O',
			"How long authd remembers that a password was right, so that it need not compute the hash again. A changed " +
				"password counts at once. 0 remembers nothing."},
		{"auth_cleartext_networks", List, "127.0.0.0/8 [::1]/128", "", "authd", 'O',
			"The clients that may log in without TLS with mechanisms that show the password (PLAIN, LOGIN); empty for " +
				"nobody."},
		{"auth_default_realm", String, "", "", "authd", 'O',
			"A domain that is added to logins without one, when nobody has the login as it is."},
		{"auth_failure_delay", Time, "2s", "0", "authd", 'O',
			"How long the answer to a wrong password takes. The time doubles with each further one from the same " +
				"network or for the same user."},
		{"auth_failure_delay_limit", Time, "15s", "0,50", "authd", 'O',
			"How far auth_failure_delay grows."},
		{"auth_mechanisms", List, "auto", "", "authd", 'O',
			"The SASL mechanisms that are offered: PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-1, SCRAM-SHA-256, the last two " +
				"also with -PLUS, OAUTHBEARER, XOAUTH2, EXTERNAL, and APOP for POP3. auto stands for those that every " +
				"user can use with what is stored."},
		{"auth_pam_service", String, "posthouse", "1", "authd", 'O',
			"The service of PAM, a file in /etc/pam.d, that checks passwords for the source pam; %s in it stands for smtp, " +
				"submission, imap, pop3 or sieve."},
		{"auth_pam_time_limit", Time, "25s", "1,40", "authd pamd", 'O',
			"How long PAM may take for a password, before the login gets a temporary failure."},
		{"auth_sources", List, "userdb", "", "authd", 'O',
			"Where users are, in this order: userdb, passwd, pam, passwd-file:FILE, pgsql:FILE, mysql:FILE, sqlite:FILE, " +
				"ldap:FILE, saslauthd:SOCKET. The first that knows a login decides."},
		{"auth_username_chars", String, "abcdefghijklmnopqrstuvwxyz0123456789.-_@+", "", "authd", 'O',
			"The characters of which logins consist, in lower case; a login with another one is unknown. Empty allows " +
				"all that can be printed."},
		{"auth_verify_limit", Int, "0", "0,1000", "authd", 'O',
			"How many passwords authd checks at the same time; 0 is the number of processors."},
		{"authgate_protocol", Enum, "dovecot", "dovecot dovecot-master authdaemon", "authgate", 'O',
			"The protocol of an authgate service: dovecot for Postfix and Exim, dovecot-master for lookups of delivery " +
				"agents, authdaemon for Courier. Set it with -o in master.cf."},
		{"authgate_services", List, "smtp submission imap pop3 sieve lmtp lda esmtp courier webmail xmpp doveadm", "", "authgate", 'O',
			"The services that programs which ask an authgate may name. The name chooses what an account may use, which of its " +
				"passwords counts and, with saslauthd, the service of PAM."},
		{"mail_gid", String, "", "", "authd posthouse", 'O',
			"The group, by name or number, of users whose record has none."},
		{"mail_home", String, "", "", "authd posthouse", 'O',
			"The home directory of users whose record has none: /var/vmail/%d/%n, with %u for the login, %n for the " +
				"part before the @ and %d for the domain."},
		{"mail_uid", String, "", "", "authd posthouse", 'O',
			"The user, by name or number, as which the mail of users is kept whose record has none."},
		{"auth_oauth_audiences", List, "", "", "authd", 'O',
			"Who we are to the issuers of tokens: one of these must be in the claim aud."},
		{"auth_oauth_introspection_credentials", String, "", "", "authd", 'O',
			"A file with client:secret, with which authd asks about tokens."},
		{"auth_oauth_introspection_url", String, "", "", "authd", 'O',
			"Where to ask about bearer tokens (RFC 7662), with https. It goes before auth_oauth_keys."},
		{"auth_oauth_issuers", List, "", "", "authd", 'O',
			"The issuers whose tokens count: the claim iss must be one of them."},
		{"auth_oauth_keys", List, "", "", "authd", 'O',
			"Files with the public keys of the issuers of tokens for OAUTHBEARER and XOAUTH2: JWK sets, or PEM. They are " +
				"read again when they change."},
		{"auth_oauth_login_claims", List, "email preferred_username sub", "", "authd", 'O',
			"The claims of a token that may hold the login; the first that is there counts."},
		{"auth_owner", String, "posthouse-auth", "1", "authd master", 'O',
			"The user that authd runs as, the only process that reads passwords. It owns the user database and must " +
				"own no other files and run no other process."},
		{"client_limit", Int, "1000", "1,100000", "lib(all)", 'O',
			"The number of clients that one process of a service serves at the same time. When it is reached, the " +
				"process takes no further connection until one ends, and master starts more processes up to the limit " +
				"in master.cf. With 1, each process serves one client at a time. Set it for one service with -o."},
		{"debug_login", Int, "0", "0,2", "authd", 'O',
			"What authd logs of each login: 0 only failures, 1 also where the user was found, 2 also the record. " +
				"Neither a password nor what is stored of one is ever logged. (Courier's DEBUG_LOGIN.)"},
		{"domain_alias_maps", List, "", "", "authd", 'O',
			"Tables that lead from a domain to the one whose users get its mail, such as the table that " +
				"makehosteddomains(8) makes. A domain that leads to itself, or is not there, is no alias."},
		{"login_owner", String, "posthouse-login", "1", "authd imapd pop3d master sessiond", 'O',
			"The user that imapd and pop3d run as, the servers that talk to mail users before login. It must own no " +
				"files and run no other process."},
		{"password_scheme", String, "ARGON2ID", "1", "authd posthouse", 'O',
			"The scheme of new passwords, and what an unknown user costs when a password is tried."},
		{"submission_owner", String, "posthouse-submit", "1", "submission master", 'O',
			"The user that submission runs as, the only one for whom tlsmgr signs messages. It must own no files and run no " +
				"other process."},
		{"tls_owner", String, "posthouse-tls", "1", "tlsmgr master", 'O',
			"The user that owns the TLS and DKIM keys and runs tlsmgr, the only process that uses them. It must " +
				"own no other files and run no other process."},
		{"userdb_path", String, "$config_directory/userdb", "1", "authd posthouse", 'O',
			"The user database in text: a file, or a directory of files. See userdb(8)."},
	}
}
