// Postcat shows the contents of queue files.
//
// # Synopsis
//
//	postcat [-bdehoqrv] [-c config_dir] [-s offset] [file ...]
//
// # Description
//
// Postcat prints queue files in readable form. Without files it reads one from
// standard input. By default it shows everything, as with -beh.
//
// # Options
//
//   - -b: show the body: from the first line that is no header to the end.
//   - -c config_dir: the directory of main.cf, used with -q.
//   - -d: show the decimal type of each record.
//   - -e: show the envelope.
//   - -h: show the header.
//   - -o: show the offset of each record.
//   - -q: the files are queue ids, searched in the queue.
//   - -r: show records in the order of the file and follow no pointers.
//   - -s offset: start at an offset.
//   - -v: show the type of every record, pointers and deleted text included.
//
// # Exit status
//
// 0, or 1 when a file cannot be opened or is malformed.
//
// # Security
//
// Opens what its caller may open; queue files are readable by the superuser
// and the mail owner. Text of messages is printed as it is, control
// characters included.
//
// # See also
//
// postqueue, postsuper, postconf(5)
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
