package config

// rowsLogging returns the parameters of the area "logging".
func rowsLogging() []row {
	return []row{
		{"debug_peer_level", Int, "2", "1", "qmqpd sendmail smtp smtpd", '1',
			"How much more is logged about the servers and clients in debug_peer_list."},
		{"debug_peer_list", String, "", "", "qmqpd sendmail smtp smtpd", '1',
			"Names, addresses or networks of servers and clients about which more is logged."},
		{"debugger_command", String, "", "", "master sendmail", 'X',
			"No effect: programs here are not run under a debugger."},
		{"info_log_address_format", Enum, "external", "external internal", "cleanup local pickup pipe postscreen qmgr smtp smtpd virtual", '2',
			"How addresses are logged: external, quoted as in mail, or internal."},
		{"mail_name", String, "Posthouse", "1", "bounce smtpd", '1',
			"The name of the mail system in greetings, Received headers and notices."},
		{"maillog_file", String, "", "", "postfix postlog postlogd", '1',
			"A file to log to, or /dev/stdout, by way of postlogd. Empty logs to syslog."},
		{"maillog_file_compressor", String, "gzip", "1", "postfix", '2',
			"The command that compresses old log files after rotation."},
		{"maillog_file_permissions", Int, "0600", "0", "postlog postlogd", '2',
			"The mode of new log files: 0600, 0640 or 0644."},
		{"maillog_file_prefixes", String, "/var, /dev/stdout", "1", "postfix", '2',
			"The directories below which maillog_file may be, so that a mistake does not overwrite other files."},
		{"maillog_file_rotate_suffix", String, "%Y%m%d-%H%M%S", "1", "postfix", '2',
			"The suffix, in the notation of strftime, that a rotated log file gets."},
		{"postlog_service_name", String, "postlog", "1", "postfix postlog", '2',
			"The service in master.cf that writes maillog_file."},
		{"postlogd_watchdog_timeout", Time, "10s", "10", "postlogd", '2',
			"How long postlogd may be busy with one request before it ends itself."},
		{"respectful_logging", Bool, "${{$compatibility_level} <level {3.6} ? {no} : {yes}}", "", "postscreen", '2',
			"Log allowlisted and denylisted instead of the older words. It depends on compatibility_level, since " +
				"filters read the lines."},
		{"syslog_facility", String, "mail", "1", "all-daemons", '1',
			"The facility for syslog. A change needs stop and start."},
		{"syslog_name", String, "${multi_instance_name?{$multi_instance_name}:{postfix}}", "1", "all-daemons", '1',
			"The name before the slash in log lines, as in postfix/smtpd. Tools that read logs depend on it; give " +
				"services of their own a name with -o."},
	}
}
