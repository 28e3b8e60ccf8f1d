package config

// rowsMilter returns the parameters of the area "milter".
func rowsMilter() []row {
	return []row{
		{"milter_command_timeout", Time, "30s", "1", "cleanup smtpd", '1',
			"How long to wait for a Milter's answer to an SMTP command."},
		{"milter_connect_macros", String, "j {daemon_name} {daemon_addr} v _", "", "cleanup smtpd", '2',
			"Values that Milters get when a client connects."},
		{"milter_connect_timeout", Time, "30s", "1", "cleanup smtpd", '1',
			"How long to wait for a connection to a Milter."},
		{"milter_content_timeout", Time, "300s", "1", "cleanup smtpd", '1',
			"How long to wait for a Milter's answer to headers and body."},
		{"milter_data_macros", String, "i", "", "cleanup smtpd", '2',
			"Values that Milters get at DATA."},
		{"milter_default_action", Enum, "tempfail", "accept reject tempfail quarantine shutdown", "cleanup smtpd", '1',
			"What to do when a Milter fails: accept, reject, tempfail, quarantine, shutdown."},
		{"milter_end_of_data_macros", String, "i", "", "cleanup smtpd", '2',
			"Values that Milters get after the end of the message."},
		{"milter_end_of_header_macros", String, "i", "", "cleanup smtpd", '2',
			"Values that Milters get after the headers."},
		{"milter_header_checks", String, "", "", "cleanup", '2',
			"As header_checks, for headers that Milters add."},
		{"milter_helo_macros", String, "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}", "", "cleanup smtpd", '2',
			"Values that Milters get at HELO or EHLO."},
		{"milter_macro_daemon_name", String, "$myhostname", "1", "cleanup smtpd", '1',
			"The value of {daemon_name} for Milters. Set it with -o so that a filter knows submitted mail."},
		{"milter_macro_defaults", String, "", "", "cleanup smtpd", '2',
			"Values, as name=value, of names that would else have none for Milters."},
		{"milter_macro_v", String, "$mail_name $mail_version", "1", "cleanup smtpd", '2',
			"The value of v, the name and version of the mail system, for Milters."},
		{"milter_mail_macros", String, "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}", "", "cleanup smtpd", '1',
			"Values that Milters get at MAIL FROM."},
		{"milter_protocol", Int, "6", "1", "cleanup smtpd", '1',
			"The version of the Milter protocol; 6 for all filters of today, and what they can do without is " +
				"negotiated."},
		{"milter_rcpt_macros", String, "i {rcpt_addr} {rcpt_host} {rcpt_mailer}", "", "cleanup smtpd", '2',
			"Values that Milters get at RCPT TO."},
		{"milter_unknown_command_macros", String, "", "", "cleanup smtpd", '2',
			"Values that Milters get at unknown commands."},
		{"non_smtpd_milters", String, "", "", "cleanup", '1',
			"Milters for mail that does not come by SMTP, such as that of sendmail. Addresses are unix:path or " +
				"inet:host:port."},
		{"smtpd_milter_maps", String, "", "", "smtpd", '2',
			"Tables, by client address, with Milters instead of smtpd_milters; DISABLE turns them off."},
		{"smtpd_milters", String, "", "", "smtpd", '1',
			"Milters for mail that comes by SMTP, as unix:path or inet:host:port, or { address, name=value } with " +
				"own timeouts."},
	}
}
