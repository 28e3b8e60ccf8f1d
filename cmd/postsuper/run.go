package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/posthouse-mail/posthouse/pkg/getopt"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queuetool"
)

const usage = "usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] " +
	"[-f queue_id (expire and/or un-hold)] [-h queue_id (hold)] [-H queue_id (un-hold)] " +
	"[-p (purge temporary files)] [-r queue_id (requeue)] [-s (structure fix)] " +
	"[-S (redundant structure fix)][-v (verbose)] [queue...]"

// allMessages is the id that means every message.
const allMessages = "ALL"

// options are the command line: for each operation the ids that it is for.
type options struct {
	config                                             string
	remove, expire, expireRelease, hold, free, requeue []string
	purge, structure, redundant, verbose               bool
	queues                                             []string
}

func parse(args []string) (options, error) {
	var o options
	lists := map[byte]*[]string{'d': &o.remove, 'e': &o.expire, 'f': &o.expireRelease, 'h': &o.hold, 'H': &o.free, 'r': &o.requeue}
	flags := map[byte]*bool{'p': &o.purge, 's': &o.structure, 'S': &o.redundant, 'v': &o.verbose}
	rest, err := getopt.Each(args, "c:d:e:f:h:H:pr:sSv", func(c byte, value string) error {
		switch {
		case c == 'c':
			o.config = value
		case lists[c] != nil:
			*lists[c] = append(*lists[c], value)
		default:
			*flags[c] = true
		}
		return nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "postsuper: "+err.Error())
		return o, errors.New(usage)
	}
	if o.config != "" && !filepath.IsAbs(o.config) {
		return o, errors.New("-c requires absolute pathname")
	}
	o.queues = rest
	o.structure = o.structure || o.redundant
	if !o.structure && !o.purge && len(o.remove)+len(o.expire)+len(o.expireRelease)+
		len(o.hold)+len(o.free)+len(o.requeue) == 0 {
		o.structure, o.purge = true, true
	}
	return o, nil
}

func run(args []string, stdin io.Reader) int {
	if err := queuetool.OpenStandardFiles(); err != nil {
		return 1
	}
	syscall.Umask(0o022)
	if err := execute(args, stdin); err != nil {
		if !errors.Is(err, errReported) {
			fmt.Fprintln(os.Stderr, queuetool.Line("postsuper", "fatal: "+err.Error()))
		}
		return 1
	}
	return 0
}

// errReported is a failure that was told already.
var errReported = errors.New("failed")

func execute(args []string, stdin io.Reader) error {
	if queuetool.Privileged() {
		return errors.New("this postfix command must not run as a set-uid process")
	}
	o, err := parse(args)
	if err != nil && os.Getuid() == 0 {
		return err
	}
	t, terr := queuetool.Open("postsuper", o.config, o.verbose)
	if terr == nil {
		defer t.Close()
	}
	if os.Getuid() != 0 && (terr != nil || t.OwnerUID != os.Getuid()) {
		return errors.New("use of this command is reserved for the superuser")
	}
	if err = errors.Join(err, terr); err != nil {
		return err
	}
	for _, name := range o.queues {
		if !slices.ContainsFunc(allQueues, func(i queueInfo) bool { return i.name == name }) {
			return fmt.Errorf("invalid directory name: %s", name)
		}
	}
	if err := os.Chdir(t.QueueDir); err != nil {
		return fmt.Errorf("chdir %s: %s", t.QueueDir, queuetool.ErrnoText(err))
	}
	if err := t.DropToOwner(); err != nil {
		return err
	}
	s := &super{options: o, t: t, q: t.Queue("."), stdin: stdin}
	defer s.watchSignals()()
	if err := s.work(); err != nil {
		t.Fatal("%v", err)
		s.incomplete()
		return errReported
	}
	return nil
}

// super is a running postsuper.
type super struct {
	options
	t     *queuetool.Tool
	q     *queue.Queue
	stdin io.Reader

	requeued, deleted, expired, held, released int
	inodeFixed, inodeMismatch, misplaced       int
}

// watchSignals makes an interrupted repair known.
func (s *super) watchSignals() (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	go func() {
		sig, ok := <-c
		if !ok {
			return
		}
		s.incomplete()
		s.t.Close()
		os.Exit(int(sig.(syscall.Signal)))
	}()
	return func() {
		signal.Stop(c)
		close(c)
	}
}

func (s *super) incomplete() {
	if s.inodeMismatch > 0 || s.inodeFixed > 0 || s.misplaced > 0 {
		s.t.Warn("OPERATION INCOMPLETE -- RERUN COMMAND TO FIX THE QUEUE FIRST")
	}
}

// work does what the options ask for: first what concerns all files, then the
// single messages, since their names may change in the first part.
func (s *super) work() error {
	if err := s.allFiles(); err != nil {
		return err
	}
	changed := s.inodeMismatch > 0 || s.inodeFixed > 0
	for _, op := range s.operations() {
		if op.all || len(*op.ids) == 0 {
			continue
		}
		if changed {
			s.t.Error("QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS")
			return errors.New("CHECK YOUR QUEUE IDS AND RE-ISSUE THE COMMAND")
		}
		if err := s.byID(op); err != nil {
			return err
		}
	}
	s.report()
	return nil
}

// report tells how many messages each wanted operation was done to.
func (s *super) report() {
	for _, r := range []struct {
		what   string
		count  int
		wanted bool
	}{
		{"Requeued", s.requeued, len(s.requeue) > 0},
		{"Deleted", s.deleted, len(s.remove) > 0},
		{"Force-expired", s.expired, len(s.expire)+len(s.expireRelease) > 0},
		{"Placed on hold", s.held, len(s.hold) > 0},
		{"Released from hold", s.released, len(s.free)+len(s.expireRelease) > 0},
		{"Renamed to match inode number", s.inodeFixed, s.inodeFixed > 0},
	} {
		switch {
		case !r.wanted:
		case r.count == 1:
			s.t.Info("", "%s: 1 message", r.what)
		default:
			s.t.Info("", "%s: %d messages", r.what, r.count)
		}
	}
	if s.inodeMismatch > 0 || s.inodeFixed > 0 {
		s.t.Warn("QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS")
	}
}
