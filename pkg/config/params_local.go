package config

// rowsLocal returns the parameters of the area "local".
func rowsLocal() []row {
	return []row{
		{"alias_database", String, "hash:/etc/aliases", "", "postalias sendmail", '1',
			"The alias files that newaliases builds indexes for. Usually those of alias_maps that are files."},
		{"alias_maps", String, "hash:/etc/aliases", "", "local proxymap smtpd", '1',
			"Tables of aliases for local addresses, in the order of lookup. Their right-hand sides may be " +
				"addresses, files, commands and :include: files."},
		{"allow_mail_to_commands", String, "alias, forward", "", "local", '1',
			"Where a command may be the target of local delivery: alias, forward, include."},
		{"allow_mail_to_files", String, "alias, forward", "", "local", '1',
			"Where a file may be the target of local delivery: alias, forward, include."},
		{"biff", Bool, "yes", "", "local", '1',
			"Tell the comsat service of this machine about new mail. Nobody listens there today; no is right for " +
				"all sites."},
		{"command_directory", String, "/usr/sbin", "1", "postfix postfix-tls postmulti postqueue postscreen sendmail smtpd", '1',
			"Where the commands of the mail system are installed, such as postqueue."},
		{"command_execution_directory", Raw, "", "", "local", '2',
			"The directory in which commands from aliases and .forward run. $home and the like are expanded for " +
				"each user."},
		{"command_expansion_filter", String, "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "1", "local", '2',
			"The characters that may appear in values of $name in mailbox_command and environment variables; " +
				"others become underscores."},
		{"command_time_limit", Time, "1000s", "1", "local pipe spawn", '1',
			"How long a command that gets mail may run before it is killed; the mail is then deferred. It is the " +
				"default of the time limit of pipe and spawn services."},
		{"default_privs", String, "nobody", "1", "local", '1',
			"The user with whose rights files and commands from aliases are used when the aliases file belongs to " +
				"root. Not root and not the mail owner."},
		{"deliver_lock_attempts", Int, "20", "1", "bounce local postlock virtual", '1',
			"How often to try to lock a mailbox before the mail is deferred."},
		{"deliver_lock_delay", Time, "1s", "1", "bounce local postlock virtual", '1',
			"How long to wait between two tries to lock a mailbox."},
		{"execution_directory_expansion_filter", String, "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "1", "local", '2',
			"The characters that may appear in values of $name in command_execution_directory."},
		{"expand_owner_alias", Bool, "no", "", "local", '1',
			"Use the right-hand side of an owner-listname alias as envelope sender, rather than its name."},
		{"export_environment", String, "TZ MAIL_CONFIG LANG", "", "local nbdb_reindexd pipe spawn", '2',
			"The environment variables, as name or name=value, that commands and other programs get."},
		{"forward_expansion_filter", String, "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "1", "local", '2',
			"The characters that may appear in values of $name in forward_path."},
		{"forward_path", Raw, "$home/.forward${recipient_delimiter}${extension}, $home/.forward", "", "local", '1',
			"Files that may hold a user's forwarding list, the first that exists is used. $home, $user, " +
				"$extension and the like are expanded for each user."},
		{"frozen_delivered_to", Bool, "yes", "", "local", '2',
			"Change the Delivered-To address only at a new delivery, not for each level of aliases; keeps loops " +
				"from being seen too late."},
		{"home_mailbox", String, "", "", "local", '1',
			"The mailbox of each user, relative to the home directory. A trailing slash makes it a Maildir. Empty " +
				"means a file in mail_spool_directory."},
		{"local_command_shell", String, "", "", "local", '1',
			"The program that runs commands of local delivery, with its options, for instance a restricted shell. " +
				"Empty means that simple commands run directly and others with /bin/sh."},
		{"local_delivery_status_filter", String, "$default_delivery_status_filter", "", "local", '2',
			"Tables that may change the status code and text of local deliveries."},
		{"local_login_sender_maps", String, "static:*", "", "postdrop", '2',
			"Which envelope senders a local user may give to sendmail, by login name; * permits all."},
		{"local_recipient_maps", String, "proxy:unix:passwd.byname $alias_maps", "", "proxymap smtpd", '1',
			"The tables of all local users. The SMTP server refuses recipients in mydestination that are not " +
				"there; empty accepts all."},
		{"luser_relay", Raw, "", "", "local", '1',
			"Where mail for unknown local users goes, instead of back. $user, $domain and the like are expanded. " +
				"local_recipient_maps must then be empty."},
		{"mail_spool_directory", String, "/var/mail", "", "local virtual", '1',
			"The directory of mailboxes in mbox form, one file for each user. With a trailing slash, of Maildirs."},
		{"mailbox_command", Raw, "", "", "local", '1',
			"The command that delivers mail for local users, with the user's rights. Words such as \"$EXTENSION\" " +
				"come from the environment."},
		{"mailbox_command_maps", String, "", "", "local", '1',
			"Tables with a command per user, instead of mailbox_command."},
		{"mailbox_delivery_lock", String, "fcntl, dotlock", "1", "local postlock", '1',
			"How mailbox files are locked before writing: fcntl, flock, dotlock, in this order."},
		{"mailbox_size_limit", Int, "51200000", "0", "local", '1',
			"The largest size of a mailbox file in bytes, and of any file that local delivery writes; 0 means no " +
				"limit. It must not be less than message_size_limit."},
		{"mailbox_transport", String, "", "", "local", '1',
			"A transport, as transport:nexthop, that delivers to all local users' mailboxes, instead of local " +
				"delivery itself."},
		{"mailbox_transport_maps", String, "", "", "local", '2',
			"Tables with a transport per user, instead of mailbox_transport."},
		{"pipe_delivery_status_filter", String, "$default_delivery_status_filter", "", "pipe", '2',
			"Tables that may change the status code and text of deliveries by pipe."},
		{"prepend_delivered_header", String, "command, file, forward", "", "local", '1',
			"Where Delivered-To is added: command, file, forward. Without it at forward, mail loops are found " +
				"late."},
		{"recipient_delimiter", String, "", "", "local pipe postdrop smtpd trivial-rewrite", '1',
			"The characters that separate a user name from an address extension, as in user+foo. The first of " +
				"them that occurs counts."},
		{"require_home_directory", Bool, "no", "", "local", '1',
			"Defer mail of local users whose home directory does not exist."},
		{"reset_owner_alias", Bool, "no", "", "local", '2',
			"Forget the owner of an outer alias when an inner one has none."},
		{"sendmail_fix_line_endings", Enum, "always", "always strict never", "sendmail", '2',
			"What sendmail does with lines that end in CR LF: always makes them LF, strict only if the first one " +
				"does, never."},
		{"stale_lock_time", Time, "500s", "1", "local postlock virtual", '1',
			"The age from which on a lock file of a mailbox is taken to be left over, and removed."},
		{"sun_mailtool_compatibility", Bool, "no", "", "local", 'X',
			"No effect: the program that it was for is gone."},
		{"virtual_gid_maps", String, "", "", "virtual", '1',
			"Tables with the group id of each virtual mailbox; static:5000 gives one to all."},
		{"virtual_mailbox_base", String, "", "", "virtual", '1',
			"The directory that is put before each path from virtual_mailbox_maps. Nothing is delivered outside " +
				"of it."},
		{"virtual_mailbox_domains", String, "$virtual_mailbox_maps", "", "proxymap smtpd trivial-rewrite virtual", '1',
			"Domains whose addresses are mailboxes without system accounts. They must not be in mydestination " +
				"too."},
		{"virtual_mailbox_limit", Int, "51200000", "0", "virtual", '1',
			"The largest size of a virtual mailbox file, or of a message in a Maildir, in bytes; 0 means no " +
				"limit."},
		{"virtual_mailbox_lock", String, "fcntl, dotlock", "1", "virtual", '2',
			"How virtual mailbox files are locked before writing. Maildirs need no locks."},
		{"virtual_mailbox_maps", String, "", "", "proxymap smtpd trivial-rewrite virtual", '1',
			"Tables with all addresses in virtual_mailbox_domains and the path of the mailbox of each; a trailing " +
				"slash means Maildir."},
		{"virtual_minimum_uid", Int, "100", "1", "virtual", '1',
			"The smallest user id that virtual_uid_maps may return, so that a mistake does not make files of " +
				"system users."},
		{"virtual_uid_maps", String, "", "", "virtual", '1',
			"Tables with the user id that owns each virtual mailbox; static:5000 gives one to all."},
	}
}
