package config

// rowsRouting returns the parameters of the area "routing".
func rowsRouting() []row {
	return []row{
		{"best_mx_transport", String, "", "", "smtp", '2',
			"The transport for domains whose best mail server we are, though no table says that they are ours. " +
				"Empty means that such mail is returned as looping."},
		{"default_transport", String, "smtp", "1", "trivial-rewrite", '1',
			"The transport, as transport:nexthop, for addresses that are not ours and not in transport_maps."},
		{"default_transport_rate_delay", Time, "0s", "0", "qmgr", '2',
			"How long to wait between two deliveries over the same transport; 0 means not at all. Each transport " +
				"may have its own, as name_transport_rate_delay."},
		{"defer_transports", String, "", "", "qmgr", '2',
			"Transports whose mail is not delivered until the queue is flushed. For dial-up lines."},
		{"fallback_relay", Legacy, "", "", "smtp", 'X',
			"The old name of smtp_fallback_relay, which takes its value from here if it is not set itself."},
		{"fallback_transport", String, "", "", "local", '1',
			"A transport for local recipients that are neither alias nor user of the system."},
		{"fallback_transport_maps", String, "", "", "local", '2',
			"Tables with a transport per recipient, instead of fallback_transport."},
		{"ignore_mx_lookup_error", Bool, "no", "", "smtp", '2',
			"Use the address of a domain when the lookup of its MX fails for a temporary reason. Mail may then go " +
				"to a wrong host."},
		{"inet_interfaces", String, "all", "", "master smtp smtpd", '1',
			"The addresses or names on which mail is received, also: all, loopback-only. A change needs stop and " +
				"start."},
		{"inet_protocols", String, "all", "", "master postscreen qmqpd smtp smtpd", '1',
			"The protocols in use: all, ipv4, ipv6."},
		{"local_transport", String, "local:$myhostname", "1", "trivial-rewrite", '1',
			"The transport for domains in mydestination and addresses of this machine."},
		{"mydestination", String, "$myhostname, localhost.$mydomain, localhost", "", "smtpd trivial-rewrite", '1',
			"The domains whose mail is delivered to users of this system. Not those of virtual_mailbox_domains or " +
				"virtual_alias_domains."},
		{"mydomain", String, "localdomain", "1", "bounce trivial-rewrite", '1',
			"Our domain; by default myhostname without its first label."},
		{"myhostname", String, "localhost", "1", "bounce cleanup smtpd", '1',
			"Our name on the internet, for greetings, HELO and as default of much else. It should have a domain, " +
				"and resolve to our address."},
		{"mynetworks", String, "127.0.0.0/8 [::1]/128", "", "smtpd", '1',
			"The networks of clients that may relay: addresses, networks as 10.0.0.0/8 or [2001:db8::]/32, files, " +
				"tables; ! excludes. Nobody checks these clients further, so keep it small."},
		{"mynetworks_style", Enum, "${{$compatibility_level} <level {2} ? {subnet} : {host}}", "host subnet class", "smtpd", '1',
			"How mynetworks is made if it is not set: host for only this machine, subnet for its networks, class " +
				"for the whole A, B or C networks."},
		{"myorigin", String, "$myhostname", "1", "cleanup smtpd trivial-rewrite", '1',
			"The domain that completes addresses of mail from this machine. The form /etc/mailname takes the " +
				"first line of that file."},
		{"parent_domain_matches_subdomains", String, "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,relay_domains,smtpd_access_maps", "", "flush smtpd trivial-rewrite", '1',
			"The parameters in which example.com also stands for its subdomains, which else is written " +
				".example.com."},
		{"relay_clientcerts", String, "", "", "smtpd", '2',
			"Tables of certificate or key fingerprints of clients that permit_tls_clientcerts lets relay."},
		{"relay_destination_concurrency_limit", Int, "$default_destination_concurrency_limit", "0", "qmgr", '2',
			"How many deliveries over the relay transport may go to the same destination at the same time."},
		{"relay_destination_recipient_limit", Int, "$default_destination_recipient_limit", "0", "qmgr", '3',
			"How many recipients one delivery over the relay transport may have."},
		{"relay_domains", String, "${{$compatibility_level} <level {2} ? {$mydestination} : {}}", "", "smtpd trivial-rewrite", '1',
			"The domains for which we take mail from anybody and pass it on, for instance as backup server."},
		{"relay_recipient_maps", String, "", "", "proxymap smtpd", '1',
			"The tables of all valid addresses in relay_domains. The SMTP server refuses others; empty accepts " +
				"all, and causes backscatter."},
		{"relay_transport", String, "relay", "1", "trivial-rewrite", '1',
			"The transport for relay_domains."},
		{"relayhost", String, "", "", "smtp trivial-rewrite", '1',
			"The next hop of all mail to other domains, as host, [host] without MX lookup, or host:port. Several " +
				"may be given."},
		{"sender_dependent_default_transport_maps", String, "", "", "trivial-rewrite", '2',
			"Tables with a transport per sender, instead of default_transport."},
		{"sender_dependent_relayhost_maps", String, "", "", "trivial-rewrite", '1',
			"Tables with a next hop per sender, instead of relayhost."},
		{"transport_maps", String, "", "", "proxymap trivial-rewrite", '1',
			"Tables with transport:nexthop per recipient address or domain. They go before all other routing."},
		{"virtual_alias_address_length_limit", Int, "1000", "1", "cleanup", '1',
			"The largest length of an address that virtual alias expansion may produce."},
		{"virtual_alias_domains", String, "$virtual_alias_maps", "", "proxymap smtpd trivial-rewrite", '1',
			"Domains all of whose addresses are aliases in virtual_alias_maps."},
		{"virtual_alias_expansion_limit", Int, "1000", "1", "cleanup", '1',
			"How many addresses virtual alias expansion of one recipient may produce; more defers the message."},
		{"virtual_alias_maps", String, "$virtual_maps", "", "cleanup proxymap smtpd trivial-rewrite", '1',
			"Tables that replace recipient addresses, of any domain, by one or more others."},
		{"virtual_alias_recursion_limit", Int, "1000", "1", "cleanup", '1',
			"How deep virtual aliases may refer to each other; deeper ones defer the message."},
		{"virtual_maps", Legacy, "", "", "cleanup", 'X',
			"The old name of virtual_alias_maps, which takes its value from here if it is not set itself."},
		{"virtual_transport", String, "virtual", "1", "trivial-rewrite virtual", '1',
			"The transport for virtual_mailbox_domains, for instance virtual, or lmtp:unix:path for another " +
				"system's store."},
	}
}
