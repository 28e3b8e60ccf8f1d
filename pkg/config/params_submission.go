package config

// rowsSubmission returns the parameters of the area "submission".
func rowsSubmission() []row {
	return []row{
		{"autoconf_domains", String, "$mydomain", "", "autoconf", 'O',
			"The domains for whose addresses autoconf(8) answers."},
		{"autoconf_host", String, "$myhostname", "1", "autoconf", 'O',
			"The name under which mail programs reach the servers; their certificate must have it."},
		{"autoconf_imap_port", Int, "143", "0,65535", "autoconf", 'O',
			"The port of IMAP with STARTTLS that autoconf(8) tells; 0 is not offered."},
		{"autoconf_imaps_port", Int, "993", "0,65535", "autoconf", 'O',
			"The port of IMAP with TLS that autoconf(8) tells; 0 is not offered."},
		{"autoconf_pop3_port", Int, "110", "0,65535", "autoconf", 'O',
			"The port of POP3 with STARTTLS that autoconf(8) tells; 0 is not offered."},
		{"autoconf_pop3s_port", Int, "995", "0,65535", "autoconf", 'O',
			"The port of POP3 with TLS that autoconf(8) tells; 0 is not offered."},
		{"autoconf_submission_port", Int, "587", "0,65535", "autoconf", 'O',
			"The port of submission(8) with STARTTLS that autoconf(8) tells; 0 is not offered."},
		{"autoconf_submissions_port", Int, "465", "0,65535", "autoconf", 'O',
			"The port of submission(8) with TLS that autoconf(8) tells; 0 is not offered."},
		{"dkim_key_table", String, "$config_directory/dkim/keys", "1", "posthouse tlsmgr", 'O',
			"The list of DKIM keys: lines of domain, selector, state (new, signing or old), file with the private key, and " +
				"further domains whose mail the key signs. \"posthouse dkim\" writes it."},
		{"dkim_oversign_headers", String, "from to cc subject date reply-to message-id mime-version content-type content-transfer-encoding", "", "submission", 'O',
			"Header fields, in lower case, that are signed once more than they are there, so that nobody can add another one."},
		{"submission_authorship", Enum, "reject", "reject rewrite off", "submission", 'O',
			"What happens to mail whose envelope sender, From or Sender is not an address of the user who has logged in: " +
				"reject refuses it, rewrite puts the user's own address in its place, off lets it pass. Which addresses a " +
				"user has is in the record of the user, or in smtpd_sender_login_maps where that has an entry."},
		{"submission_client_restrictions", String, "", "", "submission", 'O',
			"As smtpd_client_restrictions, for submission(8)."},
		{"submission_connection_limit", Int, "30", "0", "submission", 'O',
			"How many connections one user may have at the same time, unless the record of the user says otherwise; 0 is " +
				"no limit."},
		{"submission_groom", Bool, "yes", "", "submission", 'O',
			"Complete the header of messages: Date, Message-ID, From and MIME-Version where they are missing, and the " +
				"domain of addresses without one. Bcc is removed always."},
		{"submission_hold_limit", Time, "30d", "0", "submission", 'O',
			"How far ahead a client may ask that a message leaves later (FUTURERELEASE, RFC 4865); 0 does not offer it."},
		{"submission_messages_per_day", Int, "2000", "0", "submission", 'O',
			"How many messages a user may send in a day, unless the record of the user says otherwise; 0 is no limit."},
		{"submission_messages_per_hour", Int, "500", "0", "submission", 'O',
			"How many messages a user may send in an hour, unless the record of the user says otherwise; 0 is no limit."},
		{"submission_notice_recipient", String, "postmaster", "", "submission", 'O',
			"Who is told, once in an hour or day, that a user has reached a limit; empty is nobody."},
		{"submission_priority", Bool, "yes", "", "submission", 'O',
			"Let clients give messages a priority (MT-PRIORITY, RFC 6710). Of messages that wait for the same transport, " +
				"those of higher priority go first."},
		{"submission_received_address", Bool, "yes", "", "submission", 'O',
			"Name the client's host and address in the Received header. With no, it says only which server took the message."},
		{"submission_recipient_restrictions", String, "", "", "submission", 'O',
			"As smtpd_recipient_restrictions, for submission(8)."},
		{"submission_recipients_per_day", Int, "5000", "0", "submission", 'O',
			"How many recipients a user may write to in a day, unless the record of the user says otherwise; 0 is no limit."},
		{"submission_recipients_per_hour", Int, "1000", "0", "submission", 'O',
			"How many recipients a user may write to in an hour, unless the record of the user says otherwise; 0 is no limit."},
		{"submission_relay_restrictions", String, "permit_sasl_authenticated, permit_mynetworks, reject", "", "submission", 'O',
			"As smtpd_relay_restrictions, for submission(8). permit_mynetworks stands for submission_trusted_networks there."},
		{"submission_relayhost", String, "", "", "submission", 'O',
			"Pass messages on to this mail server while the client waits, in place of the queue: a next hop as relayhost has it, " +
				"\"[mail.example.com]:587\", with \"lmtp:\" in front of it for LMTP (\"lmtp:unix:private/lmtp\", " +
				"\"lmtp:inet:host:24\"). TLS, passwords and times are those of the smtp_* or lmtp_* parameters."},
		{"submission_resent", Bool, "no", "", "submission", 'O',
			"Let users pass on mail of others with Resent-From, as the command bounce of some mail programs does: then " +
				"Resent-From must be an address of the user, and From may be another's."},
		{"submission_sender_restrictions", String, "", "", "submission", 'O',
			"As smtpd_sender_restrictions, for submission(8)."},
		{"submission_signers", String, "dkim", "", "submission", 'O',
			"What signs outgoing messages, in this order: dkim. Empty is nothing."},
		{"submission_tls_auth_only", Bool, "yes", "", "submission", 'O',
			"As smtpd_tls_auth_only, for submission(8)."},
		{"submission_tls_security_level", Enum, "encrypt", "none may encrypt", "submission", 'O',
			"As smtpd_tls_security_level, for submission(8): with encrypt, clients must use TLS before anything else."},
		{"submission_trusted_networks", String, "", "", "submission", 'O',
			"Clients that need not log in. They may write as anybody, and are limited by their address."},
	}
}
