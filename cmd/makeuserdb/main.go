// Makeuserdb makes the index of the user database.
//
// # Synopsis
//
//	makeuserdb [-c config_dir] [-f filename]
//
// # Description
//
// The command reads the user database, userdb_path, and writes its index:
// userdb.dat with all fields that are no passwords, and userdbshadow.dat with
// the fields that end in "pw", which only the owner may read. With an index
// authd(8) needs no memory for users, and starts at once.
//
// Each line of the database is "name<TAB>field=value|field=value..."; see
// userdb(8) for the fields. Empty lines, and lines that start with "#", are left
// out. Where the database is a directory, all files in it and in its directories
// are one database, names that start with a dot excepted. The record of a user
// in the index has also the field "_", with the file it comes from.
//
// Nothing is written when a line cannot be understood, or when a name is there
// twice: then the command says file and line.
//
// The index counts only as long as the text is what it was made from. Text that
// was edited since is read instead, so that a forgotten run of this command
// costs memory and nothing else. The index is in CDB format, while Courier's is
// GDBM: programs of Courier's ask authd over its socket instead of reading
// the file.
//
// # Options
//
//	-c config_dir   the directory with main.cf, instead of $MAIL_CONFIG or the
//	                default
//	-f filename     make filename.dat from filename
//
// # Security
//
// Sources that group or world may read or write are refused, and so are
// symbolic links in place of the database or the index. The index replaces the
// old one in one step.
//
// # Parameters
//
// userdb_path, auth_owner.
//
// # Exit status
//
// Zero if the index was written; else 1.
//
// # See also
//
// userdb(8), userdbpw(8), pw2userdb(8), posthouse(8)
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/posthouse-mail/posthouse/pkg/userdb"
	"github.com/posthouse-mail/posthouse/pkg/usertool"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "makeuserdb: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	file, dir := "", ""
	for ; len(args) >= 2; args = args[2:] {
		switch args[0] {
		case "-f":
			file = args[1]
		case "-c":
			dir = args[1]
		default:
			return errUsage
		}
	}
	if len(args) > 0 {
		return errUsage
	}
	site, err := usertool.Open(dir)
	if err != nil {
		return err
	}
	if file == "" {
		file = site.Path
	}
	return userdb.Make(file, site.MakeOptions())
}

var errUsage = errors.New("usage: makeuserdb [-c config_dir] [-f filename]")
