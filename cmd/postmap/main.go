// Postmap makes, changes and queries lookup tables. Under the name postalias
// it does the same for alias tables.
//
// # Synopsis
//
//	postmap [-bfFhimnNoprsuUvw] [-c config_dir] [-d key] [-q key] [file_type:]file_name ...
//	postalias [-Nfinoprsuvw] [-c config_dir] [-d key] [-q key] [file_type:]file_name ...
//
// # Description
//
// Without -d, -q, -s or -i, the command reads the text file_name and makes its
// index. The indexed types hash, btree, lmdb, dbm, sdbm and cdb share one
// index format, in the file file_name.cdb. The index replaces the old one in
// one step, with the read permissions of the text.
//
// Daemons read text that is newer than its index without being told, so that
// a forgotten run of this command costs speed and nothing else.
//
// The text of postmap has lines of the form "key whitespace value"; that of
// postalias "name: value, value". A line that starts with white space goes on
// with the line before; empty lines, and lines whose first text is "#", are
// left out. Keys are folded to lower case. A key within double quotes may
// contain white space; the quotes belong to it, as to an address in a message.
//
// # Options
//
//	-b      with "-q -": the input is a message, and each line of its body a key
//	-c DIR  read main.cf in DIR
//	-d KEY  remove KEY from the tables; "-" reads keys from standard input
//	-f      do not fold keys to lower case
//	-F      values are names of files whose contents are stored, in base64
//	-h      with "-q -": the input is a message, and each header a key
//	-i      add entries from standard input to the table
//	-m      with -b and -h: follow the structure of a MIME message
//	-n, -N  without or with a NUL after keys and values
//	-o      stay root when the text belongs to another user
//	-p      do not take the permissions of the text; make the index mode 0644
//	-q KEY  write the value of KEY in the first table that has it; "-" reads
//	        keys from standard input and writes "key<TAB>value" lines
//	-r      replace entries that exist, without a warning
//	-s      write all entries
//	-u      do not demand UTF-8
//	-U      demand UTF-8 with -b and -h, too
//	-v      report what is done
//	-w      keep entries that exist, without a warning
//
// # Security
//
// Run by root for a text of another user, or in a directory of another user,
// the command works with that user's rights. The index is written under a
// new name and renamed, so a link in its place is not followed.
//
// # Parameters
//
// default_database_type, smtputf8_enable, queue_directory, myhostname.
//
// # Exit status
//
// 0 if all went well, and for -d and -q if a key was found; else 1.
//
// # See also
//
// postconf(1), newaliases(1)
package main

import (
	"os"
	"path/filepath"
)

func main() {
	name := filepath.Base(os.Args[0])
	if name != "postalias" {
		name = "postmap"
	}
	os.Exit(run(name, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
