// Proxymap looks things up in tables for daemons that cannot open them
// because they are in a jail, or that should share one open table.
//
// # Synopsis
//
//	proxymap [generic daemon options]
//
// # Description
//
// A table "proxy:type:name" of main.cf is opened by this daemon as
// "type:name", and asked on behalf of the client. Requests are attribute
// lists: "open" (table, flags) and "lookup" (table, flags, key). A reply has a
// status: ok, nokey (not in the table), retry (the table failed), bad
// (malformed request), deny (not an approved table) or config (the table
// cannot be opened).
//
// Tables stay open for all clients until the process ends. It ends after
// max_use clients, after max_idle seconds without one, and when the source of
// an open table changes.
//
// # Security
//
// Only tables that a parameter in proxy_read_maps names are opened, by exactly
// the name that stands there. Clients are not trusted, and neither is this
// daemon: what decides on user ids, files and commands (alias_maps,
// virtual_uid_maps) is opened by its users themselves. The daemon runs as the
// mail owner. It is not jailed, since its work is to open files.
//
// # Parameters
//
// proxy_read_maps.
//
// # See also
//
// postmap(1), postconf(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name:       "proxymap",
		About:      "looks things up in tables for daemons that cannot open them because they are in a jail, or that should share one open table",
		Kind:       service.Stream,
		Jail:       jail.Helper,
		Submission: true,
		Prepare:    prepare,
	})
}
