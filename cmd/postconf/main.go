// Postconf shows and changes parameters of main.cf and master.cf.
//
// # Synopsis
//
//	postconf [-dfhHnpvx] [-c dir] [-C class,...] [-o name=value] [name ...]
//	postconf [-epv] [-c dir] name=value ...
//	postconf -# [-pv] [-c dir] name ...
//	postconf -X [-pv] [-c dir] name ...
//	postconf -M [-fovx] [-c dir] [service[/type] ...]
//	postconf -M -e [-c dir] service/type=value ...
//	postconf -M -X|-# [-c dir] service/type ...
//	postconf -F [-fhHovx] [-c dir] [service[/type[/field]] ...]
//	postconf -F -e [-c dir] service/type/field=value ...
//	postconf -P [-fhHovx] [-c dir] [service[/type[/parameter]] ...]
//	postconf -P -e [-c dir] service/type/parameter=value ...
//	postconf -P -X [-c dir] service/type/parameter ...
//	postconf -a | -A | -l | -m [-c dir]
//	postconf -b | -t [-v] [-c dir] [file]
//	postconf -T mode
//
// # Description
//
// Without option, postconf shows parameters in the form "name = value", all of
// them or those that are named, as main.cf and the defaults have them. Values
// are shown unexpanded. Definitions that mean nothing to any program are
// reported as "unused parameter".
//
// With -e, -X or -#, the file is rewritten: a new file takes the place of the
// old one in one step, so that a program that reads it meanwhile sees one or
// the other. Comments and the order of lines stay.
//
// # Options
//
//	-a        list the types of SASL implementations for the server
//	-A        list the types of SASL implementations for the client
//	-b        show the texts of bounce messages with $name expanded
//	-c dir    the directory with main.cf and master.cf, instead of
//	          $MAIL_CONFIG or the default
//	-C class  show only: builtin, service (exists because of an entry in
//	          master.cf), user (invented by the site), all
//	-d        show defaults instead of settings
//	-e        change or add settings (may be left out with name=value)
//	-f        fold long lines
//	-F        show or change fields of master.cf
//	-h        show values without names
//	-H        show names without values
//	-l        list the methods to lock a mailbox
//	-m        list the types of lookup tables
//	-M        show or change entries of master.cf
//	-n        show only what main.cf sets
//	-o name=value
//	          behave as if main.cf had this setting
//	-p        show parameters of main.cf (the default)
//	-P        show or change the -o settings of master.cf
//	-t        show the templates of bounce messages: those of the file, or of
//	          bounce_template_file, or the built-in ones (an empty name)
//	-T mode   tell about TLS: compile-version, run-version,
//	          public-key-algorithms
//	-v        accepted, without effect
//	-x        expand $name in values
//	-X        remove settings
//	-#        make comments of settings
//
// # Security
//
// Postconf runs with the rights of its caller, and keeps owner and mode of the
// files that it changes.
//
// # Exit status
//
// Zero, or 1 after an error. An unknown name is a warning.
//
// # See also
//
// posthouse(8), postconf(5), master(5).
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, errQuiet) {
			fmt.Fprintf(os.Stderr, "postconf: fatal: %v\n", err)
		}
		os.Exit(1)
	}
}

// errQuiet is an error about which everything is already said.
var errQuiet = errors.New("")

// run is main without the process.
func run(args []string, out, errOut io.Writer) error {
	a := &app{out: out, err: errOut}
	if err := a.options(args); err != nil {
		return err
	}
	return a.dispatch()
}
