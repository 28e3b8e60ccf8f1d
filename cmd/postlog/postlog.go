package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/getopt"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
)

// defaultConfigDir is where a packaged installation has its configuration.
const defaultConfigDir = "/etc/posthouse"

// maxLine bounds a line of standard input; the logger cuts at much less.
const maxLine = 1 << 16

// settings are the parameters of postlog.
type settings struct {
	QueueDir string `param:"queue_directory"`
	Name     string `param:"syslog_name"`
	Facility string `param:"syslog_facility"`
	File     string `param:"maillog_file"`
}

// options is the command line.
type options struct {
	configDir, priority, tag string
	words                    []string
}

func parseOptions(args []string) (options, error) {
	o := options{configDir: os.Getenv("MAIL_CONFIG")}
	o.priority, o.tag = "info", os.Getenv("MAIL_LOGTAG")
	rest, err := getopt.Each(args, "c:p:t:iv", func(c byte, value string) error {
		switch c {
		case 'c':
			o.configDir = value
		case 'p':
			o.priority = value
		case 't':
			o.tag = value
		}
		return nil
	})
	o.words = rest
	if o.configDir == "" {
		o.configDir = defaultConfigDir
	}
	return o, err
}

func run(args []string, stdin io.Reader) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(o.configDir)
	if err != nil {
		return err
	}
	cfg, err := config.Load(dir, config.WithService("postlog", "postlog"))
	if err != nil {
		return err
	}
	var set settings
	if err := cfg.Fill(&set); err != nil {
		return err
	}
	l := open(o, set)
	defer l.Close()
	write, err := writer(l, o.priority)
	if err != nil {
		return err
	}
	if len(o.words) > 0 {
		write("", "%s", strings.Join(o.words, " "))
		return nil
	}
	return copyLines(stdin, write)
}

// open connects the log. A private network of names is not needed here: the
// socket is found below the queue directory.
func open(o options, set settings) *maillog.Logger {
	mo := maillog.Options{
		Program: "postlog", Name: set.Name, Facility: set.Facility, File: set.File,
		Postlog: filepath.Join(set.QueueDir, maillog.PostlogSocket), WriteFile: os.Geteuid() == 0 || os.Getuid() == os.Geteuid(),
	}
	if o.tag != "" {
		mo.Name, mo.Program = "", o.tag
	}
	if _, err := unix.IoctlGetTermios(2, unix.TCGETS); err == nil {
		mo.Stderr = true
	}
	return maillog.Open(mo)
}

// logFunc is one of the methods of a Logger.
type logFunc func(queueID, format string, args ...any)

func writer(l *maillog.Logger, priority string) (logFunc, error) {
	switch strings.ToLower(priority) {
	case "info":
		return l.Info, nil
	case "warn", "warning":
		return l.Warn, nil
	case "error":
		return l.Error, nil
	case "fatal":
		return l.Fatal, nil
	case "panic":
		return l.Panic, nil
	}
	return nil, fmt.Errorf("unknown priority %q", priority)
}

// copyLines logs each line; of one that is too long, the beginning.
func copyLines(r io.Reader, write logFunc) error {
	br := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := br.ReadSlice('\n')
		if len(line) > 0 {
			write("", "%s", strings.TrimRight(string(line), "\r\n"))
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = br.ReadSlice('\n')
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
	}
}
