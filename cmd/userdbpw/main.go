// Userdbpw makes a stored password for the user database.
//
// # Synopsis
//
//	userdbpw [-md5 | -hmac-md5 | -hmac-sha1 | -hmac-sha256 | -scheme NAME] [-c config_dir]
//
// # Description
//
// The command reads a password, one line of standard input, and prints what is
// to be stored. At a terminal it asks for the password twice and does not show
// it.
//
//	userdbpw | userdb users/john set systempw
//	userdbpw -hmac-md5 | userdb users/john set hmac-md5pw
//	userdbpw -scheme SCRAM-SHA-256 | userdb users/john set scram-sha-256pw
//
// Without an option the scheme is password_scheme, argon2id unless main.cf says
// otherwise. (Courier's command makes the DES crypt of 1979 then, which can be
// tried out in minutes; authd still accepts it.)
//
// # Options
//
//	-c config_dir   the directory with main.cf, instead of $MAIL_CONFIG or the
//	                default
//	-md5            MD5 crypt, $1$: for programs that know nothing newer
//	-hmac-md5       state for CRAM-MD5, for the field hmac-md5pw
//	-hmac-sha1      the same with SHA-1, for hmac-sha1pw
//	-hmac-sha256    the same with SHA-256, for hmac-sha256pw
//	-scheme NAME    ARGON2ID, BLF-CRYPT, YESCRYPT, SCRYPT, SHA512-CRYPT, SSHA256,
//	                SCRAM-SHA-256 or another of those that "-scheme help" lists
//
// # Security
//
// The state for HMAC looks like a hash and is none: who has it can log in by
// CRAM-MD5. It only hides the password itself.
//
// # Parameters
//
// password_scheme.
//
// # Exit status
//
// Zero if a password was read; else 1.
//
// # See also
//
// userdb(8), makeuserdb(8), posthouse(8)
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "userdbpw: %v\n", err)
		os.Exit(1)
	}
}
