// Postsuper does maintenance on the mail queue.
//
// # Synopsis
//
//	postsuper [-psSv] [-c config_dir] [-d queue_id] [-e queue_id] [-f queue_id]
//	          [-h queue_id] [-H queue_id] [-r queue_id] [queue ...]
//
// # Description
//
// Without options, postsuper does -p and -s on all queues. Options that take a
// queue id may be given more than once; the id "-" reads ids from standard
// input, one a line; the word ALL, in upper case, means all messages in the
// queues that are named or, by default, in those that the option is for.
//
// # Options
//
//   - -c config_dir: the directory of main.cf, an absolute path.
//   - -d queue_id: delete a message and its logs.
//   - -e queue_id: return a message to its sender at the next try.
//   - -f queue_id: as -e, and release it from hold.
//   - -h queue_id: put a message on hold, out of incoming, active or deferred.
//   - -H queue_id: release a message from hold.
//   - -p: remove files that were left incomplete more than a week ago.
//   - -r queue_id: requeue: a message is rewritten and filtered again.
//   - -s: repair: rename files whose name does not fit their inode, move files
//     that are in the wrong hash directory, remove directories that are not
//     needed. Do it before the start, when the queue was restored or
//     hash_queue_names or hash_queue_depth changed.
//   - -S: as -s, and long names have to fit, too.
//   - -v: tell more.
//
// # Exit status
//
// 0, or 1 after a fatal error.
//
// # Security
//
// For the superuser, or for the owner of an instance that runs without one. It
// takes on the identity of mail_owner before it touches the queue.
//
// # Parameters
//
//   - enable_long_queue_ids: with no, -s gives files with long names short ones.
//   - hash_queue_depth, hash_queue_names: where files belong.
//   - mail_owner, queue_directory.
//
// # See also
//
// postqueue, postcat, sendmail
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdin)) }
