package config

// rowsRewriting returns the parameters of the area "rewriting".
func rowsRewriting() []row {
	return []row{
		{"allow_percent_hack", Bool, "yes", "", "trivial-rewrite", '2',
			"Rewrite user%domain to user@domain."},
		{"allow_untrusted_routing", Bool, "no", "", "smtpd", '2',
			"Relay mail whose recipient has a route in the local part, as in user%else@here. Dangerous: it may " +
				"bypass relay control."},
		{"append_at_myorigin", Bool, "yes", "", "trivial-rewrite", '1',
			"Add @$myorigin to addresses without a domain."},
		{"append_dot_mydomain", Bool, "${{$compatibility_level} <level {1} ? {yes} : {no}}", "", "trivial-rewrite", '1',
			"Add .$mydomain to domains without a dot. Since single-label names are rarely meant, no is safer."},
		{"canonical_classes", String, "envelope_sender, envelope_recipient, header_sender, header_recipient", "1", "cleanup", '1',
			"Which addresses canonical_maps changes: envelope_sender, envelope_recipient, header_sender, " +
				"header_recipient."},
		{"canonical_maps", String, "", "", "cleanup proxymap smtpd", '1',
			"Tables that rewrite addresses in envelopes and headers, for mail that enters the system."},
		{"domain_to_ascii", String, "", "", "lib(all)", '3',
			"Accepted; rarely set, and only obeyed where postconf(5) says so."},
		{"empty_address_default_transport_maps_lookup_key", String, "<>", "1", "trivial-rewrite", '2',
			"What to look up in sender_dependent_default_transport_maps for an empty sender."},
		{"empty_address_local_login_sender_maps_lookup_key", String, "<>", "", "postdrop", '2',
			"What to look up in local_login_sender_maps for an empty sender."},
		{"empty_address_recipient", String, "MAILER-DAEMON", "1", "cleanup showq trivial-rewrite", '1',
			"Who gets mail that is sent to an empty address."},
		{"empty_address_relayhost_maps_lookup_key", String, "<>", "1", "trivial-rewrite", '2',
			"What to look up in sender_dependent_relayhost_maps for an empty sender."},
		{"local_header_rewrite_clients", String, "permit_inet_interfaces", "", "smtpd", '1',
			"Clients whose message headers are completed with our own domain. Others get " +
				"remote_header_rewrite_domain, or nothing."},
		{"masquerade_classes", String, "envelope_sender, header_sender, header_recipient", "", "cleanup", '1',
			"Which addresses masquerade_domains changes: envelope_sender, envelope_recipient, header_sender, " +
				"header_recipient."},
		{"masquerade_domains", String, "", "", "cleanup", '1',
			"Domains whose subdomains are cut off in addresses: user@host.example.com becomes user@example.com. A " +
				"name with ! in front is left alone."},
		{"masquerade_exceptions", String, "", "", "cleanup", '1',
			"User names that masquerade_domains does not change."},
		{"owner_request_special", Bool, "yes", "", "local", '1',
			"Treat owner-listname and listname-request as names of their own, even when the recipient delimiter " +
				"is a dash."},
		{"propagate_unmatched_extensions", String, "canonical, virtual", "", "cleanup local smtp", '1',
			"Which tables carry an address extension over to their result: alias, canonical, forward, generic, " +
				"include, virtual."},
		{"recipient_canonical_classes", String, "envelope_recipient, header_recipient", "1", "cleanup", '1',
			"Which addresses recipient_canonical_maps changes: envelope_recipient, header_recipient."},
		{"recipient_canonical_maps", String, "", "", "cleanup proxymap smtpd", '1',
			"Tables that rewrite recipient addresses only, before canonical_maps."},
		{"relocated_maps", String, "", "", "proxymap trivial-rewrite", '1',
			"Tables of addresses that moved; mail to them is returned with the new address in the text."},
		{"relocated_prefix_enable", Bool, "yes", "", "trivial-rewrite", '2',
			"Put the words \"user has moved to\" before the text from relocated_maps."},
		{"remote_header_rewrite_domain", String, "", "", "cleanup sendmail trivial-rewrite", '1',
			"The domain that completes addresses in headers of mail from strangers. Empty leaves their headers as " +
				"they are; with a domain, missing ones are added too."},
		{"resolve_dequoted_address", Bool, "yes", "", "trivial-rewrite", '2',
			"Remove quotes from the local part before the address is resolved, so that routes in it are seen."},
		{"resolve_null_domain", Bool, "no", "", "trivial-rewrite", '2',
			"Treat user@ as if it had no domain, rather than refuse it."},
		{"resolve_numeric_domain", Bool, "no", "", "trivial-rewrite", '2',
			"Treat user@1.2.3.4 as user@[1.2.3.4], rather than refuse it."},
		{"rewrite_service_name", String, "rewrite", "1", "lib(all)", '2',
			"The service in master.cf that rewrites and resolves addresses."},
		{"sender_based_routing", Legacy, "", "", "obsolete", 'X',
			"The old name of sender_dependent_relayhost_maps, without effect."},
		{"sender_canonical_classes", String, "envelope_sender, header_sender", "1", "cleanup", '1',
			"Which addresses sender_canonical_maps changes: envelope_sender, header_sender."},
		{"sender_canonical_maps", String, "", "", "cleanup proxymap smtpd", '1',
			"Tables that rewrite sender addresses only, before canonical_maps."},
		{"swap_bangpath", Bool, "yes", "", "trivial-rewrite", '1',
			"Rewrite site!user to user@site."},
	}
}
