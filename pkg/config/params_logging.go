package config

// rowsLogging returns the parameters of the area "logging".
func rowsLogging() []row {
	return []row{
		{"debug_peer_level", Int, "2", "1", "qmqpd sendmail smtp smtpd", '1',
			""},
		{"debug_peer_list", String, "", "", "qmqpd sendmail smtp smtpd", '1',
			""},
		{"debugger_command", String, "", "1", "master sendmail", 'X',
			"runs a C debugger under ddd/gdb; no Go equivalent (offer pprof)"},
		{"info_log_address_format", Enum, "external", "external internal", "cleanup local pickup pipe postscreen qmgr smtp smtpd virtual", '2',
			""},
		{"mail_name", String, "Posthouse", "1", "bounce smtpd", '1',
			""},
		{"maillog_file", String, "", "", "postfix postlog postlogd", '1',
			""},
		{"maillog_file_compressor", String, "gzip", "1", "postfix", '2',
			""},
		{"maillog_file_permissions", Int, "0600", "0", "postlog postlogd", '2',
			""},
		{"maillog_file_prefixes", String, "/var, /dev/stdout", "1", "postfix", '2',
			""},
		{"maillog_file_rotate_suffix", String, "%Y%m%d-%H%M%S", "1", "postfix", '2',
			""},
		{"postlog_service_name", String, "postlog", "1", "postfix postlog", '2',
			""},
		{"postlogd_watchdog_timeout", Time, "10s", "10", "postlogd", '2',
			""},
		{"respectful_logging", Bool, "${{$compatibility_level} <level {3.6} ? {no} : {yes}}", "", "postscreen", '2',
			""},
		{"syslog_facility", String, "mail", "1", "all-daemons", '1',
			""},
		{"syslog_name", String, "${multi_instance_name?{$multi_instance_name}:{postfix}}", "1", "all-daemons", '1',
			""},
	}
}
