package config

// rowsBounce returns the parameters of the area "bounce".
func rowsBounce() []row {
	return []row{
		{"2bounce_notice_recipient", String, "postmaster", "1", "bounce error", '1',
			"Who gets a bounce that could itself not be delivered, when notify_classes contains 2bounce."},
		{"backwards_bounce_logfile_compatibility", Bool, "yes", "", "bounce", 'X',
			"No effect: bounce logs are always written in the form that all versions read."},
		{"bounce_notice_recipient", String, "postmaster", "1", "bounce error smtpd", '1',
			"Who gets a copy of the headers of bounced mail, and transcripts of SMTP sessions in which we refuse a " +
				"recipient that does not exist or a message that is too large, when notify_classes contains bounce."},
		{"bounce_service_name", String, "bounce", "1", "lib(all)", '2',
			"The service in master.cf that keeps the logs of undeliverable recipients and sends the notices."},
		{"bounce_size_limit", Int, "50000", "1", "bounce sendmail", '1',
			"How many bytes of the original message a bounce may contain. Of a larger message only the header is " +
				"returned."},
		{"bounce_template_file", String, "", "", "bounce postconf", '1',
			"A file with the texts of bounce, delay, success and verification notices. Without it the built-in " +
				"texts are used."},
		{"confirm_delay_cleared", Bool, "no", "", "qmgr", '2',
			"Tell the sender when a message, about which a delay notice was sent, was delivered after all."},
		{"defer_code", Int, "450", "0", "smtpd", '1',
			"The SMTP reply code, a number from 400 to 499, of a request that the defer restriction refuses."},
		{"defer_service_name", String, "defer", "1", "lib(all)", '2',
			"The service in master.cf that keeps the logs of deferred recipients."},
		{"delay_logging_resolution_limit", Int, "2", "0,6", "cleanup discard error local pipe postscreen qmgr smtp virtual", '2',
			"How many digits after the decimal point the delays in the log have; 0 to 6."},
		{"delay_notice_recipient", String, "postmaster", "1", "bounce", '2',
			"Who gets a copy of delay notices, when notify_classes contains delay."},
		{"delay_warning_time", Time, "0h", "0", "bounce cleanup sendmail", '1',
			"How long mail waits before its sender gets a delay notice; 0 means never. The default unit is hours."},
		{"disable_verp_bounces", Bool, "no", "", "cleanup qmgr", '2',
			"Send one bounce for a message with envelope addresses per recipient (VERP) instead of one for each " +
				"recipient."},
		{"double_bounce_sender", String, "double-bounce", "1", "discard error smtpd", '1',
			"The sender of notices to the postmaster and of address probes. Mail to this name that cannot be " +
				"delivered is dropped, so that notices do not cause notices."},
		{"enable_threaded_bounces", Bool, "no", "", "bounce", '2',
			"Put References and In-Reply-To into notices, so that mail programs show them with the original " +
				"message."},
		{"error_notice_recipient", String, "postmaster", "1", "smtp smtpd", '1',
			"Who gets the transcripts of SMTP sessions with an error of one of the classes data, policy, protocol, " +
				"resource and software of notify_classes."},
		{"fast_flush_domains", String, "$relay_domains", "", "flush postqueue sendmail", '2',
			"Destinations for which lists of waiting mail are kept, for ETRN and sendmail -qR."},
		{"fast_flush_purge_time", Time, "7d", "1", "flush", '2',
			"After what time an empty list of fast_flush_domains is removed."},
		{"fast_flush_refresh_time", Time, "12h", "1", "flush", '2',
			"After what time an unused list of fast_flush_domains is tried, so that it becomes empty."},
		{"flush_service_name", String, "flush", "1", "lib(all)", '2',
			"The service in master.cf that keeps the lists of fast_flush_domains."},
		{"notify_classes", String, "resource, software", "", "bounce error smtp smtpd", '1',
			"What the postmaster is told of. bounce(8) sends copies of its notices: bounce, 2bounce, delay. smtpd(8) and " +
				"submission(8) send a transcript of an SMTP session that had an error, when it is over: policy (a " +
				"restriction or limit refused something), protocol (a wrong command, or too many of them), data (a " +
				"table could not be read), resource (no room, or a queue file that could not be written), software " +
				"(a mistake in the configuration, or a part of the system that does not answer), and bounce (an address " +
				"that does not exist, a message that is too large). smtp(8) and lmtp(8) do so for protocol (a reply that " +
				"is out of place, or says that a command was wrong) and data (a queue file could not be read). " +
				"A transcript has no message and nothing of a login in it."},
		{"soft_bounce", Bool, "no", "", "cleanup postscreen qmqpd smtpd", '1',
			"Treat all permanent errors as temporary, for trying a new configuration: mail stays in the queue and " +
				"clients get 4xx replies instead of 5xx."},
		{"trace_service_name", String, "trace", "1", "lib(all)", '2',
			"The service in master.cf that keeps delivery reports for mail that asks for them."},
	}
}
