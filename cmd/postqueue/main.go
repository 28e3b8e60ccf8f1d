// Postqueue lets users see the mail queue and ask for its delivery.
//
// # Synopsis
//
//	postqueue [-v] [-c config_dir] -f
//	postqueue [-v] [-c config_dir] -i queue_id
//	postqueue [-v] [-c config_dir] -j
//	postqueue [-v] [-c config_dir] -p
//	postqueue [-v] [-c config_dir] -s site
//
// # Description
//
// Postqueue shows what the queue holds, by way of showq(8), and hands requests
// for delivery to qmgr(8) and flush(8). It changes no message; postsuper(1)
// does that.
//
// # Options
//
//   - -c config_dir: the directory of main.cf.
//   - -f: try to deliver all deferred mail now.
//   - -i queue_id: try to deliver this message now.
//   - -j: list the queue, one JSON object a line.
//   - -p: list the queue as mailq does.
//   - -s site: try to deliver all mail for a domain now.
//   - -v: verbose; only for the superuser.
//
// # Exit status
//
// 0, or 69: wrong usage, not permitted, or the mail system is down.
//
// # Security
//
// Installed setgid, with the group that may reach the sockets in public/. The
// environment is ignored in that case, and only configuration directories that
// the main main.cf names are read. It opens no queue file, except for the
// superuser while the mail system is down.
//
// # Parameters
//
//   - authorized_flush_users: who may use -f, -i and -s.
//   - authorized_mailq_users: who may use -j and -p.
//   - alternate_config_directories, multi_instance_directories: directories
//     that -c may name.
//
// # See also
//
// mailq, sendmail, postsuper, showq, qmgr
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout)) }
