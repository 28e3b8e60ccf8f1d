package nexthop

import (
	"time"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// Protocol are the parameters of the client that exist twice, as smtp_*
// and as lmtp_*.
type Protocol struct {
	ConnectTimeout        time.Duration `param:"smtp_connect_timeout"`
	HeloTimeout           time.Duration `param:"smtp_helo_timeout"`
	StartTLSTimeout       time.Duration `param:"smtp_starttls_timeout"`
	XForwardTimeout       time.Duration `param:"smtp_xforward_timeout"`
	MailTimeout           time.Duration `param:"smtp_mail_timeout"`
	RcptTimeout           time.Duration `param:"smtp_rcpt_timeout"`
	DataInitTimeout       time.Duration `param:"smtp_data_init_timeout"`
	DataXferTimeout       time.Duration `param:"smtp_data_xfer_timeout"`
	DataDoneTimeout       time.Duration `param:"smtp_data_done_timeout"`
	RsetTimeout           time.Duration `param:"smtp_rset_timeout"`
	QuitTimeout           time.Duration `param:"smtp_quit_timeout"`
	HeloName              string        `param:"smtp_helo_name"`
	TCPPort               string        `param:"smtp_tcp_port"`
	AddressPreference     string        `param:"smtp_address_preference"`
	BalanceProtocols      bool          `param:"smtp_balance_inet_protocols"`
	RandomizeAddresses    bool          `param:"smtp_randomize_addresses"`
	BindAddress           string        `param:"smtp_bind_address"`
	BindAddress6          string        `param:"smtp_bind_address6"`
	BindEnforce           bool          `param:"smtp_bind_address_enforce"`
	HostLookup            []string      `param:"smtp_host_lookup"`
	MXAddressLimit        int           `param:"smtp_mx_address_limit"`
	MXSessionLimit        int           `param:"smtp_mx_session_limit"`
	DeferIfNoMXAddress    bool          `param:"smtp_defer_if_no_mx_address_found"`
	FallbackRelay         []string      `param:"smtp_fallback_relay"`
	Skip5xxGreeting       bool          `param:"smtp_skip_5xx_greeting"`
	SkipQuitResponse      bool          `param:"smtp_skip_quit_response"`
	LineLengthLimit       int           `param:"smtp_line_length_limit"`
	QuoteEnvelope         bool          `param:"smtp_quote_rfc821_envelope"`
	SendXForward          bool          `param:"smtp_send_xforward_command"`
	DiscardKeywords       []string      `param:"smtp_discard_ehlo_keywords"`
	DiscardKeywordMaps    []string      `param:"smtp_discard_ehlo_keyword_address_maps"`
	CacheOnDemand         bool          `param:"smtp_connection_cache_on_demand"`
	CacheDestinations     []string      `param:"smtp_connection_cache_destinations"`
	CacheTimeLimit        time.Duration `param:"smtp_connection_cache_time_limit"`
	ReuseCountLimit       int           `param:"smtp_connection_reuse_count_limit"`
	ReuseTimeLimit        time.Duration `param:"smtp_connection_reuse_time_limit"`
	TLSLevel              string        `param:"smtp_tls_security_level"`
	TLSWrapperMode        bool          `param:"smtp_tls_wrappermode"`
	UseTLS                bool          `param:"smtp_use_tls"`
	EnforceTLS            bool          `param:"smtp_enforce_tls"`
	TLSEnforceName        bool          `param:"smtp_tls_enforce_peername"`
	TLSProtocols          []string      `param:"smtp_tls_protocols"`
	TLSMandatoryProtocols []string      `param:"smtp_tls_mandatory_protocols"`
	TLSCiphers            string        `param:"smtp_tls_ciphers"`
	TLSMandatoryCiphers   string        `param:"smtp_tls_mandatory_ciphers"`
	TLSExclude            []string      `param:"smtp_tls_exclude_ciphers"`
	TLSMandatoryExclude   []string      `param:"smtp_tls_mandatory_exclude_ciphers"`
	TLSCAFile             string        `param:"smtp_tls_CAfile"`
	TLSCAPath             string        `param:"smtp_tls_CApath"`
	TLSVerifyMatch        []string      `param:"smtp_tls_verify_cert_match"`
	TLSSecureMatch        []string      `param:"smtp_tls_secure_cert_match"`
	TLSFingerprintMatch   []string      `param:"smtp_tls_fingerprint_cert_match"`
	TLSFingerprintDigest  string        `param:"smtp_tls_fingerprint_digest"`
	TLSServerName         string        `param:"smtp_tls_servername"`
	TLSPolicyMaps         []string      `param:"smtp_tls_policy_maps"`
	TLSLogLevel           string        `param:"smtp_tls_loglevel"`
	TLSNoteOffer          bool          `param:"smtp_tls_note_starttls_offer"`
	PerRequestDeadline    bool          `param:"smtp_per_request_deadline"`
	MinDataRate           int           `param:"smtp_min_data_rate"`
	GenericMaps           []string      `param:"smtp_generic_maps"`
	HeaderChecks          []string      `param:"smtp_header_checks"`
	MIMEHeaderChecks      []string      `param:"smtp_mime_header_checks"`
	NestedHeaderChecks    []string      `param:"smtp_nested_header_checks"`
	BodyChecks            []string      `param:"smtp_body_checks"`
	SASLEnable            bool          `param:"smtp_sasl_auth_enable"`
	SASLPasswords         []string      `param:"smtp_sasl_password_maps"`
	SASLOptions           []string      `param:"smtp_sasl_security_options"`
	SASLTLSOptions        []string      `param:"smtp_sasl_tls_security_options"`
	SASLFilter            []string      `param:"smtp_sasl_mechanism_filter"`
	SASLSoftBounce        bool          `param:"smtp_sasl_auth_soft_bounce"`
}

// lmtpParams has the fields of Protocol, with LMTP's names. The types
// convert into each other, so a field that is missing here does not compile.
type lmtpParams struct {
	ConnectTimeout        time.Duration `param:"lmtp_connect_timeout"`
	HeloTimeout           time.Duration `param:"lmtp_lhlo_timeout"`
	StartTLSTimeout       time.Duration `param:"lmtp_starttls_timeout"`
	XForwardTimeout       time.Duration `param:"lmtp_xforward_timeout"`
	MailTimeout           time.Duration `param:"lmtp_mail_timeout"`
	RcptTimeout           time.Duration `param:"lmtp_rcpt_timeout"`
	DataInitTimeout       time.Duration `param:"lmtp_data_init_timeout"`
	DataXferTimeout       time.Duration `param:"lmtp_data_xfer_timeout"`
	DataDoneTimeout       time.Duration `param:"lmtp_data_done_timeout"`
	RsetTimeout           time.Duration `param:"lmtp_rset_timeout"`
	QuitTimeout           time.Duration `param:"lmtp_quit_timeout"`
	HeloName              string        `param:"lmtp_lhlo_name"`
	TCPPort               string        `param:"lmtp_tcp_port"`
	AddressPreference     string        `param:"lmtp_address_preference"`
	BalanceProtocols      bool          `param:"lmtp_balance_inet_protocols"`
	RandomizeAddresses    bool          `param:"lmtp_randomize_addresses"`
	BindAddress           string        `param:"lmtp_bind_address"`
	BindAddress6          string        `param:"lmtp_bind_address6"`
	BindEnforce           bool          `param:"lmtp_bind_address_enforce"`
	HostLookup            []string      `param:"lmtp_host_lookup"`
	MXAddressLimit        int           `param:"lmtp_mx_address_limit"`
	MXSessionLimit        int           `param:"lmtp_mx_session_limit"`
	DeferIfNoMXAddress    bool          `param:"lmtp_defer_if_no_mx_address_found"`
	FallbackRelay         []string      `param:"lmtp_fallback_relay"`
	Skip5xxGreeting       bool          `param:"lmtp_skip_5xx_greeting"`
	SkipQuitResponse      bool          `param:"lmtp_skip_quit_response"`
	LineLengthLimit       int           `param:"lmtp_line_length_limit"`
	QuoteEnvelope         bool          `param:"lmtp_quote_rfc821_envelope"`
	SendXForward          bool          `param:"lmtp_send_xforward_command"`
	DiscardKeywords       []string      `param:"lmtp_discard_lhlo_keywords"`
	DiscardKeywordMaps    []string      `param:"lmtp_discard_lhlo_keyword_address_maps"`
	CacheOnDemand         bool          `param:"lmtp_connection_cache_on_demand"`
	CacheDestinations     []string      `param:"lmtp_connection_cache_destinations"`
	CacheTimeLimit        time.Duration `param:"lmtp_connection_cache_time_limit"`
	ReuseCountLimit       int           `param:"lmtp_connection_reuse_count_limit"`
	ReuseTimeLimit        time.Duration `param:"lmtp_connection_reuse_time_limit"`
	TLSLevel              string        `param:"lmtp_tls_security_level"`
	TLSWrapperMode        bool          `param:"lmtp_tls_wrappermode"`
	UseTLS                bool          `param:"lmtp_use_tls"`
	EnforceTLS            bool          `param:"lmtp_enforce_tls"`
	TLSEnforceName        bool          `param:"lmtp_tls_enforce_peername"`
	TLSProtocols          []string      `param:"lmtp_tls_protocols"`
	TLSMandatoryProtocols []string      `param:"lmtp_tls_mandatory_protocols"`
	TLSCiphers            string        `param:"lmtp_tls_ciphers"`
	TLSMandatoryCiphers   string        `param:"lmtp_tls_mandatory_ciphers"`
	TLSExclude            []string      `param:"lmtp_tls_exclude_ciphers"`
	TLSMandatoryExclude   []string      `param:"lmtp_tls_mandatory_exclude_ciphers"`
	TLSCAFile             string        `param:"lmtp_tls_CAfile"`
	TLSCAPath             string        `param:"lmtp_tls_CApath"`
	TLSVerifyMatch        []string      `param:"lmtp_tls_verify_cert_match"`
	TLSSecureMatch        []string      `param:"lmtp_tls_secure_cert_match"`
	TLSFingerprintMatch   []string      `param:"lmtp_tls_fingerprint_cert_match"`
	TLSFingerprintDigest  string        `param:"lmtp_tls_fingerprint_digest"`
	TLSServerName         string        `param:"lmtp_tls_servername"`
	TLSPolicyMaps         []string      `param:"lmtp_tls_policy_maps"`
	TLSLogLevel           string        `param:"lmtp_tls_loglevel"`
	TLSNoteOffer          bool          `param:"lmtp_tls_note_starttls_offer"`
	PerRequestDeadline    bool          `param:"lmtp_per_request_deadline"`
	MinDataRate           int           `param:"lmtp_min_data_rate"`
	GenericMaps           []string      `param:"lmtp_generic_maps"`
	HeaderChecks          []string      `param:"lmtp_header_checks"`
	MIMEHeaderChecks      []string      `param:"lmtp_mime_header_checks"`
	NestedHeaderChecks    []string      `param:"lmtp_nested_header_checks"`
	BodyChecks            []string      `param:"lmtp_body_checks"`
	SASLEnable            bool          `param:"lmtp_sasl_auth_enable"`
	SASLPasswords         []string      `param:"lmtp_sasl_password_maps"`
	SASLOptions           []string      `param:"lmtp_sasl_security_options"`
	SASLTLSOptions        []string      `param:"lmtp_sasl_tls_security_options"`
	SASLFilter            []string      `param:"lmtp_sasl_mechanism_filter"`
	SASLSoftBounce        bool          `param:"lmtp_sasl_auth_soft_bounce"`
}

// SMTPOnly are parameters that LMTP does not have.
type SMTPOnly struct {
	AlwaysEHLO bool `param:"smtp_always_send_ehlo"`
	NeverEHLO  bool `param:"smtp_never_send_ehlo"`
	// SenderLogin makes logins depend on the sender.
	SenderLogin bool `param:"smtp_sender_dependent_authentication"`
}

// LMTPOnly are parameters that SMTP does not have.
type LMTPOnly struct {
	AssumeFinal bool `param:"lmtp_assume_final"`
}

// Params are all parameters of a client of one protocol.
type Params struct {
	Protocol
	SMTPOnly
	LMTPOnly
	Common
}

// Common parameters are read for both protocols.
type Common struct {
	MyHostname        string        `param:"myhostname"`
	InetInterfaces    []string      `param:"inet_interfaces"`
	ProxyInterfaces   []string      `param:"proxy_interfaces"`
	InetProtocols     []string      `param:"inet_protocols"`
	DisableDNS        bool          `param:"disable_dns_lookups"`
	IgnoreMXError     bool          `param:"ignore_mx_lookup_error"`
	BestMXTransport   string        `param:"best_mx_transport"`
	Relayhost         string        `param:"relayhost"`
	SoftBounce        bool          `param:"soft_bounce"`
	MinimalBackoff    time.Duration `param:"minimal_backoff_time"`
	NoConversion      bool          `param:"disable_mime_output_conversion"`
	AppendDefaultCA   bool          `param:"tls_append_default_CA"`
	TLSRequiredHeader bool          `param:"tls_required_enable"`
	MultiWildcard     bool          `param:"tls_wildcard_matches_multiple_labels"`
	ProxymapService   string        `param:"proxymap_service_name"`

	RewriteService     string   `param:"rewrite_service_name"`
	MyOrigin           string   `param:"myorigin"`
	MyDestination      string   `param:"mydestination"`
	RecipientDelimiter string   `param:"recipient_delimiter"`
	Propagate          []string `param:"propagate_unmatched_extensions"`
	BodyChecksSize     int      `param:"body_checks_size_limit"`
	HeaderSizeLimit    int      `param:"header_size_limit"`
	MIMENestingLimit   int      `param:"mime_nesting_limit"`
	MIMEBoundaryLimit  int      `param:"mime_boundary_length_limit"`
}

// ReadParams reads the parameters of a protocol.
func ReadParams(cfg *config.Config, lmtp bool) (*Params, error) {
	p := &Params{}
	if err := cfg.Fill(&p.Common); err != nil {
		return nil, err
	}
	if !lmtp {
		if err := cfg.Fill(&p.SMTPOnly); err != nil {
			return nil, err
		}
		return p, cfg.Fill(&p.Protocol)
	}
	var l lmtpParams
	if err := cfg.Fill(&l); err != nil {
		return nil, err
	}
	p.Protocol = Protocol(l)
	return p, cfg.Fill(&p.LMTPOnly)
}
