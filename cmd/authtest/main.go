// Authtest asks authd who a user is, and whether a password is right.
//
// # Synopsis
//
//	authtest [-c config_dir] [-s service] login [password [newpassword]]
//
// # Description
//
// With a login alone the command prints what authd(8) knows of the user. With a
// password it tells whether that is the user's. With a second one it stores that
// as the new password, when the first is right: for users in the user database,
// userdb_path.
//
// It asks as the service "login" does, or the one of -s: smtp, imap, pop3. The
// output is that of Courier's authtest, but authd never gives away what is
// stored of a password:
//
//	Authentication succeeded.
//
//	     Authenticated: you@example.com  (uid 5000, gid 5000)
//	    Home Directory: /var/vmail/example.com/you
//	           Maildir: /var/vmail/example.com/you/Maildir
//	             Quota: 1000000000S
//	Encrypted Password: (hidden)
//	Cleartext Password: (hidden)
//	           Options: (none)
//
// # Options
//
//	-c config_dir   the directory with main.cf, instead of $MAIL_CONFIG or the
//	                default
//	-s service      the service that is asked about
//
// With DEBUG_LOGIN=1 in the environment each step is told on standard error;
// debug_login in main.cf has authd log what it does.
//
// # Security
//
// Only root can reach the socket of authd from outside. A password in the
// command line can be seen by others while the command runs: it is for tests.
//
// # Parameters
//
// queue_directory, userdb_path, password_scheme.
//
// # Exit status
//
// Zero if the user is known, and the password right; else 1.
//
// # See also
//
// authd(8), userdb(8), posthouse(8)
package main

import (
	"fmt"
	"os"
)

func main() {
	c := &command{out: os.Stdout, err: os.Stderr}
	if err := c.run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
