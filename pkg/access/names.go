package access

import "strings"

// canonicalName maps the old spellings of restrictions that Postfix still
// takes.
func canonicalName(s string) string {
	lower := strings.ToLower(s)
	if isTable(s) || strings.HasPrefix(s, "{") {
		return s
	}
	switch lower {
	case "reject_unknown_client":
		return "reject_unknown_client_hostname"
	case "reject_invalid_hostname":
		return "reject_invalid_helo_hostname"
	case "reject_unknown_hostname":
		return "reject_unknown_helo_hostname"
	case "reject_non_fqdn_hostname":
		return "reject_non_fqdn_helo_hostname"
	case "reject_rbl":
		return "reject_rbl_client"
	}
	return lower
}

// kindOf classifies a restriction by its name.
func (p *Parser) kindOf(name string) kind {
	if _, ok := p.Classes[name]; ok {
		return kindClass
	}
	if isTable(name) {
		return kindTable
	}
	switch name {
	case "permit", "reject", "defer", "defer_if_permit", "defer_if_reject", "reject_unauth_pipelining",
		"reject_plaintext_session", "reject_multi_recipient_bounce",
		"permit_mynetworks", "permit_inet_interfaces",
		"permit_sasl_authenticated", "permit_tls_clientcerts", "permit_tls_all_clientcerts",
		"reject_unknown_client_hostname", "reject_unknown_reverse_client_hostname",
		"reject_invalid_helo_hostname", "reject_non_fqdn_helo_hostname",
		"reject_non_fqdn_sender", "reject_unknown_sender_domain", "reject_unlisted_sender",
		"reject_sender_login_mismatch", "reject_authenticated_sender_login_mismatch",
		"reject_unauthenticated_sender_login_mismatch", "reject_known_sender_login_mismatch",
		"permit_auth_destination", "reject_unauth_destination", "defer_unauth_destination", "check_relay_domains",
		"reject_non_fqdn_recipient", "reject_unknown_recipient_domain", "reject_unlisted_recipient":
		return kindPlain
	case "check_client_access", "check_reverse_client_hostname_access", "check_helo_access",
		"check_sender_access", "check_recipient_access", "check_etrn_access",
		"check_sasl_access", "check_ccert_access":
		return kindTable
	case "sleep":
		return kindNumber
	case "reject_rbl_client", "reject_rhsbl_client", "reject_rhsbl_reverse_client", "reject_rhsbl_helo",
		"reject_rhsbl_sender", "reject_rhsbl_recipient", "permit_dnswl_client", "permit_rhswl_client":
		return kindList
	case "check_policy_service":
		return kindPolicy
	}
	return kindOfMissing(name)
}

// kindOfMissing knows the restrictions that cannot be done yet, so that the
// words behind them are not taken for restrictions.
func kindOfMissing(name string) kind {
	switch name {
	case "check_client_a_access", "check_client_mx_access", "check_client_ns_access",
		"check_reverse_client_hostname_a_access", "check_reverse_client_hostname_mx_access", "check_reverse_client_hostname_ns_access",
		"check_helo_a_access", "check_helo_mx_access", "check_helo_ns_access",
		"check_sender_a_access", "check_sender_mx_access", "check_sender_ns_access",
		"check_recipient_a_access", "check_recipient_mx_access", "check_recipient_ns_access",
		"check_recipient_maps":
		return kindDomain
	case "reject_unknown_forward_client_hostname", "reject_unknown_helo_hostname", "reject_unverified_sender",
		"reject_unverified_recipient", "permit_mx_backup", "permit_naked_ip_address", "reject_unknown_address",
		"reject_maps_rbl":
		return kindMissing
	}
	return kindUnknown
}
