// Locals shows and edits the list of domains whose addresses are accounts of
// this machine.
//
// # Synopsis
//
//	locals [-c config_dir]
//	locals [-c config_dir] add domain ...
//	locals [-c config_dir] del domain ...
//
// # Description
//
// The list is the file $config_directory/locals, a domain in each line, that
// mydestination names as it is:
//
//	mydestination = $myhostname, localhost, $config_directory/locals
//
// Without a word the command prints the domains, and says when mydestination
// does not name the file. add and del change the file and keep its comments.
// ".example.com" stands for all domains below example.com, and "!host" before
// it takes one out.
//
// # Security
//
// The new text replaces the old one in one step, and a line that cannot be
// understood changes nothing.
//
// # Exit status
//
// Zero if all went well; 1 if not.
//
// # See also
//
// makehosteddomains(8), makeacceptmailfor(8), postconf(5)
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "locals: %v\n", err)
		os.Exit(1)
	}
}
