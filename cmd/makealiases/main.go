// Makealiases makes the table of aliases from Courier's alias files.
//
// # Synopsis
//
//	makealiases [-c config_dir] [-src=pathname] [-alias=filename] [-dump | -chk]
//
// # Description
//
// The command reads $config_directory/aliases, a file or a directory of files,
// and writes two tables beside it: aliases.map, for
//
//	virtual_alias_maps = hash:$config_directory/aliases.map
//
// and aliases.local, with the aliases that stand for commands and files, for
//
//	alias_maps = texthash:$config_directory/aliases.local
//
// So an alias is the same, whether it is written there or in a table that
// main.cf names. The form of the source is that of Courier:
//
//	# comment
//	info: you, someone@example.org
//	sales@example.com: ann@example.com,
//	        bob@example.com
//	@example.net: you@example.com
//	list: :include:/etc/posthouse/list
//	robot: |/usr/local/bin/robot
//
// A line that starts with white space goes on with the one before. The same
// alias again adds addresses. Files of ":include:" are read when the table is
// made. A name without a domain is an account of this machine, in
// mydestination and $myorigin. "@domain" takes all addresses of a domain that
// nobody else takes; Courier makes user-name of it, which recipient_delimiter
// and a regular expression can do here.
//
// # Options
//
//	-c config_dir    the directory with main.cf, instead of $MAIL_CONFIG or the
//	                 default
//	-src=pathname    the source, instead of $config_directory/aliases
//	-alias=filename  the table, without ".map", instead of the source's name
//	-dump            print the aliases, and make nothing
//	-chk             ask smtpd, at its first endpoint in master.cf, whether it
//	                 would take mail for each address that an alias stands
//	                 for, and make nothing. The addresses that it refuses are
//	                 printed
//	-tmp=filename, -protocol=name, module
//	                 accepted and without effect
//
// # Security
//
// The tables replace the old ones in one step. Nothing is written when a line
// cannot be understood. Files of ":include:" are read with the caller's rights,
// and commands and files become aliases of local(8), which runs them as
// default_privs says.
//
// # Parameters
//
// command_directory.
//
// # Exit status
//
// Zero if all went well; 1 if not, or if -chk found bad addresses.
//
// # See also
//
// postalias(1), newaliases(1), makehosteddomains(8), virtual(8), local(8)
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	c := &command{out: os.Stdout}
	err := c.run(os.Args[1:])
	if err != nil && !errors.Is(err, errBad) {
		fmt.Fprintf(os.Stderr, "makealiases: %v\n", err)
	}
	if err != nil {
		os.Exit(1)
	}
}
