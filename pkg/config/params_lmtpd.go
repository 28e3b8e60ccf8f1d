package config

// rowsLmtpd returns the parameters of LMTP service: lmtpd and deposit. Those
// whose names do not begin with lmtpd_ are Dovecot's.
func rowsLmtpd() []row {
	return []row{
		{"lda_mailbox_autocreate", Bool, "no", "", "deposit", 'O',
			"Make the folder that a message is delivered to where it does not exist. Without this such a message " +
				"goes to the inbox."},
		{"lda_mailbox_autosubscribe", Bool, "no", "", "deposit", 'O',
			"Subscribe the user to folders that lda_mailbox_autocreate makes."},
		{"lmtp_save_to_detail_mailbox", Bool, "no", "", "deposit", 'O',
			"Deliver mail for user+folder@domain to that folder. recipient_delimiter says what separates the two."},
		{"lmtpd_banner", String, "$myhostname LMTP $mail_name", "1", "lmtpd", 'O',
			"The text that follows 220 in the greeting of the LMTP server."},
		{"lmtpd_client_networks", List, "$mynetworks", "", "lmtpd", 'O',
			"The clients that may use the LMTP server over TCP, in the form of mynetworks. What they send passes " +
				"by the checks of the SMTP server."},
		{"lmtpd_recipient_limit", Int, "$smtpd_recipient_limit", "1", "lmtpd", 'O',
			"How many recipients one message to the LMTP server may have."},
		{"lmtpd_timeout", Time, "$smtpd_timeout", "1", "lmtpd", 'O',
			"How long the LMTP server waits for its client."},
		{"lmtpd_tls_security_level", Enum, "none", "none may encrypt", "lmtpd", 'O',
			"Whether the LMTP server offers STARTTLS (may) or demands it (encrypt). The certificate is that of the " +
				"SMTP server."},
		{"quota_full_tempfail", Bool, "no", "", "deposit smtpd submission virtual", 'O',
			"Answer mail for a user over quota with 452, so that the sender tries again, instead of refusing it " +
				"with 552."},
	}
}
