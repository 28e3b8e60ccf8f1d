// Postlog writes a line to the mail log.
//
// # Synopsis
//
//	postlog [-iv] [-c config_dir] [-p priority] [-t tag] [text ...]
//
// # Description
//
// Postlog logs its arguments as one line, or, without arguments, each line of
// standard input. The line is written to standard error too, unless that is no
// terminal. It is for scripts that want to log where the mail system logs: to
// postlogd(8) when maillog_file is set, else to syslog.
//
// # Options
//
//	-c config_dir   the directory with main.cf, instead of $MAIL_CONFIG
//	-i              accepted; the process id is always logged
//	-p priority     info (the default), warn, error, fatal or panic
//	-t tag          the program name, instead of syslog_name/postlog
//	-v              accepted
//
// # Security
//
// The text is made printable and cut to one line. The program has no
// privileges; with the group of setgid_group it reaches postlogd's socket.
//
// # Exit status
//
// Zero, or 1 if the configuration or standard input cannot be read.
//
// # See also
//
// postlogd(8), postconf(5).
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/posthouse-mail/posthouse/pkg/getopt"
)

func main() {
	err := run(os.Args[1:], os.Stdin)
	if err == nil {
		return
	}
	if _, ok := errors.AsType[*getopt.Error](err); !ok {
		err = fmt.Errorf("fatal: %w", err)
	}
	fmt.Fprintf(os.Stderr, "postlog: %v\n", err)
	os.Exit(1)
}
