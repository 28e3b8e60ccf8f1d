package config

// rowsTables returns the parameters of the area "tables".
func rowsTables() []row {
	return []row{
		{"berkeley_db_create_buffer_size", Int, "16777216", "1", "postalias postmap", 'X',
			"Berkeley DB cache tuning; no libdb in Go suite (hash:/btree: readers map the file themselves)"},
		{"berkeley_db_read_buffer_size", Int, "131072", "1", "postalias postmap", 'X',
			"Berkeley DB cache tuning; no libdb in Go suite (hash:/btree: readers map the file themselves)"},
		{"default_cache_db_type", String, "btree", "", "lib(all)", '2',
			""},
		{"default_database_type", String, "hash", "1", "postalias postmap sendmail", '1',
			""},
		{"ipc_idle", Time, "5s", "1", "lib(all)", '2',
			""},
		{"ipc_timeout", Time, "3600s", "1", "all-daemons", '1',
			""},
		{"ipc_ttl", Time, "1000s", "1", "lib(all)", '2',
			""},
		{"lmdb_map_size", Int, "16777216", "1", "postalias postmap", 'X',
			"LMDB map growth tuning; accept, use for lmdb: writer only"},
		{"non_bdb_custom_mapping", String, "", "", "postfix-non-bdb", 'X',
			"Berkeley-DB-removal migration helper inside Postfix; suite reads old .db directly or re-indexes " +
				"natively"},
		{"non_bdb_migration_allow_root_prefixes", String, "", "", "nbdb_reindexd postfix-non-bdb", 'X',
			"Berkeley-DB-removal migration helper inside Postfix; suite reads old .db directly or re-indexes " +
				"natively"},
		{"non_bdb_migration_allow_user_prefixes", String, "", "", "nbdb_reindexd postfix-non-bdb", 'X',
			"Berkeley-DB-removal migration helper inside Postfix; suite reads old .db directly or re-indexes " +
				"natively"},
		{"non_bdb_migration_level", String, "disable", "", "nbdb_reindexd postfix-non-bdb", 'X',
			"Berkeley-DB-removal migration helper inside Postfix; suite reads old .db directly or re-indexes " +
				"natively"},
		{"non_bdb_migration_log_redirect", Bool, "yes", "", "lib(all)", 'X',
			"Berkeley-DB-removal migration helper inside Postfix; suite reads old .db directly or re-indexes " +
				"natively"},
		{"non_bdb_migration_service_name", String, "nbdb_reindex", "", "lib(all)", 'X',
			"Berkeley-DB-removal migration helper inside Postfix; suite reads old .db directly or re-indexes " +
				"natively"},
		{"proxy_interfaces", String, "", "", "smtp smtpd", '1',
			""},
		{"proxy_read_maps", String, "$local_recipient_maps $mydestination $virtual_alias_maps $virtual_alias_domains $virtual_mailbox_maps $virtual_mailbox_domains $relay_recipient_maps $relay_domains $canonical_maps $sender_canonical_maps $recipient_canonical_maps $relocated_maps $transport_maps $mynetworks $smtpd_sender_login_maps $sender_bcc_maps $recipient_bcc_maps $smtp_generic_maps $lmtp_generic_maps $alias_maps $smtpd_client_restrictions $smtpd_helo_restrictions $smtpd_sender_restrictions $smtpd_relay_restrictions $smtpd_recipient_restrictions $address_verify_sender_dependent_default_transport_maps $address_verify_sender_dependent_relayhost_maps $address_verify_transport_maps $fallback_transport_maps $lmtp_discard_lhlo_keyword_address_maps $lmtp_pix_workaround_maps $lmtp_sasl_password_maps $lmtp_tls_policy_maps $mailbox_command_maps $mailbox_transport_maps $postscreen_discard_ehlo_keyword_address_maps $rbl_reply_maps $sender_dependent_default_transport_maps $sender_dependent_relayhost_maps $smtp_discard_ehlo_keyword_address_maps $smtp_pix_workaround_maps $smtp_sasl_password_maps $smtp_tls_policy_maps $smtpd_discard_ehlo_keyword_address_maps $smtpd_milter_maps $virtual_gid_maps $virtual_uid_maps $local_login_sender_maps $postscreen_reject_footer_maps $smtpd_reject_footer_maps $tls_server_sni_maps $tlsproxy_client_policy_maps $default_delivery_status_filter $lmtp_delivery_status_filter $lmtp_dns_reply_filter $lmtp_reply_filter $local_delivery_status_filter $pipe_delivery_status_filter $postscreen_command_filter $smtp_delivery_status_filter $smtp_dns_reply_filter $smtp_reply_filter $smtpd_command_filter $smtpd_dns_reply_filter $virtual_delivery_status_filter $body_checks $header_checks $lmtp_body_checks $lmtp_header_checks $lmtp_mime_header_checks $lmtp_nested_header_checks $milter_header_checks $mime_header_checks $nested_header_checks $smtp_body_checks $smtp_header_checks $smtp_mime_header_checks $smtp_nested_header_checks", "", "proxymap", '1',
			""},
		{"proxy_write_maps", String, "$smtp_sasl_auth_cache_name $lmtp_sasl_auth_cache_name $address_verify_map $postscreen_cache_map", "", "proxymap", '2',
			""},
		{"proxymap_service_name", String, "proxymap", "1", "lib(all)", '2',
			""},
		{"proxywrite_service_name", String, "proxywrite", "1", "lib(all)", '2',
			""},
		{"socketmap_max_query_size", Int, "10000", "0", "lib(all)", '3',
			"3.12 snapshot only; parse, warn if unsupported"},
		{"socketmap_max_reply_size", Int, "100000", "0", "lib(all)", '3',
			""},
		{"tcp_windowsize", Int, "0", "0", "smtp smtpd", '3',
			""},
	}
}
