package service

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// defaultConfigDir is where a packaged installation has its configuration.
const defaultConfigDir = "/etc/posthouse"

// maxListeners bounds what -s may say.
const maxListeners = 1000

// options are the generic options of a daemon.
//
//	-c DIR       configuration directory, else $MAIL_CONFIG
//	-n NAME      name of the service in master.cf
//	-t TYPE      its type
//	-s N         number of listeners that are inherited
//	-g N         generation of the configuration, for the status channel
//	-u           run without privileges, as mail_owner
//	-j           run in the queue directory as root directory
//	-p           the endpoint is private
//	-l           only one process of this service may exist
//	-k           behind the listeners, the file of the service is inherited; see Keep
//	-S           master is under stress: $stress is "yes"
//	-o NAME=VAL  override a parameter
//	-v           verbose; may be repeated
//	-D           accepted and ignored
//	--listen A   make a listener: a path, or host:port; for runs without master
//	-h, --help   print the usage; not from master
type options struct {
	configDir  string
	service    string
	typ        string
	sockets    int
	generation int
	unpriv     bool
	chroot     bool
	private    bool
	single     bool
	keep       bool
	stress     bool
	overrides  []config.Override
	verbose    int
	listen     string
	help       bool
	args       []string
}

// parseOptions splits the generic options off. The first word that is none
// starts the daemon's own arguments. Those of a daemon that has none (own) are
// ignored when they come from master.cf, as old files have them.
func parseOptions(argv []string, own bool) (options, error) {
	o := options{typ: "unix", configDir: os.Getenv("MAIL_CONFIG")}
	words := argv[1:]
	for len(words) > 0 {
		used, err := o.option(words)
		if err != nil {
			return o, err
		}
		if used == 0 {
			break
		}
		words = words[used:]
	}
	o.args = words
	if o.configDir == "" {
		o.configDir = defaultConfigDir
	}
	if o.help && o.sockets == 0 {
		return o, errHelp
	}
	if o.sockets == 0 && len(words) > 0 && !own {
		return o, fmt.Errorf("unexpected argument %q", words[0])
	}
	if o.sockets > 0 && o.listen != "" {
		return o, fmt.Errorf("options -s and --listen exclude each other")
	}
	if o.sockets == 0 && o.listen == "" {
		return o, fmt.Errorf("this program is started by master; for a run without it, use --listen")
	}
	return o, nil
}

// option takes one option and returns how many words it used.
func (o *options) option(words []string) (int, error) {
	if used, ok := o.flag(words[0]); ok {
		return used, nil
	}
	name, value, used := optionValue(words)
	if name == "" {
		return 0, nil
	}
	if used == 0 {
		return 0, fmt.Errorf("option %s needs a value", name)
	}
	var err error
	switch name {
	case "-c":
		o.configDir = value
	case "-n":
		o.service = value
	case "-t":
		o.typ = value
	case "-s":
		o.sockets, err = number(name, value, maxListeners)
	case "-g":
		o.generation, err = number(name, value, 1<<30)
	case "-o":
		n, v, ok := strings.Cut(value, "=")
		if !ok || strings.TrimSpace(n) == "" {
			return 0, fmt.Errorf("option -o needs name=value, got %q", value)
		}
		o.overrides = append(o.overrides, config.Override{Name: strings.TrimSpace(n), Value: strings.TrimSpace(v)})
	case "--listen":
		o.listen = value
	}
	return used, err
}

// flag takes an option without value.
func (o *options) flag(word string) (int, bool) {
	switch word {
	case "-u":
		o.unpriv = true
	case "-j":
		o.chroot = true
	case "-p":
		o.private = true
	case "-l":
		o.single = true
	case "-k":
		o.keep = true
	case "-S":
		o.stress = true
	case "-h", "--help":
		o.help = true
	case "-D":
	case "-v", "-vv", "-vvv":
		o.verbose += len(word) - 1
	default:
		return 0, false
	}
	return 1, true
}

// optionValue finds an option with a value, in the next word or attached. The
// name is empty if the word is no such option; used is 0 if the value lacks.
func optionValue(words []string) (name, value string, used int) {
	word := words[0]
	if word == "--listen" {
		name = word
	} else if v, ok := strings.CutPrefix(word, "--listen="); ok {
		return "--listen", v, 1
	} else if len(word) >= 2 && word[0] == '-' && strings.IndexByte("cntsgo", word[1]) >= 0 {
		name = word[:2]
		if len(word) > 2 {
			return name, word[2:], 1
		}
	} else {
		return "", "", 0
	}
	if len(words) < 2 {
		return name, "", 0
	}
	return name, words[1], 2
}

func number(name, value string, max int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > max {
		return 0, fmt.Errorf("option %s: bad number %q", name, value)
	}
	return n, nil
}
