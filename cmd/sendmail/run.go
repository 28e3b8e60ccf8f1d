package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/queuetool"
)

// params are the parameters that sendmail obeys.
type params struct {
	CommandDir string   `param:"command_directory"`
	DaemonDir  string   `param:"daemon_directory"`
	QueueDir   string   `param:"queue_directory"`
	FixEndings string   `param:"sendmail_fix_line_endings"`
	AliasDB    []string `param:"alias_database"`
	VerpDelims string   `param:"default_verp_delimiters"`
	VerpFilter string   `param:"verp_delimiter_filter"`
	LineLength int      `param:"line_length_limit"`
}

// command is a running sendmail.
type command struct {
	o      *options
	p      params
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	uid    int
	login  string
	from   string // the envelope sender
}

// run is main with its surroundings as arguments.
func run(argv []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &command{stdin: stdin, stdout: stdout, stderr: stderr, uid: os.Getuid()}
	err := c.run(argv)
	if err == nil {
		return exOK
	}
	var e *exit
	if !errors.As(err, &e) {
		e = &exit{exTempFail, err.Error()}
	}
	if e.text != "" {
		fmt.Fprintf(stderr, "%s: fatal: %s\n", filepath.Base(argv[0]), printable.Text(e.text))
	}
	return e.code
}

func (c *command) run(argv []string) error {
	if os.Geteuid() == 0 && c.uid != 0 {
		return fail(exUsage, "sendmail must be installed without set-uid root file permissions")
	}
	var err error
	c.o, err = parseOptions(argv)
	for _, text := range c.o.messages {
		fmt.Fprintf(c.stderr, "%s: %s\n", c.o.programName, printable.Text(text))
	}
	if err != nil {
		return err
	}
	if err := c.configure(); err != nil {
		return err
	}
	switch c.o.mode {
	case modeNothing:
		return nil
	case modeQueue:
		return c.exec("postqueue", "-p")
	case modeFlush:
		return c.exec("postqueue", "-f")
	case modeFlushSite:
		return c.exec("postqueue", "-s", c.o.flushSite)
	case modeFlushID:
		return c.exec("postqueue", "-i", c.o.flushID)
	case modeAliases:
		return c.aliases()
	case modeDaemon:
		return c.exec("posthouse", "start")
	case modeSMTP:
		return c.smtp()
	}
	return c.submit()
}

// configure reads main.cf.
func (c *command) configure() error {
	dir, err := queuetool.ConfigDir(c.o.configDir)
	if err != nil {
		return fail(exTempFail, "%v", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fail(exTempFail, "%v", err)
	}
	c.o.configDir = dir
	cfg, err := config.Load(dir)
	if err != nil {
		return fail(exTempFail, "%v", err)
	}
	if err := cfg.Fill(&c.p); err != nil {
		return fail(exTempFail, "%v", err)
	}
	return nil
}

// args appends the option that names the configuration directory. A setgid
// command takes none from the environment.
func (c *command) args(words ...string) []string {
	if c.o.configDir != queuetool.DefaultConfigDir {
		words = append([]string{words[0], "-c", c.o.configDir}, words[1:]...)
	}
	return words
}

func (c *command) path(name string) string { return filepath.Join(c.p.CommandDir, name) }

func (c *command) environ() []string { return append(os.Environ(), "MAIL_CONFIG="+c.o.configDir) }

// exec replaces the process by another command.
func (c *command) exec(words ...string) error {
	argv := c.args(words...)
	err := syscall.Exec(c.path(words[0]), argv, c.environ())
	return fail(exUnavailable, "unable to execute %s: %v", c.path(words[0]), err)
}

// smtp replaces the process by the SMTP server in its stand-alone mode, which
// has no rights either. Its configuration comes in the environment.
func (c *command) smtp() error {
	path := filepath.Join(c.p.DaemonDir, "smtpd")
	err := syscall.Exec(path, []string{"smtpd", "-S"}, c.environ())
	return fail(exUnavailable, "unable to execute %s: %v", path, err)
}

// aliases makes the databases of alias_database, or the one of -oA.
func (c *command) aliases() error {
	list := c.p.AliasDB
	if c.o.aliasFile != "" {
		list = []string{c.o.aliasFile}
	}
	if len(list) == 0 {
		return nil
	}
	argv := c.args(append([]string{"postalias", "--"}, list...)...)
	cmd := exec.Command(c.path("postalias"), argv[1:]...)
	// Names are relative to where daemons work.
	cmd.Dir = c.p.QueueDir
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.environ(), nil, c.stdout, c.stderr
	err := cmd.Run()
	var e *exec.ExitError
	if errors.As(err, &e) {
		return &exit{code: e.ExitCode()} // it said why
	}
	if err != nil {
		return fail(exUnavailable, "unable to execute %s: %v", c.path("postalias"), err)
	}
	return nil
}

// identify finds the caller's login name, which is the sender of mail that
// names none, and full name.
func (c *command) identify() (fullName string, err error) {
	u, err := user.LookupId(strconv.Itoa(c.uid))
	if err != nil || u.Username == "" || hasControl(u.Username) {
		if c.o.sender == nil {
			return "", fail(exNoUser, "no login name found for user ID %d", c.uid)
		}
		u = &user.User{Username: strconv.Itoa(c.uid)}
	}
	c.login = u.Username
	switch name := os.Getenv("NAME"); {
	case c.o.haveName:
		return c.o.fullName, nil
	case name != "":
		return printable.Text(name), nil
	}
	// The GECOS field: the name up to the first comma; "&" is the login
	// name with a capital letter.
	gecos, _, _ := strings.Cut(u.Name, ",")
	login := c.login
	if login != "" {
		login = strings.ToUpper(login[:1]) + login[1:]
	}
	return printable.Text(strings.ReplaceAll(gecos, "&", login)), nil
}
