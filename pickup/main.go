// Pickup takes local mail from the maildrop and hands it to cleanup.
//
// # Synopsis
//
//	pickup [generic daemon options]
//
// # Description
//
// When it is woken, by a trigger of postdrop or by master once a minute,
// pickup looks for complete files in the maildrop queue, copies them to the
// cleanup service and removes each one after cleanup has said that its message
// is on disk. A crash in between means a second copy, never a loss.
//
// A file that is malformed, or that is not a plain file with one name, is
// moved to the corrupt queue and reported.
//
// Mail that postsuper -r requeued is known by its owner, the mail owner, and by
// its mode; recipients that were done are left out.
//
// # Security
//
// Whoever may write to the maildrop is not trusted: who the sender is comes
// from the owner of the file, links are not followed, and only record types and
// attributes that a user may set are passed on. Runs as the mail owner,
// chrooted in the queue directory.
//
// # Parameters
//
//   - cleanup_service_name: where mail is handed to.
//   - content_filter: the filter for local mail.
//   - line_length_limit: the longest record.
//   - mail_name, myhostname: for the Received header.
//   - receive_override_options: what cleanup is not to do.
//   - smtputf8_autodetect_classes, smtputf8_enable: whether cleanup finds out
//     that a message needs SMTPUTF8.
//
// # See also
//
// postdrop, sendmail, cleanup, postsuper
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name:     "pickup",
		About:    "takes local mail from the maildrop and hands it to cleanup",
		Kind:     service.Trigger,
		Jail:     jail.QueueOnly,
		Solitary: true,
		Brief:    true,
		Prepare:  prepare,
	})
}
