// Anvil counts what clients do, so that servers can limit it.
//
// # Synopsis
//
//	anvil [generic daemon options]
//
// # Description
//
// Servers report connections, messages, recipients, TLS sessions and
// authentications of their clients, and learn how many connections a client
// has open and how often it did each thing in the last anvil_rate_time_unit.
//
// Counts are lost when the process ends: they are a brake, not a ledger. When
// a server ends without taking leave, its connections are taken off.
//
// Submission(8) also reports the messages and recipients of each user who has
// logged in, for its limits by hour and day. This account is kept in
// $data_directory/anvil_usage.0 and .1, and survives a restart; a crash loses
// at most the last 20 seconds. Of a user who sends one message after the other,
// some are counted ahead, as long as the limits are far; what is not used is
// taken back.
//
// Every anvil_status_update_time, and at the end, the highest counts are
// logged.
//
// # Security
//
// The process has no network and no files but the two of its account, which it
// opens before it gives up its rights. The number of clients that it
// remembers is bounded; those that were idle for a time unit go first.
//
// # Parameters
//
// anvil_rate_time_unit, anvil_status_update_time, data_directory
//
// # See also
//
// smtpd(8), submission(8), postconf(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name: "anvil", About: "counts what clients do, so that servers can limit it",
		Kind: service.Stream, Jail: jail.QueueOnly,
		Solitary: true, Permanent: true, Login: true, Submission: true, Prepare: prepare,
	})
}
