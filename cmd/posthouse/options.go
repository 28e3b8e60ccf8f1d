package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/pflag"
)

// errUsage is an error of the command line; it ends with exit status 2.
var errUsage = errors.New("usage")

// errHelp is no error: the user asked for the usage, and has it.
var errHelp = errors.New("help was printed")

// word is what may follow the name of a command, with the least and the most
// arguments behind it; a negative number is no limit.
type word struct {
	name        string
	least, most int
}

// newFlags are the options of a command; its name is for the messages.
func newFlags(name string) *pflag.FlagSet {
	f := pflag.NewFlagSet(name, pflag.ContinueOnError)
	f.Usage = func() {} // parse prints it, where it belongs
	return f
}

// wrongUsage says what is wrong and, in a second line, what would be right.
func wrongUsage(usage, format string, args ...any) error {
	return fmt.Errorf("%s\n%w: %s", fmt.Sprintf(format, args...), errUsage, usage)
}

// parse reads the options and arguments of a command, and is the only place
// that does. It prints the usage for --help and returns errHelp then.
func (a *app) parse(f *pflag.FlagSet, args []string, usage string, least, most int) error {
	err := f.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(a.out, "usage: %s\nSee posthouse(8) for what options and arguments mean.\n", usage)
		return errHelp
	}
	if err != nil {
		return wrongUsage(usage, "%s: %v", f.Name(), err)
	}
	return checkCount(f.Name(), f.Args(), usage, least, most)
}

// parseWords is parse for a command that has others behind it.
func (a *app) parseWords(f *pflag.FlagSet, args []string, usage string, words []word) error {
	if err := a.parse(f, args, usage, 0, -1); err != nil {
		return err
	}
	if f.NArg() == 0 {
		return wrongUsage(usage, "%s: a command is missing", f.Name())
	}
	i := slices.IndexFunc(words, func(w word) bool { return w.name == f.Arg(0) })
	if i < 0 {
		return wrongUsage(usage, "%s: unknown command %q", f.Name(), f.Arg(0))
	}
	return checkCount(f.Name()+" "+f.Arg(0), f.Args()[1:], usage, words[i].least, words[i].most)
}

func checkCount(name string, args []string, usage string, least, most int) error {
	switch n := len(args); {
	case n < least:
		return wrongUsage(usage, "%s: an argument is missing", name)
	case most == 0 && n > 0:
		return wrongUsage(usage, "%s takes no argument, got %q", name, args[0])
	case most > 0 && n > most:
		return wrongUsage(usage, "%s: an argument too many: %q", name, args[most])
	}
	return nil
}

// noArguments is parse for a command without options and arguments.
func (a *app) noArguments(name string, args []string) error {
	return a.parse(newFlags(name), args, "posthouse [-c config_dir] "+name, 0, 0)
}
