// Package intake is what the servers that take mail in by SMTP have in common
// behind the protocol engine: who the client is, the limits of anvil, the
// restriction lists, which addresses exist, TLS, and the way into cleanup.
// smtpd(8) is little else; submission(8) puts its own rules in front.
package intake

import (
	"time"

	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// Params are the parameters of the server.
type Params struct {
	Notices transcript.Params
	History int `param:"smtpd_history_flush_threshold"`

	Hostname string `param:"myhostname"`
	MailName string `param:"mail_name"`
	Banner   string `param:"smtpd_banner"`

	ClientRestrictions []string `param:"smtpd_client_restrictions"`
	HeloRestrictions   []string `param:"smtpd_helo_restrictions"`
	SenderRestrictions []string `param:"smtpd_sender_restrictions"`
	RelayRestrictions  []string `param:"smtpd_relay_restrictions"`
	RcptRestrictions   []string `param:"smtpd_recipient_restrictions"`
	DataRestrictions   []string `param:"smtpd_data_restrictions"`
	EODRestrictions    []string `param:"smtpd_end_of_data_restrictions"`
	EtrnRestrictions   []string `param:"smtpd_etrn_restrictions"`
	Classes            []string `param:"smtpd_restriction_classes"`
	RelayBeforeRcpt    bool     `param:"smtpd_relay_before_recipient_restrictions"`
	DelayReject        bool     `param:"smtpd_delay_reject"`
	DelayOpen          bool     `param:"smtpd_delay_open_until_valid_rcpt"`
	NullKey            string   `param:"smtpd_null_access_lookup_key"`

	MyNetworks      []string `param:"mynetworks"`
	OwnInterfaces   []string `param:"inet_interfaces"`
	MatchSubdomains []string `param:"parent_domain_matches_subdomains"`
	Delimiter       string   `param:"recipient_delimiter"`

	LocalRcptMaps    []string `param:"local_recipient_maps"`
	VirtualAliasMaps []string `param:"virtual_alias_maps"`
	VirtualMailboxes []string `param:"virtual_mailbox_maps"`
	RelayRcptMaps    []string `param:"relay_recipient_maps"`
	CanonicalMaps    []string `param:"canonical_maps"`
	RcptCanonical    []string `param:"recipient_canonical_maps"`
	SenderCanonical  []string `param:"sender_canonical_maps"`
	RejectUnlisted   bool     `param:"smtpd_reject_unlisted_recipient"`
	RejectUnlistedFr bool     `param:"smtpd_reject_unlisted_sender"`
	ShowTable        bool     `param:"show_user_unknown_table_name"`
	UntrustedRouting bool     `param:"allow_untrusted_routing"`
	SoftBounce       bool     `param:"soft_bounce"`

	CodeReject    int  `param:"access_map_reject_code"`
	CodeDefer     int  `param:"access_map_defer_code"`
	CodeHelo      int  `param:"invalid_hostname_reject_code"`
	CodeFQDN      int  `param:"non_fqdn_reject_code"`
	CodeClient    int  `param:"unknown_client_reject_code"`
	CodeAddress   int  `param:"unknown_address_reject_code"`
	CodeRelay     int  `param:"relay_domains_reject_code"`
	CodeBounce    int  `param:"multi_recipient_bounce_reject_code"`
	CodePlaintext int  `param:"plaintext_reject_code"`
	CodeLocal     int  `param:"unknown_local_recipient_reject_code"`
	FullTempfail  bool `param:"quota_full_tempfail"`
	CodeVirtual   int  `param:"unknown_virtual_mailbox_reject_code"`
	CodeAlias     int  `param:"unknown_virtual_alias_reject_code"`
	CodeRelayRcpt int  `param:"unknown_relay_recipient_reject_code"`

	Timeout        time.Duration `param:"smtpd_timeout"`
	Deadline       bool          `param:"smtpd_per_request_deadline"`
	MinDataRate    int           `param:"smtpd_min_data_rate"`
	LineLimit      int           `param:"line_length_limit"`
	SoftErrors     int           `param:"smtpd_soft_error_limit"`
	HardErrors     int           `param:"smtpd_hard_error_limit"`
	ErrorSleep     time.Duration `param:"smtpd_error_sleep_time"`
	JunkLimit      int           `param:"smtpd_junk_command_limit"`
	RcptLimit      int           `param:"smtpd_recipient_limit"`
	RcptOver       int           `param:"smtpd_recipient_overshoot_limit"`
	SizeLimit      int64         `param:"message_size_limit"`
	MinFree        int64         `param:"queue_minfree"`
	HeloRequired   bool          `param:"smtpd_helo_required"`
	StrictPaths    bool          `param:"strict_rfc821_envelopes"`
	Dashes         bool          `param:"allow_min_user"`
	NoVRFY         bool          `param:"disable_vrfy_command"`
	UTF8           bool          `param:"smtputf8_enable"`
	Forbidden      []string      `param:"smtpd_forbidden_commands"`
	NoEarlyTalk    bool          `param:"smtpd_forbid_unauth_pipelining"`
	BareLF         string        `param:"smtpd_forbid_bare_newline"`
	BareLFExcept   []string      `param:"smtpd_forbid_bare_newline_exclusions"`
	Discard        []string      `param:"smtpd_discard_ehlo_keywords"`
	DiscardMaps    []string      `param:"smtpd_discard_ehlo_keyword_address_maps"`
	PeerLookup     bool          `param:"smtpd_peername_lookup"`
	CleanupService string        `param:"cleanup_service_name"`
	FlushService   string        `param:"flush_service_name"`
	RewriteService string        `param:"rewrite_service_name"`

	ConnCount    int      `param:"smtpd_client_connection_count_limit"`
	ConnRate     int      `param:"smtpd_client_connection_rate_limit"`
	MessageRate  int      `param:"smtpd_client_message_rate_limit"`
	RcptRate     int      `param:"smtpd_client_recipient_rate_limit"`
	RequireTLS   bool     `param:"requiretls_enable"`
	NewTLSRate   int      `param:"smtpd_client_new_tls_session_rate_limit"`
	LimitsExcept []string `param:"smtpd_client_event_limit_exceptions"`

	ContentFilter string `param:"content_filter"`

	CodeRBL      int      `param:"maps_rbl_reject_code"`
	RBLReply     string   `param:"default_rbl_reply"`
	RBLReplyMaps []string `param:"rbl_reply_maps"`

	VERPClients []string `param:"smtpd_authorized_verp_clients"`
	PriorityOf  []string `param:"smtpd_authorized_priority_clients"`
	VERPDelims  string   `param:"default_verp_delimiters"`
	VERPFilter  string   `param:"verp_delimiter_filter"`

	TLSLevel      string        `param:"smtpd_tls_security_level"`
	UseTLS        bool          `param:"smtpd_use_tls"`
	EnforceTLS    bool          `param:"smtpd_enforce_tls"`
	Wrapper       bool          `param:"smtpd_tls_wrappermode"`
	TLSLog        int           `param:"smtpd_tls_loglevel"`
	TLSProtocols  []string      `param:"smtpd_tls_protocols"`
	TLSMandatory  []string      `param:"smtpd_tls_mandatory_protocols"`
	TLSReceived   bool          `param:"smtpd_tls_received_header"`
	TLSTimeout    time.Duration `param:"smtpd_starttls_timeout"`
	AskCert       bool          `param:"smtpd_tls_ask_ccert"`
	ReqCert       bool          `param:"smtpd_tls_req_ccert"`
	CAFile        string        `param:"smtpd_tls_CAfile"`
	CAPath        string        `param:"smtpd_tls_CApath"`
	CertDepth     int           `param:"smtpd_tls_ccert_verifydepth"`
	CertDigest    string        `param:"smtpd_tls_fingerprint_digest"`
	ClientCerts   []string      `param:"relay_clientcerts"`
	TLSAlways     bool          `param:"smtpd_tls_always_issue_session_ids"`
	LocalRewrites []string      `param:"local_header_rewrite_clients"`

	SASLEnable     bool     `param:"smtpd_sasl_auth_enable"`
	SASLType       string   `param:"smtpd_sasl_type"`
	SASLPath       string   `param:"smtpd_sasl_path"`
	SASLRealm      string   `param:"smtpd_sasl_local_domain"`
	SASLService    string   `param:"smtpd_sasl_service"`
	SASLOptions    []string `param:"smtpd_sasl_security_options"`
	SASLTLSOptions []string `param:"smtpd_sasl_tls_security_options"`
	SASLFilter     []string `param:"smtpd_sasl_mechanism_filter"`
	SASLExceptions []string `param:"smtpd_sasl_exceptions_networks"`
	SASLHeader     bool     `param:"smtpd_sasl_authenticated_header"`
	SASLLimit      int      `param:"smtpd_sasl_response_limit"`
	SASLBroken     bool     `param:"broken_sasl_auth_clients"`
	TLSAuthOnly    bool     `param:"smtpd_tls_auth_only"`
	AuthRate       int      `param:"smtpd_client_auth_rate_limit"`
	LoginMaps      []string `param:"smtpd_sender_login_maps"`
	Origin         string   `param:"myorigin"`
}
