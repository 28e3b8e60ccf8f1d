package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/posthouse-mail/posthouse/pkg/userdb"
	"github.com/posthouse-mail/posthouse/pkg/usertool"
)

const usage = "usage: pw2userdb [--passwd=file] [--shadow=file | --noshadow] [--nouid] [--domain=domain]"

// errUsage has Courier's words first.
var errUsage = errors.New("Invalid options.\n" + usage)

func run(args []string, w io.Writer) error {
	var passwd, shadow, domain string
	var noShadow, noUID bool
	flags := pflag.NewFlagSet("pw2userdb", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.StringVar(&passwd, "passwd", "/etc/passwd", "")
	flags.StringVar(&shadow, "shadow", "/etc/shadow", "")
	flags.StringVar(&domain, "domain", "", "")
	flags.BoolVar(&noShadow, "noshadow", false, "")
	flags.BoolVar(&noUID, "nouid", false, "")
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		_, err = fmt.Fprintln(w, usage)
		return err
	}
	if err != nil || flags.NArg() > 0 {
		return errUsage
	}
	if noShadow {
		shadow = ""
	}
	accounts, err := usertool.ReadPasswd(passwd, shadow)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	for _, a := range accounts {
		name := a.Name
		if domain != "" {
			name += "@" + domain
		}
		fmt.Fprintf(out, "%s\t%s\n", name, fields(a))
		if !noUID {
			fmt.Fprintf(out, "%s=\t%s\n", a.UID, a.Name)
		}
	}
	return out.Flush()
}

// fields writes an account in the order of Courier's tool.
func fields(a usertool.Account) string {
	list := []userdb.Field{{Name: "uid", Value: a.UID}, {Name: "gid", Value: a.GID}, {Name: "home", Value: a.Home}}
	for _, f := range []userdb.Field{{Name: "shell", Value: a.Shell}, {Name: "systempw", Value: a.Password}, {Name: "gecos", Value: a.Gecos}} {
		if f.Value != "" {
			list = append(list, f)
		}
	}
	var parts []string
	for _, f := range list {
		parts = append(parts, f.Name+"="+strings.ReplaceAll(f.Value, "|", "."))
	}
	return strings.Join(parts, "|")
}
