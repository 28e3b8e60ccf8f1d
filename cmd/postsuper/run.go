package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
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

// request is one message, or those that standard input names, and what is to be
// done with it: the letter of the option.
type request struct {
	option byte
	id     string
}

// options are the command line.
type options struct {
	config                               string
	inOrder                              []request
	purge, structure, redundant, verbose bool
	queues                               []string
}

func parse(args []string) (options, error) {
	var o options
	flags := map[byte]*bool{'p': &o.purge, 's': &o.structure, 'S': &o.redundant, 'v': &o.verbose}
	rest, err := getopt.Each(args, "c:d:e:f:h:H:pr:sSv", func(c byte, value string) error {
		switch {
		case c == 'c':
			if !filepath.IsAbs(value) {
				return errors.New("-c requires absolute pathname")
			}
			o.config = value
		case flags[c] == nil:
			o.inOrder = append(o.inOrder, request{c, value})
		default:
			*flags[c] = true
		}
		return nil
	})
	if e, ok := errors.AsType[*getopt.Error](err); ok {
		fmt.Fprintln(os.Stderr, "postsuper: "+e.Error())
		err = errors.New(usage)
	}
	if err != nil {
		return o, err
	}
	o.queues = rest
	o.structure = o.structure || o.redundant
	if !o.structure && !o.purge && len(o.inOrder) == 0 {
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
	t, terr := queuetool.OpenLogged("postsuper", o.config, o.verbose)
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
			t.Fatal("invalid directory name: %s", name)
			return errReported
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
	lines *bufio.Reader // of stdin

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

// work does what the options ask for: first repairs, in which names may change,
// then the operations in the order of the command line.
func (s *super) work() error {
	if err := s.repair(); err != nil {
		return err
	}
	changed := s.inodeMismatch > 0 || s.inodeFixed > 0
	ops := s.operations()
	for _, r := range s.inOrder {
		op := ops[r.option]
		if r.id == allMessages {
			if err := s.walkQueues(r.option, op.defaults); err != nil {
				return err
			}
			continue
		}
		if changed {
			s.t.Error("QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS")
			return errors.New("CHECK YOUR QUEUE IDS AND RE-ISSUE THE COMMAND")
		}
		if err := s.byID(op, r.id); err != nil {
			return err
		}
	}
	s.report()
	return nil
}

// wants tells whether one of the options was given.
func (s *super) wants(letters string) bool {
	return slices.ContainsFunc(s.inOrder, func(r request) bool { return strings.IndexByte(letters, r.option) >= 0 })
}

// report tells how many messages each wanted operation was done to.
func (s *super) report() {
	for _, r := range []struct {
		what   string
		count  int
		wanted bool
	}{
		{"Requeued", s.requeued, s.wants("r")},
		{"Deleted", s.deleted, s.wants("d")},
		{"Force-expired", s.expired, s.wants("ef")},
		{"Placed on hold", s.held, s.wants("h")},
		{"Released from hold", s.released, s.wants("Hf")},
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
