// Flush makes deferred mail for one destination due.
//
// # Synopsis
//
//	flush [generic daemon options]
//
// # Description
//
// Clients ask on the public/flush socket for a try of all deferred mail to a
// domain (`postqueue -s site`, `sendmail -qRsite`, the SMTP command ETRN), or
// of one message (`postqueue -i queue_id`). The messages go to the incoming
// queue with a hint that their destination is to be tried even if it was found
// dead, and qmgr is told.
//
// Only the domains in fast_flush_domains can be asked for. The messages are
// found by a look at the recipients of all deferred messages, in the
// background; requests that come meanwhile are served together by the next
// look. There are no lists to keep, as Postfix has them below the directory
// flush; files there are left alone.
//
// # Security
//
// Runs chrooted in the queue directory as the mail owner, without network. The
// socket is open to all local users by way of postqueue, and by way of smtpd
// to the clients that smtpd_etrn_restrictions lets through, so a request costs
// at most one look at the deferred queue, however many come.
//
// # Parameters
//
// fast_flush_domains, parent_domain_matches_subdomains, queue_service_name,
// hash_queue_depth, hash_queue_names.
//
// # See also
//
// postqueue(1), smtpd(8), qmgr(8)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name:    "flush",
		About:   "makes deferred mail for one destination due",
		Kind:    service.Stream,
		Jail:    jail.QueueOnly,
		Brief:   true,
		Prepare: prepare,
	})
}
