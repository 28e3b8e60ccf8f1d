// Qmgr schedules the mail in the queue for delivery.
//
// # Synopsis
//
//	qmgr [generic daemon options]
//
// # Description
//
// The queue manager takes messages from the incoming queue and, when their
// time has come, from the deferred queue; asks trivial-rewrite where each
// recipient's mail goes; and sends requests to the delivery agents. At the end
// of an attempt it has the sender told of failures, and removes the message
// or puts it back for a later try.
//
// It listens on the FIFO public/qmgr for these bytes: I, new mail came in; D,
// look at the deferred queue; A, at all of it, whether due or not; F, try dead
// destinations and transports again; W, the periodic wake-up. After an I may come
// the queue id of the message and a line feed, these with the highest bit of
// each byte set; qmgr then takes that message without a scan of the incoming queue. All are hints: both
// queues are scanned at intervals anyway.
//
// A message that comes alone is taken at once. Where one follows another within ten
// milliseconds, qmgr rests for two before it takes what has come meanwhile together,
// as long as there are no more than a hundred in the active queue.
//
// A message that its sender wants to leave later (FUTURERELEASE, RFC 4865)
// waits in the deferred queue. It is tried at its time, not only with the
// next queue run.
//
// After a crash, the messages that were active go back to the incoming queue.
// One that a delivery agent still works on is skipped until that is over.
//
// # Security
//
// The queue manager neither reads message content nor talks to the network,
// and runs in the queue directory as the mail owner. Queue files and the
// replies of delivery agents are not trusted: a file that is damaged moves to
// the corrupt queue, and is never deleted.
//
// # Parameters
//
// Scheduling: initial_destination_concurrency, and for each transport
// default_destination_concurrency_limit, default_destination_recipient_limit,
// default_destination_rate_delay, default_transport_rate_delay,
// default_destination_concurrency_positive_feedback,
// default_destination_concurrency_negative_feedback,
// default_destination_concurrency_failed_cohort_limit,
// default_delivery_slot_cost, default_delivery_slot_loan,
// default_delivery_slot_discount, default_minimum_delivery_slots. A transport
// has at most as many requests at once as its maxproc in master.cf, times the
// client_limit if its line sets that with -o.
//
// Retry: minimal_backoff_time, maximal_backoff_time, queue_run_delay,
// maximal_queue_lifetime, bounce_queue_lifetime, transport_retry_time,
// defer_transports, confirm_delay_cleared.
//
// Size: qmgr_message_active_limit, qmgr_clog_warn_time,
// qmgr_message_recipient_limit, qmgr_message_recipient_minimum, and for each
// transport default_recipient_limit, default_recipient_refill_limit,
// default_recipient_refill_delay.
//
// Other: qmgr_daemon_timeout, qmgr_ipc_timeout.
//
// # See also
//
// postqueue(1), postsuper(1), bounce(8), trivial-rewrite(8), master(8)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name:      "qmgr",
		About:     "schedules the mail in the queue for delivery",
		Kind:      service.Trigger,
		Jail:      jail.QueueOnly,
		Solitary:  true,
		Permanent: true,
		Brief:     true,
		Prepare:   prepare,
	})
}
