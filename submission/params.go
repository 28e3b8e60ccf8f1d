package main

import (
	"time"

	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
)

// params are the parameters that submission has beside those of smtpd.
type params struct {
	TLSLevel    string   `param:"submission_tls_security_level"`
	TLSAuthOnly bool     `param:"submission_tls_auth_only"`
	Trusted     []string `param:"submission_trusted_networks"`
	Client      []string `param:"submission_client_restrictions"`
	Sender      []string `param:"submission_sender_restrictions"`
	Relay       []string `param:"submission_relay_restrictions"`
	Recipient   []string `param:"submission_recipient_restrictions"`

	Authorship string `param:"submission_authorship"`
	Resent     bool   `param:"submission_resent"`
	Groom      bool   `param:"submission_groom"`
	ShowClient bool   `param:"submission_received_address"`
	HeaderSize int    `param:"header_size_limit"`

	Connections    int    `param:"submission_connection_limit"`
	MessagesHour   int    `param:"submission_messages_per_hour"`
	MessagesDay    int    `param:"submission_messages_per_day"`
	RecipientsHour int    `param:"submission_recipients_per_hour"`
	RecipientsDay  int    `param:"submission_recipients_per_day"`
	Notice         string `param:"submission_notice_recipient"`

	Hold     time.Duration `param:"submission_hold_limit"`
	Priority bool          `param:"submission_priority"`
	Signers  []string      `param:"submission_signers"`
	Oversign []string      `param:"dkim_oversign_headers"`

	Relayhost   []string `param:"submission_relayhost"`
	SetgidGroup string   `param:"setgid_group"`
	DataDir     string   `param:"data_directory"`
	HopLimit    int      `param:"hopcount_limit"`
	DelayDigits int      `param:"delay_logging_resolution_limit"`
}

// limits are those of the site.
func (p *params) limits() anvilclient.Limits {
	return anvilclient.Limits{MessagesHour: p.MessagesHour, MessagesDay: p.MessagesDay,
		RecipientsHour: p.RecipientsHour, RecipientsDay: p.RecipientsDay}
}
