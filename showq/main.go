// Showq lists the mail queue.
//
// # Synopsis
//
//	showq [generic daemon options]
//
// # Description
//
// Whoever connects gets a listing of the messages in the maildrop, active,
// incoming, deferred and hold queues: id, arrival time, size, sender and the
// recipients that are not done, with the reason of the last delay. The stream
// is Postfix's, so that its tools can read it. The client says nothing.
//
// # Security
//
// Takes no input. Runs chrooted in the queue directory as the mail owner,
// opens queue files for reading only, and follows no links. Text that came
// from the network is made printable.
//
// # Parameters
//
//   - duplicate_filter_limit: how many deferred recipients of one message are
//     remembered, so that none is listed twice.
//   - empty_address_recipient: what is shown for a null recipient.
//   - hash_queue_depth, hash_queue_names: where queue files are.
//
// # See also
//
// postqueue, mailq, qmgr
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name:    "showq",
		About:   "lists the mail queue",
		Kind:    service.Stream,
		Jail:    jail.QueueOnly,
		Prepare: prepare,
	})
}
