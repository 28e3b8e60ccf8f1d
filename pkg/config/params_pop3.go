package config

// rowsPop3 returns the parameters of POP3 service. Where Dovecot has the
// parameter, its name is Dovecot's.
func rowsPop3() []row {
	return []row{
		{"pop3_apop", Bool, "no", "", "pop3d", 'O',
			"Offer APOP: the greeting has a timestamp. Only users whose password authd can read can use it, and it rests " +
				"on MD5; STLS with SCRAM is better in every respect."},
		{"pop3_expire", String, "NEVER", "1,20", "pop3d sessiond", 'O',
			"What CAPA says about how long messages stay: a number of days, or NEVER. Set it if something of yours " +
				"deletes old messages."},
		{"pop3_idle_timeout", Time, "10m", "1", "sessiond", 'O',
			"How long a POP3 client may be silent after login. RFC 1939 wants at least ten minutes."},
		{"pop3_lock_session", Bool, "yes", "", "sessiond", 'O',
			"Let one POP3 session at a time use a mailbox, as RFC 1939 asks; another gets [IN-USE]. With \"no\", as in " +
				"Dovecot, several may; a message that one deletes is then gone for the others."},
		{"pop3_login_delay", Time, "0s", "0", "pop3d sessiond", 'O',
			"How soon after a POP3 login the same mailbox may be opened again. 0 is no limit."},
		{"pop3_no_flag_updates", Bool, "no", "", "sessiond", 'O',
			"Leave the flags of messages alone that POP3 clients retrieved. Otherwise they count as seen."},
		{"pop3_uidl_format", String, "%08Xu%08Xv", "1,200", "pop3d sessiond", 'O',
			"The unique ids of messages that have none from an earlier server, in Dovecot's notation: %u is the UID, %v " +
				"the UIDVALIDITY, %f the base name of the file, %g the GUID; with X in front a number " +
				"is hexadecimal, with a width padded by zeros."},
	}
}
