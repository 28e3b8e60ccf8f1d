package config

// rowsMailAccess returns the parameters of the area "mail access": imapd,
// pop3d, and sessions of mail users. Where Dovecot has the parameter, its name
// is Dovecot's.
func rowsMailAccess() []row {
	return []row{
		{"disable_plaintext_auth", Bool, "yes", "", "imapd pop3d", 'O',
			"Refuse logins that show the password to the network unless TLS is on. Clients on the loopback interface " +
				"are excepted."},
		{"fts_index", Bool, "no", "", "sessiond posthouse", 'O',
			"Keep a full-text index of each mailbox that IMAP clients search, so that searches in bodies need not read all messages. " +
				"What plain searches find is the same with and without it. With it the server offers SEARCH=FUZZY. The index takes about " +
				"a fifth of the room of the text in the mailbox, and is updated in the background."},
		{"fts_message_max_size", Int, "16777216", "0", "sessiond posthouse", 'O',
			"The size of the text of a message, without attachments, up to which it is put into the full-text index. One with more is read " +
				"in each search. 0 is no limit."},
		{"imap_append_limit", Int, "0", "0", "sessiond", 'O',
			"The size of a message that an IMAP client may store, in bytes. 0 is no limit but the quota."},
		{"imap_capability", List, "", "", "imapd sessiond", 'O',
			"The capabilities of the IMAP server. Empty is all that it has. Words with '+' or '-' in front are added " +
				"to these or taken away; words without are the whole list."},
		{"imap_idle_notify_interval", Time, "2m", "1", "sessiond", 'O',
			"How often a client that waits in IDLE gets a line that says nothing, so that address translation on the " +
				"way keeps the connection."},
		{"imap_max_line_length", Int, "65536", "8192,10485760", "sessiond", 'O',
			"The length of an IMAP command after login, without its literals. Clients that name each of many messages " +
				"need long ones."},
		{"imap_search_time_limit", Time, "10m", "0", "sessiond", 'O',
			"How long SEARCH, SORT and THREAD may take; then they are refused with the response code LIMIT, so that a session does not keep " +
				"all processors for ever. 0 is no limit. Clients are told every ten seconds how far a search is."},
		{"imap_timeout", Time, "30m", "60", "sessiond", 'O',
			"How long an IMAP client may be silent after login. RFC 9051 wants at least 30 minutes."},
		{"login_client_connection_limit", Int, "50", "0", "imapd pop3d", 'O',
			"How many connections one address may have to one process before login. 0 is no limit; loopback has none."},
		{"login_greeting", String, "$mail_name ready.", "1", "imapd pop3d", 'O',
			"The text of the greeting."},
		{"login_hard_error_limit", Int, "10", "1", "imapd pop3d", 'O',
			"The number of failed logins and bad commands before login after which the connection is closed."},
		{"login_syslog_name", String, "dovecot", "1", "imapd pop3d sessiond", 'O',
			"The name in front of log lines about logins and sessions of mail users. fail2ban and others look for Dovecot's."},
		{"login_timeout", Time, "3m", "1", "imapd pop3d", 'O',
			"How long a client may take from its connection to its login."},
		{"login_tls_protocols", List, ">=TLSv1.2", "", "imapd pop3d", 'O',
			"The TLS versions of the servers for mail users, in the notation of smtpd_tls_protocols."},
		{"login_tls_wrappermode", Bool, "no", "", "imapd pop3d", 'O',
			"TLS from the first byte on, as on the ports imaps and pop3s. Set it with -o in master.cf."},
		{"mail_expire", List, "", "", "sessiond", 'O',
			"Folders from which old messages are removed when the user logs in, at most once a day, each with the number of days " +
				"since the message came there: \"Trash=30, Spam=60\". `posthouse mailbox expire` does it at any time."},
		{"mail_fsync", Enum, "optimized", "optimized always", "sessiond", 'O',
			"When changes in mailboxes reach the disk, in the manner of Dovecot. Messages are on disk before APPEND, COPY, MOVE or a delivery " +
				"is confirmed, and removals before POP3's QUIT is. With \"optimized\", flags, keywords and what IMAP clients remove are not " +
				"waited for: a power cut may undo the last seconds of them. With \"always\" they are on disk too before they are confirmed. There " +
				"is no \"never\"."},
		{"mail_shared_folders", List, "", "", "sessiond", 'O',
			"Maildirs that all users see as folders, each as name=path: \"shared/sales=/srv/mail/sales\". Who may do what there is " +
				"in their access lists, which IMAP clients set; the files must be accessible to the users' uid or gid."},
		{"mail_special_folders", List, "", "", "sessiond", 'O',
			"Folders that are made and subscribed when a user logs in for the first time, with their special use if it is " +
				"not their name: \"Drafts, Sent, Trash, Spam=Junk\". Special uses are Archive, Drafts, Flagged, Junk, Sent, Trash."},
		{"mail_max_userip_connections", Int, "10", "0", "sessiond", 'O',
			"How many sessions of one protocol a user may have from one address. 0 is no limit."},
		{"quota_rules", List, "Trash:ignore", "", "deposit posthouse sessiond virtual", 'O',
			"Rules for folders and those below them, in the form of Dovecot's quota_rule: \"Trash:ignore\" does not count what is there, " +
				"\"Trash:storage=+100M\" lets so much more in. The default is what Courier does. All programs that keep a maildirsize " +
				"should have the same."},
		{"quota_warning_levels", List, "", "", "deposit posthouse sessiond virtual", 'O',
			"How many percent of the quota are used when the user gets a message about that, such as \"80, 95\"; each at most " +
				"once a day."},
		{"session_minimum_uid", Int, "$virtual_minimum_uid", "1", "sessiond", 'O',
			"The lowest uid of a mail user. Nobody with a lower one has a session."},
		{"session_scope", Enum, "uid", "uid user", "sessiond", 'O',
			"Whether users below virtual_mailbox_base that share a uid share a worker process too (uid), or each user " +
				"has one of its own, confined to the user's directories (user), which takes more memory."},
		{"session_worker_idle", Time, "1m", "1", "sessiond", 'O',
			"How long a worker process is kept after the last session of its users."},
	}
}
