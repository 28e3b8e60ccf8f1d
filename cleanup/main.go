// Cleanup makes a queue file of a message.
//
// # Synopsis
//
//	cleanup [generic daemon options]
//
// # Description
//
// Cleanup takes messages from smtpd, submission, pickup, bounce and local on
// the public/cleanup socket, one after the other on each connection. It tells
// the queue id at once, reads envelope, content and what the client found in
// the headers as queue file records, and answers with a status when the file
// and its directory are on disk. Then it wakes up qmgr.
//
// On the way it
//
//   - adds the headers Date, Message-ID and From that are missing, and removes
//     those of message_drop_headers;
//   - brings addresses in envelope and headers to the form user@domain, with
//     the help of trivial-rewrite, and applies canonical_maps,
//     sender_canonical_maps, recipient_canonical_maps and masquerade_domains;
//   - expands recipients by virtual_alias_maps, adds those of always_bcc,
//     sender_bcc_maps and recipient_bcc_maps, and drops duplicates;
//   - applies header_checks, mime_header_checks, nested_header_checks and
//     body_checks to mail from outside;
//   - replaces carriage returns and newlines inside of lines by blanks.
//
// When more than default_process_limit messages wait in the incoming queue,
// new mail from outside has to wait for up to in_flow_delay, so that it does
// not come in faster than qmgr takes it.
//
// Bytes of the content that no rule changes stay as they are.
//
// # Security
//
// No network, no passwords, no child processes. Runs chrooted in the queue
// directory as the mail owner. Clients are not trusted: records have limits,
// types and order are checked, and text in the envelope has no control
// characters. A message that breaks the rules is refused with status 1.
//
// # Parameters
//
// always_add_missing_headers, always_bcc, body_checks, body_checks_size_limit,
// canonical_classes, canonical_maps, cleanup_replace_stray_cr_lf,
// delay_warning_time, duplicate_filter_limit, enable_original_recipient,
// header_checks, header_from_format, header_size_limit, hopcount_limit,
// tls_required_enable,
// in_flow_delay, masquerade_classes, masquerade_domains, masquerade_exceptions,
// message_drop_headers, message_reject_characters, message_size_limit,
// message_strip_characters, mime_boundary_length_limit, mime_header_checks,
// mime_nesting_limit, nested_header_checks, propagate_unmatched_extensions,
// recipient_bcc_maps, recipient_canonical_classes, recipient_canonical_maps,
// remote_header_rewrite_domain, sender_bcc_maps, sender_canonical_classes,
// sender_canonical_maps, undisclosed_recipients_header,
// virtual_alias_address_length_limit, virtual_alias_expansion_limit,
// virtual_alias_maps, virtual_alias_recursion_limit.
//
// # See also
//
// trivial-rewrite(8), qmgr(8), smtpd(8), pickup(8), posthouse-tables(5),
// postconf(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name:    "cleanup",
		About:   "makes a queue file of a message",
		Kind:    service.Stream,
		Jail:    jail.QueueOnly,
		Syncs:   true,
		Prepare: prepare,
	})
}

func prepare(env *service.Env) (*service.Hooks, error) {
	s, err := newServer(env.Config, env.Log)
	if err != nil {
		return nil, err
	}
	return &service.Hooks{Session: s.session, Changed: s.changed, Drain: s.drain}, nil
}
