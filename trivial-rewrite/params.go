package main

// params are the parameters of trivial-rewrite.
type params struct {
	Myhostname                string `param:"myhostname"`
	Mydomain                  string `param:"mydomain"`
	Myorigin                  string `param:"myorigin"`
	SwapBangpath              bool   `param:"swap_bangpath"`
	AllowPercentHack          bool   `param:"allow_percent_hack"`
	AppendAtMyorigin          bool   `param:"append_at_myorigin"`
	AppendDotMydomain         bool   `param:"append_dot_mydomain"`
	RemoteHeaderRewriteDomain string `param:"remote_header_rewrite_domain"`

	ResolveDequotedAddress bool   `param:"resolve_dequoted_address"`
	ResolveNullDomain      bool   `param:"resolve_null_domain"`
	ResolveNumericDomain   bool   `param:"resolve_numeric_domain"`
	AllowMinUser           bool   `param:"allow_min_user"`
	EmptyAddressRecipient  string `param:"empty_address_recipient"`
	RecipientDelimiter     string `param:"recipient_delimiter"`
	SMTPUTF8Enable         bool   `param:"smtputf8_enable"`
	ProxymapService        string `param:"proxymap_service_name"`

	Mydestination         string   `param:"mydestination"`
	InetInterfaces        []string `param:"inet_interfaces"`
	ProxyInterfaces       []string `param:"proxy_interfaces"`
	VirtualAliasDomains   string   `param:"virtual_alias_domains"`
	VirtualMailboxDomains string   `param:"virtual_mailbox_domains"`
	RelayDomains          string   `param:"relay_domains"`
	ParentDomainMatches   []string `param:"parent_domain_matches_subdomains"`
	RelocatedMaps         string   `param:"relocated_maps"`
	ShowUserUnknownTable  bool     `param:"show_user_unknown_table_name"`

	SenderTransportNullKey string `param:"empty_address_default_transport_maps_lookup_key"`
	SenderRelayhostNullKey string `param:"empty_address_relayhost_maps_lookup_key"`
	LocalTransport         string `param:"local_transport"`
	VirtualTransport       string `param:"virtual_transport"`
	RelayTransport         string `param:"relay_transport"`
	DefaultTransport       string `param:"default_transport"`
	Relayhost              string `param:"relayhost"`
	SenderRelayhostMaps    string `param:"sender_dependent_relayhost_maps"`
	SenderTransportMaps    string `param:"sender_dependent_default_transport_maps"`
	TransportMaps          string `param:"transport_maps"`
	VerifyLocalTransport   string `param:"address_verify_local_transport"`
	VerifyVirtualTransport string `param:"address_verify_virtual_transport"`
	VerifyRelayTransport   string `param:"address_verify_relay_transport"`
	VerifyDefaultTransport string `param:"address_verify_default_transport"`
	VerifyRelayhost        string `param:"address_verify_relayhost"`
	VerifySenderRelayhosts string `param:"address_verify_sender_dependent_relayhost_maps"`
	VerifySenderTransports string `param:"address_verify_sender_dependent_default_transport_maps"`
	VerifyTransportMaps    string `param:"address_verify_transport_maps"`
}
