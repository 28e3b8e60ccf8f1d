// Trivial-rewrite brings addresses to their standard form and finds out where
// mail for them goes.
//
// # Synopsis
//
//	trivial-rewrite [generic daemon options]
//
// # Description
//
// The server answers requests on the private/rewrite socket:
//
//   - rewrite completes an address: it strips source routes, turns UUCP paths
//     and the percent hack into user@domain, and adds $myorigin and $mydomain
//     (rule local) or $remote_header_rewrite_domain (rule remote).
//   - resolve gives transport, next hop and recipient for an address and the
//     sender of the message, with the class of the address: local, virtual
//     alias, virtual mailbox, relay or default, the first that matches. With a
//     rule, the address is completed before.
//   - verify is resolve for the probes of address verification.
//
// Domains of this host are stripped until a foreign domain or a local part is
// left, also inside of quotes, so that no spelling of an address is relayed
// that would not be when written plainly.
//
// # Security
//
// No network after the start, no child processes. Runs chrooted in the queue
// directory as the mail owner.
//
// # Parameters
//
// address_verify_default_transport, address_verify_local_transport,
// address_verify_relay_transport, address_verify_relayhost,
// address_verify_sender_dependent_default_transport_maps,
// address_verify_sender_dependent_relayhost_maps,
// address_verify_transport_maps, address_verify_virtual_transport,
// allow_min_user, allow_percent_hack, append_at_myorigin,
// append_dot_mydomain, default_transport, empty_address_recipient,
// inet_interfaces, local_transport, mydestination, mydomain, myhostname,
// myorigin, parent_domain_matches_subdomains, proxy_interfaces,
// recipient_delimiter, relay_domains, relay_transport, relayhost,
// relocated_maps, remote_header_rewrite_domain, resolve_dequoted_address,
// resolve_null_domain, resolve_numeric_domain,
// sender_dependent_default_transport_maps, sender_dependent_relayhost_maps,
// show_user_unknown_table_name, swap_bangpath, transport_maps,
// virtual_alias_domains, virtual_mailbox_domains, virtual_transport.
//
// # See also
//
// cleanup(8), qmgr(8), smtpd(8), posthouse-tables(5), postconf(5)
package main

import (
	"context"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/table"
)

func main() {
	service.Main(service.Daemon{
		Name:       "trivial-rewrite",
		About:      "brings addresses to their standard form and finds out where mail for them goes",
		Kind:       service.Stream,
		Jail:       jail.QueueOnly,
		Submission: true,
		Brief:      true,
		Prepare:    prepare,
	})
}

func prepare(env *service.Env) (*service.Hooks, error) {
	var p params
	if err := env.Config.Fill(&p); err != nil {
		return nil, err
	}
	o := table.Options{ConfigDir: env.Config.Dir(), Log: env.Log, UTF8: p.SMTPUTF8Enable,
		Proxy: ipc.NewPool("private/"+p.ProxymapService, table.ProxyTimeout)}
	r, err := newResolver(context.Background(), env.Config, &p, o)
	if err != nil {
		return nil, err
	}
	s := &server{resolver: r, log: env.Log}
	return &service.Hooks{Session: s.session, Changed: r.changed}, nil
}
