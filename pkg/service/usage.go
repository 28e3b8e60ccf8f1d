package service

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// errHelp reports that the usage was asked for.
var errHelp = errors.New("help wanted")

// genericOptions are the options that make sense by hand and in master.cf;
// those by which master tells how it started a process are in type options.
const genericOptions = `Generic daemon options:
  -c DIR          configuration directory; else $MAIL_CONFIG, else ` + defaultConfigDir + `
  -o NAME=VALUE   override a parameter of main.cf; may be repeated
  -v              log more; may be repeated
  -D              accepted for compatibility, without effect
  -h, --help      print this
Without master, for tests and debugging:
  --listen PLACE  serve there, with the rights of the caller: a path, or host:port with -t inet
  -t TYPE         type of the service: inet, unix, fifo, pass or unix-dgram
  -n NAME         name of the service, for its settings and the log
  -u, -j          give up rights all the same: run as mail_owner; in the queue directory as root directory
master gives more options, which say how it started the process: -g -k -l -p -s -S.
`

// usage is what a daemon prints for --help: what it is, its options, which
// lines of master.cf start it, and where there is more.
func usage(d Daemon, configDir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", usageLine(d))
	if d.About != "" {
		fmt.Fprintf(&b, "%s %s\n", d.Name, d.About)
	}
	fmt.Fprintf(&b, "%s\n\n%sManual pages: %s(8), master(8), master(5), postconf(5)", startedBy(d.Name, configDir), genericOptions, d.Name)
	return b.String()
}

// usageLine is the synopsis.
func usageLine(d Daemon) string {
	return strings.TrimRight("usage: "+d.Name+" [generic daemon options] "+d.Args, " ")
}

// startedBy names the lines of master.cf that have a program.
func startedBy(program, configDir string) string {
	path := filepath.Join(configDir, "master.cf")
	m, err := config.LoadMaster(path)
	if err != nil {
		return fmt.Sprintf("master starts it, for lines of master.cf that name it (%v)", err)
	}
	var b strings.Builder
	for i := range m.Services {
		if s := &m.Services[i]; filepath.Base(s.Program) == program {
			fmt.Fprintf(&b, "\n  %s:%d: %s %s", s.File, s.Line, s.Name, s.Type)
		}
	}
	if b.Len() == 0 {
		return fmt.Sprintf("master starts it, for lines of master.cf that name it; %s has none", path)
	}
	return "master starts it, for these services:" + b.String()
}

// refuseUsage prints what to do about a command line that cannot be, or the
// usage if that was asked for, and returns the exit status.
func refuseUsage(d Daemon, o options, err error) int {
	if errors.Is(err, errHelp) {
		fmt.Println(usage(d, o.configDir))
		return 0
	}
	fmt.Fprintf(os.Stderr, "%s: fatal: %v\n", d.Name, err)
	if o.sockets == 0 { // somebody types
		fmt.Fprintf(os.Stderr, "%s\n(%s --help says more)\n", usageLine(d), d.Name)
	}
	return 2
}
