package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/posthouse-mail/posthouse/pkg/getopt"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queuetool"
)

const usage = "usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] " +
	"[-e (envelope records)] [-h (header text)] [-q (access queue)] [-v] [file(s)...]"

// options say what to show.
type options struct {
	body, header, envelope bool
	decimal, offsets, raw  bool
	verbose                bool
	start                  int64

	search bool
	config string
	files  []string
}

func parse(args []string) (options, error) {
	var o options
	flags := map[byte]*bool{'b': &o.body, 'd': &o.decimal, 'e': &o.envelope, 'h': &o.header, 'o': &o.offsets,
		'q': &o.search, 'r': &o.raw, 'v': &o.verbose}
	rest, err := getopt.Each(args, "bc:dehoqrs:v", func(c byte, value string) error {
		switch c {
		case 'c':
			o.config = value
		case 's':
			n, err := strconv.ParseUint(value, 10, 63)
			if err != nil {
				return fmt.Errorf("bad offset: %s", value)
			}
			o.start = int64(n)
		default:
			*flags[c] = true
		}
		return nil
	})
	if err != nil {
		return o, err
	}
	o.files = rest
	if !o.body && !o.header && !o.envelope {
		o.body, o.header, o.envelope = true, true, true
	}
	return o, nil
}

func run(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	out := bufio.NewWriterSize(stdout, 64<<10)
	warn := func(format string, args ...any) {
		_ = out.Flush()
		fmt.Fprintln(stderr, queuetool.Line("postcat", "warning: "+fmt.Sprintf(format, args...)))
	}
	err := show(args, stdin, out, warn)
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	if e, ok := errors.AsType[*getopt.Error](err); ok {
		fmt.Fprintln(stderr, "postcat: "+e.Error())
		err = errors.New(usage)
	}
	if err != nil {
		fmt.Fprintln(stderr, queuetool.Line("postcat", "fatal: "+err.Error()))
		return 1
	}
	return 0
}

// show prints all files.
func show(args []string, stdin *os.File, out *bufio.Writer, warn func(string, ...any)) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if len(o.files) == 0 {
		p := printer{options: o, out: out, warn: warn, path: "stdin"}
		return p.file(stdin, false)
	}
	var open func(string) (*os.File, error) = openFile
	if o.search {
		if open, err = searcher(o.config); err != nil {
			return err
		}
	}
	for _, name := range o.files {
		f, err := open(name)
		if err != nil {
			return err
		}
		p := printer{options: o, out: out, warn: warn, path: f.Name()}
		err = p.file(f, true)
		_ = f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func openFile(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %s", name, queuetool.ErrnoText(err))
	}
	return f, nil
}

// searcher returns a function that opens queue files by their ids, after a
// change to the queue directory.
func searcher(configDir string) (func(string) (*os.File, error), error) {
	t, err := queuetool.Open("postcat", configDir, false)
	if err != nil {
		return nil, err
	}
	if err := os.Chdir(t.QueueDir); err != nil {
		return nil, fmt.Errorf("chdir %s: %s", t.QueueDir, queuetool.ErrnoText(err))
	}
	q := t.Queue(".")
	return func(id string) (*os.File, error) {
		if !queue.ValidID(id) {
			return nil, fmt.Errorf("bad mail queue ID: %s", id)
		}
		// A message may move while it is searched: look twice.
		var err error
		for range 2 {
			for _, name := range []string{queue.Maildrop, queue.Incoming, queue.Active,
				queue.Deferred, queue.Hold, queue.Saved} {
				var f *os.File
				if f, err = os.Open(q.Path(name, queue.ID(id))); err == nil {
					return f, nil
				}
			}
		}
		return nil, fmt.Errorf("open queue file %s: %s", id, queuetool.ErrnoText(err))
	}, nil
}
