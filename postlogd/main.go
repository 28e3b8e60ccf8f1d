// Postlogd writes the mail log to a file or to standard output.
//
// # Synopsis
//
//	postlogd [generic daemon options]
//
// # Description
//
// Daemons that sit in a jail cannot open a log file; they send their lines to
// this daemon, which appends them to the file that the parameter maillog_file
// names. Those that master starts use the FIFO pid/postlog, which they open
// before the jail; what they write is in the file some ten milliseconds later.
// Others use the socket public/postlog. The name must begin with one of
// maillog_file_prefixes. With "/dev/stdout", which is for containers, lines go
// to the standard output of master.
//
// "posthouse logrotate" renames the file and reloads: a new process
// opens a new one.
//
// # Security
//
// The file is opened before the jail; afterwards the daemon can open nothing
// and has no network. Its peers may be wrong or hostile: what they send becomes
// lines of bounded length without control characters. Whoever may write to the
// socket may write any text under any program name, as with syslog. The FIFO is
// out of the reach of everybody but root, and a daemon that was captured can
// neither read from it nor damage the lines of others.
//
// # Parameters
//
//	maillog_file, maillog_file_prefixes, maillog_file_permissions
//
// # See also
//
// master(8), postlog(1), postconf(5).
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name:      "postlogd",
		About:     "writes the mail log to a file or to standard output",
		Kind:      service.Datagram,
		Jail:      jail.LogWriter,
		Solitary:  true,
		Permanent: true,
		Brief:     true,
		Prepare:   prepare,
	})
}
