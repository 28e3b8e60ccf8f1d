// Master supervises the mail system: it opens every endpoint, starts the
// daemons on demand, limits them and replaces what dies.
//
// # Synopsis
//
//	master [-Ddistvw] [-c config_dir] [-e exit_time]
//
// # Description
//
// Master reads master.cf, see master(5), opens the sockets and FIFOs that it names, and
// waits. When a client comes and no process of the service can take it, master
// starts one, which inherits the open endpoint. A process serves many clients;
// it tells master when it is full, and further ones are started up to the
// limit in master.cf or default_process_limit. When all are full, the next ones
// that start are told so (the parameter stress is "yes").
//
// A process that fails at its start is not started again at once, but after one
// second, then two, four and so on up to service_throttle_time. Master itself
// does not end because of a child. Requests wait in the endpoint meanwhile.
//
// Services with a wake-up time get a trigger at start and at that interval; with
// a "?" behind the time, only after somebody used the service.
//
// Old master.cf files are accepted. When maillog_file is set and there is no
// postlog service, one is added.
//
// # Options
//
//	-c config_dir   the directory with main.cf and master.cf
//	-d              stay in the foreground; keep standard input and output
//	-D              accepted for compatibility, without effect
//	-e exit_time    terminate after so many seconds
//	-i              init mode, for process 1 of a container: like -d, and
//	                orphaned processes are collected
//	-s              keep standard output, for maillog_file = /dev/stdout
//	-t              test: exit status 0 if master does not run
//	-v              verbose; passed on to the daemons
//	-h              print the usage
//	-w              go to the background and exit when the start succeeded,
//	                or with the reason why not
//
// Without -d, -i or -t master goes to the background as with -w.
//
// # Signals
//
//	HUP             read main.cf and master.cf again. Endpoints and limits
//	                change in place; running processes finish their sessions
//	                and are replaced. If a file is wrong, nothing changes.
//	TERM, INT       end: sessions get some seconds, then processes are killed
//	QUIT            end at once
//
// # Security
//
// Master runs as root with the capabilities that its children need, and drops
// the others. It reads only its configuration and ten-byte status reports from
// its children, parses nothing from users or the network, and accepts no
// connection. In an instance of an ordinary user it keeps that user's id, and
// so do its children. Children get a clean environment (import_environment) and
// the descriptors for standard input, output and error, the status channel and
// their own endpoint, no others.
//
// # Files
//
//	$queue_directory/pid/master.pid   locked while master runs
//	$data_directory/master.lock       locked while master runs
//
// # Exit status
//
// Zero after TERM, INT, QUIT or -e; non-zero when the start failed. With -t,
// zero if master does not run.
//
// # See also
//
// posthouse(8), master(5), postconf(5), postlogd(8).
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"
)

func main() {
	os.Exit(run(os.Args))
}

// run is main with an exit status.
func run(argv []string) int {
	o, err := parseOptions(argv[1:])
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Println(usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "master: fatal: %v\n%s\n", err, usage)
		return 2
	}
	switch {
	case o.test:
		err = testRunning(o)
	case o.foreground():
		err = supervise(o)
	default:
		err = background(o, argv)
	}
	if errors.Is(err, errQuiet) {
		return 1
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "master: fatal: %v\n", err)
		return 1
	}
	return 0
}
