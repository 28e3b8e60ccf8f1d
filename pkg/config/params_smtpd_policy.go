package config

// rowsSmtpdPolicy returns the parameters of the area "smtpd policy".
func rowsSmtpdPolicy() []row {
	return []row{
		{"access_map_defer_code", Int, "450", "0", "smtpd", '2',
			"The SMTP reply code, 400 to 499, when an access table says DEFER without a code of its own."},
		{"access_map_reject_code", Int, "554", "0", "smtpd", '1',
			"The SMTP reply code, 400 to 599, when an access table says REJECT."},
		{"default_rbl_reply", Raw, "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}", "1", "smtpd", '1',
			"The reply to a client or address that a DNS block list lists, if rbl_reply_maps has no other. The " +
				"names rbl_code, rbl_domain, rbl_reason and others are filled in for each case."},
		{"invalid_hostname_reject_code", Int, "501", "0", "smtpd", '1',
			"The SMTP reply code when reject_invalid_helo_hostname refuses a malformed HELO name."},
		{"lmtp_defer_if_no_mx_address_found", Bool, "no", "", "smtp", '3',
			"As smtp_defer_if_no_mx_address_found, for LMTP."},
		{"maps_rbl_domains", String, "", "", "smtpd", '3',
			"Accepted without effect: the old list for reject_maps_rbl. Use reject_rbl_client."},
		{"maps_rbl_reject_code", Int, "554", "0", "smtpd", '1',
			"The SMTP reply code when a DNS block list lists the client or address."},
		{"multi_recipient_bounce_reject_code", Int, "550", "0", "smtpd", '2',
			"The SMTP reply code when reject_multi_recipient_bounce refuses an empty sender with more than one " +
				"recipient."},
		{"non_fqdn_reject_code", Int, "504", "0", "smtpd", '1',
			"The SMTP reply code when a name or address has no complete domain."},
		{"permit_mx_backup_networks", String, "", "", "smtpd", '2',
			"For permit_mx_backup: relay only for domains whose primary mail servers are in these networks."},
		{"plaintext_reject_code", Int, "450", "0", "smtpd", '1',
			"The SMTP reply code when reject_plaintext_session refuses a session without TLS."},
		{"rbl_reply_maps", String, "", "", "smtpd", '2',
			"Tables with the domain of a DNS block list on the left and the reply for its hits on the right, " +
				"instead of default_rbl_reply."},
		{"reject_code", Int, "554", "0", "smtpd", '1',
			"The SMTP reply code of the reject restriction."},
		{"reject_tempfail_action", String, "defer_if_permit", "1", "smtpd", '2',
			"What to do when a check that would refuse fails for a temporary reason: defer_if_permit waits for " +
				"the other restrictions, defer refuses at once with 4xx."},
		{"relay_domains_reject_code", Int, "554", "0", "smtpd", '1',
			"The SMTP reply code when reject_unauth_destination refuses to relay."},
		{"smtp_defer_if_no_mx_address_found", Bool, "no", "", "smtp", '2',
			"Defer mail if no mail server of a domain has an address, instead of returning it."},
		{"smtpd_client_restrictions", String, "", "", "smtpd", '1',
			"What clients may connect: restrictions that are evaluated in order for the client's address and " +
				"name. Empty permits all."},
		{"smtpd_data_restrictions", String, "", "", "smtpd", '1',
			"Restrictions that are evaluated when the client sends DATA or the first BDAT."},
		{"smtpd_delay_open_until_valid_rcpt", Bool, "yes", "", "smtpd", '2',
			"Make the queue file only when the first recipient is accepted, so that refused sessions cost no disk " +
				"access."},
		{"smtpd_delay_reject", Bool, "yes", "", "smtpd", '1',
			"Evaluate client, HELO and sender restrictions only at RCPT TO. Then log lines have all addresses, " +
				"and clients that ignore refusals behave."},
		{"smtpd_end_of_data_restrictions", String, "", "", "smtpd", '1',
			"Restrictions that are evaluated after the message was received and before it is confirmed."},
		{"smtpd_etrn_restrictions", String, "", "", "smtpd", '2',
			"Restrictions for the ETRN command."},
		{"smtpd_forbid_bare_newline_reject_code", Int, "550", "500,599", "smtpd", '2',
			"The SMTP reply code, 500 to 599, when a client is disconnected because of a newline without carriage " +
				"return."},
		{"smtpd_helo_restrictions", String, "", "", "smtpd", '1',
			"Restrictions that are evaluated for the name in HELO or EHLO. They work for all clients only with " +
				"smtpd_helo_required."},
		{"smtpd_policy_service_default_action", String, "451 4.3.5 Server configuration problem", "1", "smtpd", '2',
			"The action, as in an access table, when a policy service does not answer after all tries."},
		{"smtpd_policy_service_max_idle", Time, "300s", "1", "smtpd", '2',
			"After how much idle time a connection to a policy service is closed."},
		{"smtpd_policy_service_max_ttl", Time, "1000s", "1", "smtpd", '2',
			"How long a connection to a policy service is used at most."},
		{"smtpd_policy_service_policy_context", String, "", "", "smtpd", '2',
			"A text that is sent to policy services as policy_context, so that one service can serve several " +
				"restriction lists."},
		{"smtpd_policy_service_request_limit", Int, "0", "0", "smtpd", '2',
			"How many requests go over one connection to a policy service; 0 means any number."},
		{"smtpd_policy_service_retry_delay", Time, "1s", "1", "smtpd", '2',
			"How long to wait before the next try to ask a policy service."},
		{"smtpd_policy_service_timeout", Time, "100s", "1", "smtpd", '1',
			"How long to wait for connecting to, writing to or reading from a policy service."},
		{"smtpd_policy_service_try_limit", Int, "2", "1", "smtpd", '2',
			"How often to try a request to a policy service before smtpd_policy_service_default_action applies."},
		{"smtpd_recipient_restrictions", String, "", "", "smtpd", '1',
			"Restrictions for recipients, after smtpd_relay_restrictions. This is the place for spam checks; one " +
				"of the two lists must stop relaying by strangers."},
		{"smtpd_reject_filter_maps", String, "", "", "smtpd", '2',
			"Tables that get the text of a refusing SMTP reply and may return another text for it."},
		{"smtpd_reject_footer", Raw, "", "", "postscreen smtpd", '2',
			"Text that is appended to each 4xx and 5xx reply, for instance whom to call. The text \\n starts a new " +
				"reply line."},
		{"smtpd_reject_footer_maps", String, "", "", "postscreen smtpd", '2',
			"Tables, looked up with the text of the reply, that give a footer instead of smtpd_reject_footer."},
		{"smtpd_reject_unlisted_recipient", Bool, "yes", "", "smtpd", '1',
			"Refuse recipients that are not in the tables of valid recipients of their domain, even if no " +
				"restriction asks for it."},
		{"smtpd_reject_unlisted_sender", Bool, "no", "", "smtpd", '1',
			"Refuse senders in our own domains that do not exist, even if no restriction asks for it."},
		{"smtpd_relay_before_recipient_restrictions", Bool, "${{$compatibility_level} <level {3.6} ? {no} : {yes}}", "", "smtpd", '1',
			"Evaluate smtpd_relay_restrictions before smtpd_recipient_restrictions rather than after."},
		{"smtpd_relay_restrictions", String, "${{$compatibility_level} <level {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination}}", "", "smtpd", '1',
			"Who may send mail to domains that are not ours. Keep it free of spam checks: it is the wall against " +
				"becoming an open relay."},
		{"smtpd_restriction_classes", String, "", "", "proxymap smtpd", '1',
			"Names of own restriction lists. Each name is also a parameter with the restrictions that it stands " +
				"for, and may be used in access tables."},
		{"smtpd_sender_restrictions", String, "", "", "smtpd", '1',
			"Restrictions for the address in MAIL FROM."},
		{"unknown_address_reject_code", Int, "450", "0", "smtpd", '1',
			"The SMTP reply code when the domain of a sender or recipient has neither mail server nor address. It " +
				"is 450 when the lookup fails for a temporary reason."},
		{"unknown_address_tempfail_action", String, "$reject_tempfail_action", "1", "smtpd", '2',
			"What to do when the lookup of a sender's or recipient's domain fails for a temporary reason."},
		{"unknown_client_reject_code", Int, "450", "0", "smtpd", '1',
			"The SMTP reply code when reject_unknown_client_hostname refuses a client whose name and address do " +
				"not fit together."},
		{"unknown_helo_hostname_tempfail_action", String, "$reject_tempfail_action", "1", "smtpd", '2',
			"What to do when the lookup of a HELO name fails for a temporary reason."},
		{"unknown_hostname_reject_code", Int, "450", "0", "smtpd", '1',
			"The SMTP reply code when reject_unknown_helo_hostname refuses a HELO name."},
		{"unknown_local_recipient_reject_code", Int, "550", "0", "smtpd", '1',
			"The SMTP reply code for recipients in mydestination that are not in local_recipient_maps. 450 is a " +
				"safe value while the tables are being set up."},
		{"unknown_relay_recipient_reject_code", Int, "550", "0", "smtpd", '2',
			"The SMTP reply code for recipients in relay_domains that are not in relay_recipient_maps."},
		{"unknown_virtual_alias_reject_code", Int, "550", "0", "smtpd", '2',
			"The SMTP reply code for recipients in virtual_alias_domains that are not in virtual_alias_maps."},
		{"unknown_virtual_mailbox_reject_code", Int, "550", "0", "smtpd", '2',
			"The SMTP reply code for recipients in virtual_mailbox_domains that are not in virtual_mailbox_maps."},
	}
}
