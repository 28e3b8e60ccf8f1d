// Pw2userdb prints the system's accounts in the form of the user database.
//
// # Synopsis
//
//	pw2userdb [--passwd=file] [--shadow=file] [--noshadow] [--nouid] [--domain=domain]
//
// # Description
//
// The command reads /etc/passwd and /etc/shadow and writes a record for each
// account to standard output, and a record "uid=" that leads from the user id
// to the name. The output can be saved as the user database, or as a file in
// it:
//
//	umask 077; pw2userdb > /etc/posthouse/userdb/system; makeuserdb
//
// "posthouse user import" chooses: only accounts of people, with a Maildir, a
// quota and a domain.
//
// # Options
//
//	--passwd=file    instead of /etc/passwd
//	--shadow=file    instead of /etc/shadow
//	--noshadow       without passwords of the shadow file
//	--nouid          without the records "uid="
//	--domain=domain  names are name@domain
//	--help           print the usage
//
// # Security
//
// The output has the hashes of passwords. Write it where nobody else may read.
//
// # Exit status
//
// Zero if all went well; else 1.
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
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "pw2userdb: %v\n", err)
		os.Exit(1)
	}
}
