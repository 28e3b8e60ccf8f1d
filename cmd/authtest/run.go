package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
	"github.com/posthouse-mail/posthouse/pkg/usertool"
	"github.com/posthouse-mail/posthouse/pkg/usertool/secret"
)

var errUsage = errors.New("Usage: authtest [-s service] userid [ password [ newpassword ] ]")

// command is one run.
type command struct {
	out, err io.Writer
	service  string
	site     *usertool.Site
	client   *authclient.Client
}

// timeout is longer than the longest delay after a wrong password.
const timeout = 2 * time.Minute

func (c *command) run(args []string) error {
	dir := ""
	c.service = "login"
	for ; len(args) > 1 && strings.HasPrefix(args[0], "-"); args = args[2:] {
		switch args[0] {
		case "-c":
			dir = args[1]
		case "-s":
			c.service = args[1]
		default:
			return errUsage
		}
	}
	if len(args) < 1 || len(args) > 3 || args[0] == "" || strings.HasPrefix(args[0], "-") {
		return errUsage
	}
	var err error
	if c.site, err = usertool.Open(dir); err != nil {
		return err
	}
	c.client = authclient.New(filepath.Join(c.site.QueueDir, authclient.Endpoint))
	defer c.client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if len(args) == 1 {
		return c.lookup(ctx, args[0])
	}
	u, err := c.login(ctx, args[0], args[1])
	if err != nil {
		return err
	}
	if len(args) == 3 {
		return c.change(u.Login, args[2])
	}
	c.print(u)
	return nil
}

func (c *command) debug(format string, args ...any) {
	if level := os.Getenv("DEBUG_LOGIN"); level != "" && level != "0" {
		fmt.Fprintf(c.err, "DEBUG: "+format+"\n", args...)
	}
}

// failed is Courier's text, with the reason as the system would say it.
func failed(reason string) error { return errors.New("Authentication FAILED: " + reason) }

func (c *command) lookup(ctx context.Context, login string) error {
	c.debug("lookup of %s for service %s", login, c.service)
	u, err := c.client.Lookup(ctx, login, c.service)
	switch {
	case errors.Is(err, authclient.ErrUnknown):
		return failed("No such file or directory")
	case err != nil:
		return failed(err.Error())
	}
	c.print(u)
	return nil
}

func (c *command) login(ctx context.Context, login, plaintext string) (*authclient.User, error) {
	c.debug("password check of %s for service %s", login, c.service)
	step, err := c.client.Plain(ctx, authclient.Peer{Service: c.service, RemoteIP: "127.0.0.1", LocalIP: "127.0.0.1"}, login, plaintext)
	if err != nil {
		return nil, failed(err.Error())
	}
	c.debug("authd says: %s", step.Outcome)
	switch step.Outcome {
	case authclient.OK:
		return step.User, nil
	case authclient.Temporary, authclient.Disabled:
		return nil, failed(step.Text)
	}
	return nil, failed("Operation not permitted")
}

// change stores a new password in the user database.
func (c *command) change(login, plaintext string) error {
	file, err := c.site.Find(login)
	if errors.Is(err, userdb.ErrUnknown) {
		return failed(login + " is not in " + c.site.Path)
	}
	if err != nil {
		return failed(err.Error())
	}
	err = userdb.Edit(context.Background(), file, c.site.EditOptions(), func(f *userdb.File) error {
		r, err := f.Record(login)
		if err != nil {
			return err
		}
		fields, err := secret.Fields("systempw", c.site.Scheme, plaintext, r)
		if err != nil {
			return err
		}
		return f.Set(login, fields...)
	})
	if err != nil {
		return failed(err.Error())
	}
	fmt.Fprintln(c.out, "Password change succeeded.")
	return nil
}

func (c *command) print(u *authclient.User) {
	none := func(s string) string {
		if s == "" {
			return "(none)"
		}
		return s
	}
	var options []string
	for _, service := range u.Disabled {
		options = append(options, "disable"+service+"=1")
	}
	for _, name := range slices.Sorted(maps.Keys(u.Options)) {
		options = append(options, name+"="+u.Options[name])
	}
	fmt.Fprintf(c.out, "Authentication succeeded.\n\n     Authenticated: %s  (uid %d, gid %d)\n", u.Login, u.UID, u.GID)
	for _, line := range []struct{ name, value string }{
		{"    Home Directory", none(u.Home)}, {"           Maildir", none(u.MailDir)}, {"             Quota", none(u.Quota)},
		{"Encrypted Password", "(hidden)"}, {"Cleartext Password", "(hidden)"}, {"           Options", none(strings.Join(options, ","))},
	} {
		fmt.Fprintf(c.out, "%s: %s\n", line.name, line.value)
	}
}
