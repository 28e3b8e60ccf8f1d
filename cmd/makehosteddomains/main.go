// Makehosteddomains makes the table of hosted domains.
//
// # Synopsis
//
//	makehosteddomains [-c config_dir]
//
// # Description
//
// The command reads $config_directory/hosteddomains, a file or a directory of
// files, and writes the table hosteddomains.map beside it, for
//
//	virtual_mailbox_domains = hash:$config_directory/hosteddomains.map
//	domain_alias_maps = hash:$config_directory/hosteddomains.map
//
// A domain stands in a line of its own. A line
//
//	example.net<TAB>example.com
//
// makes example.net an alias of example.com: mail for you@example.net goes to
// the user you@example.com.
//
// "posthouse domain" edits the file and makes the table in one step.
//
// # Security
//
// The new text replaces the old one in one step, and a line that cannot be
// understood changes nothing.
//
// # Exit status
//
// Zero if the table was written; 1 if not: then a message has file and line.
//
// # See also
//
// makealiases(8), makeacceptmailfor(8), locals(8), posthouse(8)
package main

import (
	"fmt"
	"os"

	"github.com/posthouse-mail/posthouse/pkg/usertool"
)

func main() {
	dir, err := usertool.OnlyConfig("makehosteddomains", os.Args[1:])
	if err == nil {
		err = run(dir)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "makehosteddomains: %v\n", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	site, err := usertool.Open(dir)
	if err != nil {
		return err
	}
	return site.MakeHosted()
}
