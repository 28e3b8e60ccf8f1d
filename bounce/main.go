// Bounce keeps the logs of failed, delayed and reported deliveries, and tells
// senders about them.
//
// # Synopsis
//
//	bounce [generic daemon options]
//
// # Description
//
// The program runs as three services of master.cf: bounce, defer and trace.
// Each keeps one log per message, in the queue directory of its name. Delivery
// agents add an entry for a recipient; the entry is on disk when they get the
// reply, and only then do they mark the recipient as done.
//
// When an attempt to deliver a message is over, the queue manager asks for the
// notice. It is a multipart/report message (RFC 3464, RFC 6522, and RFC 6533
// for internationalized mail) that goes to the sender through cleanup, from
// the null address. The log is removed after the notice is safely queued.
//
// A text of bounce_template_file with a mistake is replaced by the built-in one, and
// so are all if there is no such file, with a warning: mail that failed does not wait until somebody looks.
// header_checks and body_checks see notices if internal_mail_filter_classes has
// bounce.
//
// Mail from the null sender never causes a notice to it. If notify_classes has
// 2bounce, the postmaster gets it; a notice of that kind that cannot be
// delivered is dropped.
//
// # Security
//
// Runs in the queue directory as the mail owner, and has no network. Requests
// are checked, although they come from siblings, and what remote hosts said is
// made printable before it is quoted.
//
// # Parameters
//
// bounce_size_limit, bounce_template_file, notify_classes, bounce_notice_recipient,
// 2bounce_notice_recipient, delay_notice_recipient, double_bounce_sender,
// enable_threaded_bounces, internal_mail_filter_classes, maximal_queue_lifetime, myhostname, mail_name.
//
// # See also
//
// qmgr(8), cleanup(8), master(8)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name:    "bounce",
		About:   "keeps the logs of failed, delayed and reported deliveries, and tells senders about them",
		Kind:    service.Stream,
		Jail:    jail.QueueOnly,
		Inner:   true,
		Brief:   true,
		Prepare: prepare,
	})
}
