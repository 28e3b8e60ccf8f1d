package main

import (
	"errors"
	"fmt"
	"strings"
)

// options is the command line.
type options struct {
	config             string
	query, remove      string
	hasQuery, hasDel   bool
	sequence, add      bool
	header, body, mime bool
	noFold, fromFiles  bool
	withNUL            bool
	asRoot, ownMode    bool
	replace, ignore    bool
	noUTF8, forceUTF8  bool
	verbose            bool
	tables             []string
}

// errUsage is answered with the synopsis.
var errUsage = errors.New("usage")

func usage(name string) string {
	if name == "postalias" {
		return "usage: postalias [-Nfinoprsuvw] [-c config_dir] [-d key] [-q key] [map_type:]file..."
	}
	return "usage: postmap [-bfFhimnNoprsuUvw] [-c config_dir] [-d key] [-q key] [map_type:]file..."
}

// parseOptions reads the arguments in the manner of getopt(3), which is what
// scripts that call postmap were written for: letters in one word, values
// joined or apart, options before tables.
func parseOptions(name string, args []string) (*options, error) {
	letters := "bfFhimnNoprsuUvw"
	if name == "postalias" {
		letters = "Nfinoprsuvw"
	}
	o := &options{}
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		word := args[0][1:]
		args = args[1:]
		if word == "-" {
			break
		}
		for i := 0; i < len(word); i++ {
			c := word[i]
			if strings.IndexByte("cdq", c) >= 0 {
				value := word[i+1:]
				if value == "" {
					if len(args) == 0 {
						return nil, fmt.Errorf("option requires an argument -- '%c': %w", c, errUsage)
					}
					value, args = args[0], args[1:]
				}
				if err := o.setValue(c, value); err != nil {
					return nil, err
				}
				break
			}
			if strings.IndexByte(letters, c) < 0 {
				return nil, fmt.Errorf("invalid option -- '%c': %w", c, errUsage)
			}
			o.setFlag(c)
		}
	}
	o.tables = args
	return o, o.check()
}

func (o *options) setValue(c byte, value string) error {
	switch c {
	case 'c':
		o.config = value
		return nil
	case 'd':
		o.remove, o.hasDel = value, true
	case 'q':
		o.query, o.hasQuery = value, true
	}
	if o.hasDel && o.hasQuery || o.sequence {
		return errors.New("specify only one of -s -q or -d")
	}
	return nil
}

func (o *options) setFlag(c byte) {
	flags := map[byte]*bool{
		'b': &o.body, 'h': &o.header, 'm': &o.mime, 'f': &o.noFold, 'F': &o.fromFiles,
		'i': &o.add, 'N': &o.withNUL, 'o': &o.asRoot, 'p': &o.ownMode, 'r': &o.replace,
		's': &o.sequence, 'u': &o.noUTF8, 'U': &o.forceUTF8, 'v': &o.verbose, 'w': &o.ignore,
	}
	switch c {
	case 'n':
		o.withNUL = false
	case 'r':
		o.replace, o.ignore = true, false
	case 'w':
		o.ignore, o.replace = true, false
	default:
		*flags[c] = true
	}
}

func (o *options) check() error {
	switch {
	case o.sequence && (o.hasQuery || o.hasDel):
		return errors.New("specify only one of -s or -q or -d")
	case (o.body || o.header || o.mime) && (!o.hasQuery || o.query != "-"):
		return errors.New(`specify -b -h or -m only with "-q -"`)
	case o.mime && !o.body && !o.header:
		return errors.New("specify -m with -b or -h")
	case len(o.tables) == 0 && !o.hasQuery && !o.hasDel && !o.sequence && !o.add:
		return errUsage
	}
	return nil
}
