package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	da "github.com/posthouse-mail/posthouse/pkg/dovecotauth"
)

// master serves the lookups of Dovecot's auth-userdb socket: who is this user,
// for programs that deliver to mailboxes.
func (g *gate) master(ctx context.Context, conn net.Conn) error {
	l := g.newLink(conn)
	if err := l.send("VERSION", "1", "1"); err != nil {
		return err
	}
	if err := l.send("SPID", strconv.Itoa(os.Getpid())); err != nil {
		return err
	}
	return l.each(func(command string, args []string) error {
		switch command {
		case "USER":
			return l.user(ctx, args)
		case "PASS":
			return l.pass(ctx, args)
		case "LIST", "REQUEST":
			// Nobody may list all users; and who has logged in elsewhere is
			// not known.
			if len(args) < 1 || !validID(args[0]) {
				return fmt.Errorf("%w: %s", da.ErrMalformed, command)
			}
			return l.refuse(command, args[0])
		}
		return nil
	})
}

// refuse answers what is not to be had, in the form that the client reads.
func (l *link) refuse(command, id string) error {
	if command == "LIST" {
		return l.send("DONE", id, "fail")
	}
	return l.send("FAIL", id)
}

// user answers USER id name parameters.
func (l *link) user(ctx context.Context, f []string) error {
	return l.find(ctx, "USER", f, userFields)
}

// pass answers PASS id name parameters, by which a delivery agent or proxy asks
// whether somebody could log in, and where. A password is never told.
func (l *link) pass(ctx context.Context, f []string) error {
	return l.find(ctx, "PASS", f, func(u *authclient.User) []string { return []string{da.Escape("user=" + u.Login)} })
}

// find answers a lookup with the fields of a user.
func (l *link) find(ctx context.Context, command string, f []string, fields func(*authclient.User) []string) error {
	if len(f) < 2 || !validID(f[0]) {
		return fmt.Errorf("%w: %s", da.ErrMalformed, command)
	}
	service := ""
	for _, p := range f[2:] {
		if v, ok := strings.CutPrefix(p, "service="); ok {
			service = da.Unescape(v)
		}
	}
	u, err := l.gate.auth.Lookup(ctx, da.Unescape(f[1]), service)
	switch {
	case errors.Is(err, authclient.ErrUnknown):
		return l.send("NOTFOUND", f[0])
	case err != nil:
		return l.send("FAIL", f[0], "reason=temporary failure")
	}
	return l.send(append([]string{command, f[0]}, fields(u)...)...)
}

// userFields are Dovecot's names of what is known of a user.
func userFields(u *authclient.User) []string {
	fields := []string{da.Escape(u.Login)}
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, da.Escape(name+"="+value))
		}
	}
	if u.UID >= 0 && u.GID >= 0 {
		add("uid", strconv.Itoa(u.UID))
		add("gid", strconv.Itoa(u.GID))
	}
	add("home", u.Home)
	if u.MailDir != "" {
		add("mail", "maildir:"+u.MailDir)
	}
	var quota strings.Builder
	for item := range strings.SplitSeq(u.Quota, ",") {
		switch {
		case strings.HasSuffix(item, "C"):
			quota.WriteString(":messages=" + strings.TrimSuffix(item, "C"))
		case item != "":
			quota.WriteString(":bytes=" + strings.TrimSuffix(item, "S"))
		}
	}
	if quota.Len() > 0 {
		add("quota_rule", "*"+quota.String())
	}
	return fields
}
