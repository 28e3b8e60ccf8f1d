package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
)

// defaultConfigDir is where a packaged installation has its configuration.
const defaultConfigDir = "/etc/posthouse"

// errQuiet ends the program with status 1 when all has been said.
var errQuiet = errors.New("failed")

// options is the command line.
type options struct {
	configDir string
	debug     bool
	init      bool
	stdout    bool
	test      bool
	wait      bool
	verbose   int
	exitAfter time.Duration
	readyFD   int // > 0 in the background process: where the starter waits
}

const usage = "usage: master [-Ddistvw] [-c config_dir] [-e exit_time]"

// foreground reports whether this process itself becomes the supervisor.
func (o *options) foreground() bool { return o.debug || o.init || o.readyFD > 0 }

func parseOptions(args []string) (options, error) {
	var o options
	var seconds int
	flags := pflag.NewFlagSet("master", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.StringVarP(&o.configDir, "config", "c", os.Getenv("MAIL_CONFIG"), "")
	flags.BoolVarP(&o.debug, "foreground", "d", false, "")
	flags.BoolP("debugger", "D", false, "")
	flags.IntVarP(&seconds, "exit-time", "e", 0, "")
	flags.BoolVarP(&o.init, "init", "i", false, "")
	flags.BoolVarP(&o.stdout, "stdout", "s", false, "")
	flags.BoolVarP(&o.test, "test", "t", false, "")
	flags.CountVarP(&o.verbose, "verbose", "v", "")
	flags.BoolVarP(&o.wait, "wait", "w", false, "")
	flags.IntVar(&o.readyFD, "ready-fd", 0, "")
	flags.MarkHidden("ready-fd")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	o.exitAfter = time.Duration(seconds) * time.Second
	if o.configDir == "" {
		o.configDir = defaultConfigDir
	}
	dir, err := filepath.Abs(o.configDir)
	if err != nil {
		return o, err
	}
	o.configDir = dir
	switch {
	case seconds < 0:
		return o, errors.New("option -e needs a positive number")
	case o.init && os.Getpid() != 1:
		return o, errors.New("option -i is only for process 1")
	case (o.debug || o.init) && o.wait:
		return o, errors.New("option -w excludes -d and -i")
	}
	return o, nil
}
