// Pipe delivers mail to commands.
//
// # Synopsis
//
//	pipe [generic daemon options] attribute=value ... argv=command arguments
//
// # Description
//
// A transport in master.cf whose service runs pipe hands each message to the
// command that its line names, as a file on its standard input. The queue
// manager sends delivery requests; what the command's exit status and output
// say becomes the result for all recipients of a request.
//
//	maildrop unix - n n - - pipe
//	  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}
//
// Attributes:
//
//	argv=command ...     the command, last on the line; no shell reads it
//	user=name[:group]    whose rights it has; required, and neither root nor
//	                     the mail owner
//	directory=path       its working directory ($queue_directory)
//	eol=text             the end of lines (\n); knows \a \b \f \n \r \t \v \\
//	                     and octal numbers
//	flags=letters        see below
//	null_sender=text     what stands for the null sender (MAILER-DAEMON)
//	size=bytes           larger messages are bounced; 0 is no limit
//
// Flags:
//
//	B  an empty line at the end of the message
//	D  a Delivered-To header; mail that has it already is bounced as a loop
//	F  a "From sender date" line in front
//	O  an X-Original-To header
//	R  a Return-Path header
//	X  the delivery is final: it is reported as delivered, not as relayed
//	h  fold $domain, $nexthop and the domain of $recipient to lower case
//	q  quote $sender, $recipient and $original_recipient as RFC 5321 does
//	u  fold $user, $extension, $mailbox and the local part of $recipient
//	   and $original_recipient to lower case
//	.  put a dot before a line that begins with one
//	>  put ">" before a line that begins with "From "
//
// D and O need transport_destination_recipient_limit = 1.
//
// In the command, ${name}, $(name) and $name stand for client_address,
// client_helo, client_hostname, client_port, client_protocol, domain, envid,
// extension, mailbox, nexthop, original_recipient, queue_id, recipient,
// sasl_method, sasl_sender, sasl_username, sender, size and user; $$ is a
// dollar. An argument with domain, extension, mailbox, original_recipient,
// recipient or user is there once for each recipient. An argument that comes
// out empty is still an argument: the others keep their places.
//
// Exit statuses are those of sysexits.h: 0 is success, 75 a temporary failure
// and most others are permanent. An enhanced status code at the beginning of
// the output of a command that failed counts before its exit status.
//
// # Security
//
// Pipe is root in order to start workers, asuser(8), with the rights of the
// user of its line. It reads no message, and what senders wrote reaches the
// command as whole arguments, never by way of a shell. A command should take
// care of arguments that begin with "-": recipients that do are refused unless
// allow_min_user is set, and senders are put behind an option that takes them.
// The attribute chroot is not available, since a worker needs its own program.
//
// # Parameters
//
// command_time_limit and transport_time_limit, daemon_directory,
// export_environment, mail_owner, queue_directory, recipient_delimiter,
// transport_destination_recipient_limit; and those of each delivery agent.
//
// # See also
//
// asuser(8), qmgr(8), bounce(8), master(5).
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name:    "pipe",
		About:   "delivers mail to commands",
		Args:    "attribute=value ... argv=command arguments",
		Kind:    service.Stream,
		Jail:    jail.Parent,
		Inner:   true,
		Prepare: prepare,
	})
}
