// Makeacceptmailfor makes the table of domains that mail is relayed for.
//
// # Synopsis
//
//	makeacceptmailfor [-c config_dir]
//
// # Description
//
// The command reads the files in the directory
// $config_directory/esmtpacceptmailfor.dir, a domain in each line, and writes
// the table esmtpacceptmailfor.dir.map beside it, for
//
//	relay_domains = hash:$config_directory/esmtpacceptmailfor.dir.map
//
// The file $config_directory/esmtpacceptmailfor, with the same lines, needs no
// table: relay_domains can name it as it is. ".example.com" stands for all
// domains below example.com.
//
// Courier wants all domains in these files that mail is accepted for. Here those
// in mydestination and virtual_mailbox_domains are known to be our own and need
// not be named again; a domain must not be in both.
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
// makehosteddomains(8), locals(8), posthouse(8)
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/usertool"
)

func main() {
	dir, err := usertool.OnlyConfig("makeacceptmailfor", os.Args[1:])
	if err == nil {
		err = run(dir)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "makeacceptmailfor: %v\n", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	site, err := usertool.Open(dir)
	if err != nil {
		return err
	}
	source := filepath.Join(site.Dir, usertool.AcceptDir)
	lines, err := usertool.ReadSource(source)
	if err != nil {
		return err
	}
	var pairs []usertool.Pair
	var problems []error
	seen := map[string]bool{}
	for _, l := range lines {
		name := strings.ToLower(strings.TrimSpace(l.Text))
		if err := usertool.CheckDomain(strings.TrimPrefix(name, ".")); err != nil {
			problems = append(problems, l.Errorf("%v", err))
		}
		if !seen[name] {
			pairs = append(pairs, usertool.Pair{Key: name, Value: name})
		}
		seen[name] = true
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	return site.WriteMap(source, pairs)
}
