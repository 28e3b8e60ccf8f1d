package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/databases"
)

// parameters is what main.cf says to this command.
type parameters struct {
	Type     string `param:"default_database_type"`
	UTF8     bool   `param:"smtputf8_enable"`
	QueueDir string `param:"queue_directory"`
	Hostname string `param:"myhostname"`
}

// command is one run.
type command struct {
	*options
	name   string
	param  parameters
	log    *maillog.Logger
	in     io.Reader
	out    io.Writer
	errors io.Writer
	fs     safefile.FS
	ctx    context.Context
}

// defaultConfig is where main.cf is unless -c or MAIL_CONFIG says otherwise.
const defaultConfig = "/etc/posthouse"

// proxyTimeout bounds a question to the proxymap server.
const proxyTimeout = 60 * time.Second

// run executes the command line and returns the exit status.
func run(name string, args []string, in io.Reader, out, errors io.Writer) int {
	log := maillog.NewWriter(errors, name)
	c := &command{name: name, log: log, in: in, out: out, errors: errors, ctx: context.Background()}
	status, err := c.run(args)
	if err != nil {
		log.Fatal("", "%v", err)
		return 1
	}
	return status
}

func (c *command) run(args []string) (int, error) {
	o, err := parseOptions(c.name, args)
	if err != nil {
		if errors.Is(err, errUsage) {
			if err != errUsage {
				fmt.Fprintf(c.errors, "%s: %s\n", c.name, strings.TrimSuffix(err.Error(), ": usage"))
			}
			return 1, errors.New(usage(c.name))
		}
		return 1, err
	}
	c.options = o
	if o.mime && !o.body && !o.header {
		c.log.Warn("", "ignoring -m option without -b or -h")
	}
	dir := o.config
	if dir == "" {
		dir = os.Getenv("MAIL_CONFIG")
	}
	if dir == "" {
		dir = defaultConfig
	}
	cfg, err := config.Load(dir)
	if err != nil {
		return 1, err
	}
	if err := cfg.Fill(&c.param); err != nil {
		return 1, err
	}
	return c.dispatch(dir)
}

func (c *command) dispatch(dir string) (int, error) {
	switch {
	case c.hasQuery:
		return c.doQuery(dir)
	case c.hasDel:
		return c.doDelete()
	case c.sequence:
		return 0, c.doList(dir)
	}
	tables := c.tables
	if len(tables) == 0 {
		return 1, errors.New(usage(c.name))
	}
	for _, spec := range tables {
		kind, path := c.split(spec)
		if err := c.build(kind, path); err != nil {
			return 1, err
		}
	}
	return 0, nil
}

// split supplies the type that a name may leave out.
func (c *command) split(spec string) (kind, name string) {
	if kind, name, ok := strings.Cut(spec, ":"); ok {
		return kind, name
	}
	return c.param.Type, spec
}

// open opens a table for queries.
func (c *command) open(spec, dir string) (table.Table, error) {
	kind, name := c.split(spec)
	o := table.Options{
		ConfigDir: dir,
		Log:       c.log,
		NoFold:    c.noFold,
		FoldASCII: !c.utf8(),
		UTF8:      c.utf8(),
		Aliases:   c.name == "postalias",
		Drivers:   databases.Drivers(),
		Authd:     filepath.Join(c.param.QueueDir, authclient.Endpoint),
	}
	if kind == "proxy" {
		o.Proxy = ipc.NewPool(c.param.QueueDir+"/private/proxymap", proxyTimeout)
	}
	return table.Open(kind+":"+name, o)
}

// fold brings a key into the form that tables have it in.
func (c *command) fold(key string) string {
	switch {
	case c.noFold:
		return key
	case c.utf8():
		return table.Fold(key)
	}
	return table.FoldASCII(key)
}

// utf8 reports whether keys and values must be UTF-8. The text of messages is
// what it is.
func (c *command) utf8() bool {
	if (c.body || c.header) && !c.forceUTF8 {
		return false
	}
	return c.param.UTF8 && !c.noUTF8
}

// known reports whether there is such a type.
func known(kind string) bool { return slices.Contains(table.Types(), kind) }

// indexed reports whether a type has an index file, which can be written.
func indexed(kind string) error {
	switch kind {
	case "hash", "btree", "lmdb", "dbm", "sdbm", "cdb":
		return nil
	}
	if !known(kind) {
		return fmt.Errorf("%w: %s", table.ErrUnsupported, kind)
	}
	return fmt.Errorf("unsupported dictionary type: %s does not support bulk-mode creation.", kind)
}
