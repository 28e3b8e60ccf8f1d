// Postdrop puts a message into the maildrop, for sendmail.
//
// # Synopsis
//
//	postdrop [-rv] [-c config_dir]
//
// # Description
//
// Postdrop reads queue file records on standard input, checks them and makes a
// file in the maildrop queue, from where pickup takes it. On standard output it
// writes an attribute list with protocol and queue_id when it has made the
// file, and one with status and reason at the end. Status 0 means that the
// message is on disk. Input that ends before its end record cancels.
//
// # Options
//
//   - -c config_dir: the directory of main.cf.
//   - -r: ignored; sendmail gives it.
//   - -v: verbose; only for the superuser.
//
// # Exit status
//
// 0, or a code of sysexits: 64 usage, 65 malformed input, 75 the message could
// not be stored, 77 the user may not submit mail, 78 configuration.
//
// # Security
//
// Installed setgid, with the group that may make files in the maildrop. What
// the caller controls is distrusted: the environment is ignored, descriptors 0
// to 2 are opened, only record types and attributes that a user may set pass,
// envelope records with NUL or line breaks are refused, and time and identity
// come from the kernel. After a signal the unfinished file is removed.
//
// # Parameters
//
//   - authorized_submit_users: who may submit mail.
//   - empty_address_local_login_sender_maps_lookup_key, local_login_sender_maps,
//     recipient_delimiter: the envelope senders that a user may give.
//   - line_length_limit: the longest record.
//   - message_size_limit: the largest message.
//   - alternate_config_directories, multi_instance_directories: directories
//     that -c may name.
//
// # See also
//
// sendmail, pickup
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout)) }
