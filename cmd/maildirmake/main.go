// Maildirmake makes Maildirs and folders in them.
//
// # Synopsis
//
//	maildirmake [-S] [-q quota] maildir
//	maildirmake [-s mode] -f folder | -F folder maildir
//	maildirmake --add name=path maildir
//	maildirmake --del name maildir
//
// # Description
//
// The command makes the directory maildir with cur, new and tmp in it. Only the
// caller can read it.
//
// A folder is a directory of the Maildir whose name starts with a dot, and a
// dot in its name leads to a folder in the folder: "-f Drafts" makes .Drafts,
// and "-f Drafts.Old" a folder Old in it.
//
// # Options
//
//	-q quota        install a quota: 1000000S,1000C is a million bytes and a
//	                thousand messages. For a Maildir that is there already the
//	                quota is replaced
//	-f folder       make a folder in a Maildir that is there, named as IMAP
//	                names it, in modified UTF-7
//	-F folder       the same, named in UTF-8
//	-S              make a Maildir that can hold shared folders: others may
//	                enter it
//	-s mode         with -f: others may use the folder. mode is "read" or
//	                "write", and ",group" behind it leaves it at the own group
//	--add name=path let the Maildir show the shared folders of the one at path,
//	                under a name
//	--del name      no longer
//
// # Security
//
// The command has the rights of its caller. Root makes the Maildir of a user
// with "posthouse user add", which does it as that user.
//
// # Exit status
//
// Zero if all went well; else 1, also when the Maildir or folder is there.
//
// # See also
//
// posthouse(8), userdb(8)
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "maildirmake: %v\n", err)
		os.Exit(1)
	}
}
