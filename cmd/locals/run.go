package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/usertool"
)

const usage = "usage: locals [-c config_dir] [add domain ... | del domain ...]"

var errUsage = errors.New(usage)

func run(args []string, out, warnings io.Writer) error {
	dir := ""
	if len(args) >= 2 && args[0] == "-c" {
		dir, args = args[1], args[2:]
	}
	if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") {
		_, err := fmt.Fprintln(out, usage)
		return err
	}
	if len(args) > 0 && (len(args) < 2 || args[0] != "add" && args[0] != "del") {
		return errUsage
	}
	site, err := usertool.Open(dir)
	if err != nil {
		return err
	}
	path := filepath.Join(site.Dir, usertool.LocalsFile)
	if !site.Mentions("mydestination", usertool.LocalsFile) {
		fmt.Fprintf(warnings, "locals: warning: mydestination in main.cf does not name %s\n", path)
	}
	if len(args) == 0 {
		return show(path, out)
	}
	for i, name := range args[1:] {
		name = strings.ToLower(name)
		if err := usertool.CheckDomain(strings.TrimPrefix(strings.TrimPrefix(name, "!"), ".")); err != nil {
			return err
		}
		args[i+1] = name
	}
	return usertool.EditLines(path, func(lines []string) ([]string, error) {
		for _, name := range args[1:] {
			same := func(line string) bool { return strings.EqualFold(strings.TrimSpace(line), name) }
			there := slices.ContainsFunc(lines, same)
			switch {
			case args[0] == "add" && !there:
				lines = append(lines, name)
			case args[0] == "del" && there:
				lines = slices.DeleteFunc(lines, same)
			case args[0] == "del":
				return nil, fmt.Errorf("%s is not in %s", name, path)
			}
		}
		return lines, nil
	})
}

func show(path string, out io.Writer) error {
	lines, err := usertool.ReadSource(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, l := range lines {
		fmt.Fprintln(out, strings.TrimSpace(l.Text))
	}
	return err
}
