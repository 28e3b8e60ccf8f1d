// Error returns mail to its sender, or, as the service retry, puts it off.
//
// # Synopsis
//
//	error [generic daemon options]
//
// # Description
//
// Mail for this transport is not delivered. The next-hop field of a delivery
// request is the reason, with an optional status code in front: "5.1.1 user
// unknown". Each recipient is bounced with it. A service of the name retry
// defers instead; the queue manager and transport tables use it for mail that
// is not to be tried for now.
//
// # Security
//
// No network, no mail store, no child processes. Runs chrooted in the queue
// directory as the mail owner.
//
// # Parameters
//
// bounce_service_name, defer_service_name, soft_bounce,
// delay_logging_resolution_limit.
//
// # See also
//
// bounce(8), discard(8), qmgr(8), posthouse-tables(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name:    "error",
		About:   "returns mail to its sender, or, as the service retry, puts it off",
		Kind:    service.Stream,
		Jail:    jail.QueueOnly,
		Inner:   true,
		Brief:   true,
		Prepare: prepare,
	})
}
