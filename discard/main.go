// Discard reports mail as delivered and throws it away.
//
// # Synopsis
//
//	discard [generic daemon options]
//
// # Description
//
// The next-hop field of a delivery request carries the reason for discarding,
// with an optional status code in front: "2.7.1 policy". Each recipient is
// logged as sent and marked as done in the queue file.
//
// # Security
//
// No network, no mail store, no child processes. Runs chrooted in the queue
// directory as the mail owner.
//
// # Parameters
//
// trace_service_name, delay_logging_resolution_limit.
//
// # See also
//
// error(8), qmgr(8), posthouse-tables(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name:    "discard",
		About:   "reports mail as delivered and throws it away",
		Kind:    service.Stream,
		Jail:    jail.QueueOnly,
		Inner:   true,
		Brief:   true,
		Prepare: prepare,
	})
}
