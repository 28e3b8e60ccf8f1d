// Sendmail accepts mail from programs on this machine, with the options that
// such programs have used since Sendmail. Under the names mailq and newaliases
// it lists the mail queue and makes the alias database.
//
// # Synopsis
//
//	sendmail [option ...] [recipient ...]
//	mailq
//	newaliases
//
// # Description
//
// A message is read from standard input up to its end, or to a line with only
// a dot, and handed to postdrop(1), which puts it into the maildrop queue. It
// is accepted when sendmail exits with status 0, whether or not the mail
// system is running.
//
// # Options
//
//   - -bm: accept a message; the default.
//   - -bp: list the mail queue; runs postqueue(1).
//   - -bi, -I: make the alias database; runs postalias(1).
//   - -bs: speak SMTP on standard input and output; runs smtpd(8) with the
//     caller's rights. Mail goes to postdrop(1) as otherwise, whether or not
//     the mail system is running.
//   - -bd, -bl: start the mail system; runs posthouse(8), whose exit status it
//     has.
//   - -bh, -bH: do nothing. The status of hosts is not kept.
//   - -bv: deliver nothing; mail a report on each recipient.
//   - -t: take recipients from the To, Cc and Bcc headers, or from their
//     Resent- forms if there are any, in addition to those of the command
//     line. cleanup(8) removes Bcc and Resent-Bcc (message_drop_headers).
//   - -f sender, -r sender: envelope sender; empty or <> is the null sender. The
//     last one wins.
//   - -F name: full name, for a From header that has to be made. Otherwise
//     NAME of the environment, or the password file, has it.
//   - -i, -oi: a line with only a dot does not end the message.
//   - -B 7BIT|8BITMIME: kind of the body.
//   - -N never | success,failure,delay: when to send a notification.
//   - -R hdrs|full: what a notification returns.
//   - -V envid: envelope identifier in notifications.
//   - -XV, -XVxy: variable envelope return path, with delimiters x and y.
//   - -G: the message comes from elsewhere; it is not completed as local mail.
//   - -v: mail a report on the delivery. With a second one, no report.
//   - -q: try to deliver all queued mail now; -qIid one message, -qRsite the
//     mail for a site; runs postqueue(1). -q with a time does nothing; the
//     interval of the daemon is queue_run_delay.
//   - -C path: a file main.cf, or the directory that it is in.
//   - -oA database: alias database for -bi.
//   - -O requiretls=yes: the message must go by verified TLS only (RFC 8689).
//   - -A, -c, -e, -h, -L, -m, -p, -U, -x, other -O and -o: ignored.
//   - -n, -X file: refused, as by Postfix.
//
// # Security
//
// Needs no rights: postdrop has the right to write into the queue. What ends
// a line or a string is refused in addresses and options, so that they cannot
// become a further record of the queue file.
//
// # Diagnostics
//
// Problems go to standard error.
//
// # Exit status
//
//   - 0: the message is in the queue, or the command succeeded.
//   - 65: recipients that cannot be read from the headers, or a control
//     character in an option or an address.
//   - 67: the caller has no login name.
//   - 69: refused, or not available.
//   - 75: wrong usage, a mistake in the configuration, a message that is too
//     large, or a problem of the moment; the message is not in the queue.
//   - 77: the caller may not submit mail.
//
// # Environment
//
//   - MAIL_CONFIG: directory of main.cf.
//   - NAME: full name of the sender.
//
// # Parameters
//
//   - command_directory: where postdrop, postqueue and postalias are.
//   - daemon_directory: where smtpd is, for -bs.
//   - sendmail_fix_line_endings: what happens to CR LF at line ends.
//   - alias_database: what newaliases makes, in queue_directory where a name is relative.
//   - default_verp_delimiters, verp_delimiter_filter: for -XV.
//
// # See also
//
// postdrop(1), postqueue(1), postalias(1), pickup(8), smtpd(8),
// posthouse(8)
package main

import "os"

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }
