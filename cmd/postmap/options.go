package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/getopt"
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

// parseOptions reads the arguments.
func parseOptions(name string, args []string) (*options, error) {
	letters := "c:d:q:bfFhimnNoprsuUvw"
	if name == "postalias" {
		letters = "c:d:q:Nfinoprsuvw"
	}
	o := &options{}
	rest, err := getopt.Each(args, letters, func(c byte, value string) error {
		if strings.IndexByte("cdq", c) >= 0 {
			return o.setValue(c, value)
		}
		o.setFlag(c)
		return nil
	})
	if e, ok := errors.AsType[*getopt.Error](err); ok {
		return nil, fmt.Errorf("%w: %w", e, errUsage)
	}
	if err != nil {
		return nil, err
	}
	o.tables = rest
	return o, o.check()
}

func (o *options) setValue(c byte, value string) error {
	if c == 'c' {
		o.config = value
		return nil
	}
	if o.hasDel || o.hasQuery || o.sequence {
		return errors.New("specify only one of -s -q or -d")
	}
	if c == 'd' {
		o.remove, o.hasDel = value, true
	} else {
		o.query, o.hasQuery = value, true
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
	case len(o.tables) == 0:
		return errUsage
	}
	return nil
}
