// Userdb changes and shows records of the user database.
//
// # Synopsis
//
//	userdb [-c config_dir] [path/ | -f file] name set field=value ...
//	userdb [-c config_dir] [path/ | -f file] name unset field ...
//	userdb [-c config_dir] [path/ | -f file] name del
//	userdb [-c config_dir] -show [path/ | -f file] [name]
//
// # Description
//
// The database is userdb_path: a file, or a directory of files. path/name is
// the record name in the file path below that directory, and "-f file" names
// any file. In a directory, a name without a path is looked for in all files; a
// new one goes to the file of its domain. (Courier's command wants the path.)
//
//	userdb example.com/you@example.com set uid=5000 gid=5000 home=/var/mail/you
//	userdbpw | userdb example.com/you@example.com set systempw
//
// set stores the fields. A record that is not there is added at the end of the
// file, and a file that is not there is made. A field without =value is asked
// for, or read as a line of standard input: so a password stands in no
// command line, where others could see it.
//
// unset takes fields out of a record, and del the whole record. With -show the
// command prints the fields of a record, a line each, or the names of all
// records.
//
// Comments, empty lines and the order of records stay as they are. Several
// edits at the same time wait for each other, also those of Courier's userdb,
// whose options and files these are.
//
// Changes count at once: authd(8) reads text that is newer than the index of
// makeuserdb(8). posthouse(8) has commands that know more about users.
//
// # Fields
//
//	uid gid home shell   of the account
//	mail                 the Maildir, when it is not $home/Maildir
//	quota                1000000000S,10000C: bytes and messages
//	systempw             the password, in a form of userdbpw(8)
//	imappw pop3pw ...    the password for one service
//	hmac-md5pw           state for CRAM-MD5
//	gecos                the display name
//	aliases              more logins and addresses, separated by commas;
//	                     @domain takes all that nobody else takes
//	disabled             services that are off: imap,pop3,smtp,submission
//	networks             networks that logins may come from
//	sendas               addresses and @domains the user may write as
//	limits               messages_hour=100,recipients_day=2000 and the like
//	held                 1: may not send
//	options              Courier's: disableimap=1,...
//
// # Options
//
//	-c config_dir   the directory with main.cf, instead of $MAIL_CONFIG or the
//	                default
//	-f file         the file to work on
//	-show           show, and change nothing
//
// # Security
//
// A new file is readable for its owner only, auth_owner where root makes it.
// The new text replaces the old in one step.
//
// # Parameters
//
// userdb_path, auth_owner.
//
// # Exit status
//
// Zero if all went well; else 1.
//
// # See also
//
// userdbpw(8), makeuserdb(8), pw2userdb(8), posthouse(8), authtest(1)
package main

import (
	"fmt"
	"os"
)

func main() {
	c := &command{in: os.Stdin, out: os.Stdout}
	if err := c.run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "userdb: %v\n", err)
		os.Exit(1)
	}
}
