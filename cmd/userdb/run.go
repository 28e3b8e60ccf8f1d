package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/userdb"
	"github.com/posthouse-mail/posthouse/pkg/usertool"
)

// command is one run.
type command struct {
	in         *os.File
	out        io.Writer
	configDir  string
	file       string // of -f
	show       bool
	name, verb string
	args       []string
}

var errUsage = errors.New(`Usage: userdb [path/.../ | -f file ]name set field=value field=value...
       userdb [path/.../ | -f file ]name unset field field...
       userdb [path/.../ | -f file ]name del
       userdb -show [path/... | -f file ] [name]`)

// parse reads the command line, in the order that Courier's tool wants.
func (c *command) parse(args []string) error {
	next := func() string {
		if len(args) == 0 {
			return ""
		}
		s := args[0]
		args = args[1:]
		return s
	}
	c.name = next()
	for {
		switch c.name {
		case "-c":
			c.configDir = next()
		case "-show":
			c.show = true
		case "-f":
			if c.file = next(); c.file == "" {
				return errUsage
			}
		default:
			if c.show {
				if len(args) > 1 || len(args) == 1 && c.file != "" {
					return errUsage
				}
				c.args = args
				return nil
			}
			if c.verb = next(); c.verb == "" || c.name == "" || strings.HasPrefix(c.name, "-") {
				return errUsage
			}
			c.args = args
			return nil
		}
		c.name = next()
	}
}

func (c *command) run(args []string) error {
	if err := c.parse(args); err != nil {
		return err
	}
	site, err := usertool.Open(c.configDir)
	if err != nil {
		return err
	}
	if c.show {
		return c.doShow(site)
	}
	file, login := c.file, c.name
	if file == "" {
		file, login = site.FileOf(c.name)
	}
	for _, a := range c.args {
		if strings.ContainsAny(a, "|\n") {
			return errors.New("Invalid field or value.")
		}
	}
	change, err := c.change(login)
	if err != nil {
		return err
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		if file, err = fileFor(site, file, login); err != nil {
			return err
		}
	} else if errors.Is(err, fs.ErrNotExist) && c.verb != "set" {
		return nil
	}
	return userdb.Edit(context.Background(), file, site.EditOptions(), change)
}

// fileFor finds the file of a login in the database, for a name without a path:
// the one that has it, or else the one of its domain.
func fileFor(site *usertool.Site, dir, login string) (string, error) {
	if dir != site.Path {
		return "", fmt.Errorf("%s: not a file", dir)
	}
	file, err := site.Find(login)
	if errors.Is(err, userdb.ErrUnknown) {
		return site.HomeOf(login)
	}
	return file, err
}

// change is what the verb does with the text of the file.
func (c *command) change(login string) (func(*userdb.File) error, error) {
	switch c.verb {
	case "set":
		fields, err := c.fields(login)
		return func(f *userdb.File) error { return f.Set(login, fields...) }, err
	case "unset":
		return func(f *userdb.File) error {
			f.Unset(login, c.args...)
			return nil
		}, nil
	case "del":
		if len(c.args) > 0 {
			return nil, errUsage
		}
		return func(f *userdb.File) error {
			f.Delete(login)
			return nil
		}, nil
	}
	return nil, errUsage
}

// fields are those of the command line; values that are not there are asked.
func (c *command) fields(login string) ([]userdb.Field, error) {
	var list []userdb.Field
	in := bufio.NewReaderSize(c.in, 1)
	for _, arg := range c.args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			var err error
			if usertool.IsTerminal(c.in) {
				value, err = usertool.ReadSecret(c.in, c.out, login+"."+name+": ")
			} else {
				value, err = usertool.ReadLine(in)
			}
			if err != nil {
				return nil, fmt.Errorf("value of %s: %w", name, err)
			}
		}
		if strings.ContainsAny(value, "|\n") {
			return nil, errors.New("Invalid value.")
		}
		list = append(list, userdb.Field{Name: name, Value: value})
	}
	return list, nil
}

// doShow prints the names in a file, or the fields of a record.
func (c *command) doShow(site *usertool.Site) error {
	file, login := c.file, c.name
	if file == "" {
		file, login = site.Path, ""
		if c.name != "" {
			file, login = site.FileOf(c.name)
		}
		// "-show path" and "-show path name" are forms, too.
		if whole, _ := site.FileOf(c.name + "/"); c.name != "" && isFile(whole) {
			file, login = whole, ""
		}
		if len(c.args) > 0 {
			login = c.args[0]
		}
	}
	if info, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a file.", file)
	}
	f, err := userdb.ReadFile(file)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(c.out)
	if login == "" {
		for _, name := range f.Logins() {
			fmt.Fprintln(out, name)
		}
		return out.Flush()
	}
	for _, text := range f.Texts(login) {
		fmt.Fprintln(out, text)
	}
	return out.Flush()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
