package main

import "time"

// params are the parameters of cleanup.
type params struct {
	Myhostname         string `param:"myhostname"`
	Myorigin           string `param:"myorigin"`
	Mydestination      string `param:"mydestination"`
	RecipientDelimiter string `param:"recipient_delimiter"`
	EmptyAddress       string `param:"empty_address_recipient"`

	EnableLongQueueIDs bool     `param:"enable_long_queue_ids"`
	HashQueueNames     []string `param:"hash_queue_names"`
	HashQueueDepth     int      `param:"hash_queue_depth"`

	CanonicalMaps             string   `param:"canonical_maps"`
	CanonicalClasses          []string `param:"canonical_classes"`
	SenderCanonicalMaps       string   `param:"sender_canonical_maps"`
	SenderCanonicalClasses    []string `param:"sender_canonical_classes"`
	RecipientCanonicalMaps    string   `param:"recipient_canonical_maps"`
	RecipientCanonicalClasses []string `param:"recipient_canonical_classes"`
	MasqueradeDomains         []string `param:"masquerade_domains"`
	MasqueradeClasses         []string `param:"masquerade_classes"`
	MasqueradeExceptions      []string `param:"masquerade_exceptions"`
	PropagateExtensions       []string `param:"propagate_unmatched_extensions"`
	RemoteRewriteDomain       string   `param:"remote_header_rewrite_domain"`

	BounceService string `param:"bounce_service_name"`
	DeferService  string `param:"defer_service_name"`
	TraceService  string `param:"trace_service_name"`

	VirtualAliasMaps      string `param:"virtual_alias_maps"`
	VirtualExpansionLimit int    `param:"virtual_alias_expansion_limit"`
	VirtualRecursionLimit int    `param:"virtual_alias_recursion_limit"`
	VirtualAddressLimit   int    `param:"virtual_alias_address_length_limit"`

	AlwaysBCC               string `param:"always_bcc"`
	SenderBCCMaps           string `param:"sender_bcc_maps"`
	RecipientBCCMaps        string `param:"recipient_bcc_maps"`
	DuplicateFilterLimit    int    `param:"duplicate_filter_limit"`
	EnableOriginalRecipient bool   `param:"enable_original_recipient"`

	HeaderChecks       string `param:"header_checks"`
	MIMEHeaderChecks   string `param:"mime_header_checks"`
	NestedHeaderChecks string `param:"nested_header_checks"`
	BodyChecks         string `param:"body_checks"`
	BodyChecksSize     int    `param:"body_checks_size_limit"`
	HeaderSizeLimit    int    `param:"header_size_limit"`
	DisableMIMEInput   bool   `param:"disable_mime_input_processing"`
	MIMENestingLimit   int    `param:"mime_nesting_limit"`
	MIMEBoundaryLimit  int    `param:"mime_boundary_length_limit"`

	MessageDropHeaders      []string      `param:"message_drop_headers"`
	MessageRejectCharacters string        `param:"message_reject_characters"`
	MessageStripCharacters  string        `param:"message_strip_characters"`
	ReplaceStrayCRLF        bool          `param:"cleanup_replace_stray_cr_lf"`
	AlwaysAddMissing        bool          `param:"always_add_missing_headers"`
	UndisclosedHeader       string        `param:"undisclosed_recipients_header"`
	HeaderFromFormat        string        `param:"header_from_format"`
	TLSRequiredHeader       bool          `param:"tls_required_enable"`
	HopcountLimit           int           `param:"hopcount_limit"`
	MessageSizeLimit        int           `param:"message_size_limit"`
	LineLengthLimit         int           `param:"line_length_limit"`
	InFlowDelay             time.Duration `param:"in_flow_delay"`
	ProcessLimit            int           `param:"default_process_limit"`
	ProxymapService         string        `param:"proxymap_service_name"`
	DelayWarningTime        time.Duration `param:"delay_warning_time"`
	SMTPUTF8Enable          bool          `param:"smtputf8_enable"`
	SoftBounce              bool          `param:"soft_bounce"`
	RewriteServiceName      string        `param:"rewrite_service_name"`
}
