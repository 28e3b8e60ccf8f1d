// Sessiond starts the session of a mail user who has logged in, as that user.
//
// # Synopsis
//
//	sessiond [generic daemon options]
//
// # Description
//
// imapd(8) and pop3d(8) talk to users before login. When authd(8) says that
// the login is right it gives them a ticket, which they send to sessiond with
// the client's connection. Sessiond redeems the ticket, which works once,
// learns who the user is, and passes the connection to a worker process,
// mailuser(8), under the user's uid and gid. One worker serves all sessions
// of a uid; it is started for the first one and ends some time after the
// last. With session_scope = user each user has a worker, also where users
// share a uid.
//
// It also keeps connections to authd, by which that hands over sessions whose
// login server sent it the connection with the password.
//
// Where the login server keeps TLS it sends one end of a socket pair instead
// of the connection, and passes bytes.
//
// mail_max_userip_connections limits the sessions of a user from one address.
// A reload does not end sessions: the process that has them stays until the
// last one is over, while its successor takes new ones.
//
// # Security
//
// Sessiond is root in order to start workers. It reads no byte of a client
// and opens no user's file. It takes requests from the login servers only,
// and believes nothing that they say about the user: that comes from authd, over
// connections that sessiond made, to a socket that root made.
// A worker never runs as root nor with a uid below session_minimum_uid. It is
// confined to the home and mail directories of its users by landlock, may
// start no program and connect nowhere.
//
// # Parameters
//
// login_owner, mail_max_userip_connections, session_minimum_uid,
// session_scope, session_worker_idle, virtual_mailbox_base; and those of
// sessions, which it passes on: fts_index, fts_message_max_size,
// imap_append_limit, imap_capability,
// imap_idle_notify_interval, imap_max_line_length, imap_search_time_limit,
// imap_timeout,
// mail_fsync, mail_shared_folders, mail_special_folders, and pop3_* of pop3d(8); see
// postconf(5).
//
// # See also
//
// imapd(8), pop3d(8), authd(8), mailuser(8), postconf(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name: "sessiond", About: "starts the session of a mail user who has logged in, as that user",
		Kind: service.Stream, Jail: jail.Parent,
		Solitary: false, Permanent: true, Brief: true, Login: true, LoginLog: true, Prepare: prepare,
	})
}
