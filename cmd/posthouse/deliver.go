package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// The exit statuses that a transfer agent understands (sysexits.h).
const (
	exTempfail = 75
	exNoUser   = 67
	exNoPerm   = 77
)

// deliverCommand does "posthouse deliver": one message from the standard input
// goes into a user's store.
func (a *app) deliverCommand(args []string) error {
	f := newMailboxFlags("deliver")
	if err := a.parse(f.FlagSet, args, "posthouse deliver [-f sender] [-m folder] [--create] [--flags LIST] USER", 1, 1); err != nil {
		return err
	}
	user, err := a.mailUser(f.Arg(0))
	if errors.Is(err, authclient.ErrUnknown) {
		return a.exit(exNoUser, err)
	}
	if err != nil {
		return a.exit(exTempfail, err)
	}
	if done, err := a.asUser(user, "deliver", args, os.Stdin); done {
		var exit *exitError
		if err != nil && !errors.As(err, &exit) {
			return a.exit(exTempfail, err)
		}
		return err
	}
	s, err := a.openStore(user, f)
	if err != nil {
		return a.exit(exTempfail, err)
	}
	defer s.Close()
	d := mailstore.Delivery{Folder: f.folder, Create: f.create, Subscribe: f.create, Fill: f.fill(os.Stdin)}
	d.Flags, d.Keywords = splitFlags(f.flags)
	done, err := s.Deliver(context.Background(), d)
	switch {
	case errors.Is(err, mailstore.ErrOverQuota):
		return a.exit(exNoPerm, err)
	case err != nil:
		return a.exit(exTempfail, err)
	}
	if a.verbose {
		fmt.Fprintf(a.out, "%s: %s\n", done.Folder, done.Path)
	}
	return nil
}

func (a *app) exit(code int, err error) error {
	fmt.Fprintf(a.err, "posthouse: deliver: %v\n", err)
	return &exitError{code: code}
}

// fill returns what writes the message: Return-Path if a sender was given, and
// the input without an mbox separator that some agents put before it.
func (f *mailboxFlags) fill(in io.Reader) func(io.Writer) error {
	return func(w io.Writer) error {
		r := bufio.NewReaderSize(in, 64<<10)
		if start, _ := r.Peek(5); string(start) == "From " {
			if _, err := r.ReadSlice('\n'); err != nil {
				return err
			}
		}
		if f.Changed("sender") {
			sender := strings.Map(func(c rune) rune {
				if c < ' ' || c == 0x7f {
					return '?'
				}
				return c
			}, f.sender)
			if _, err := fmt.Fprintf(w, "Return-Path: <%s>\n", sender); err != nil {
				return err
			}
		}
		_, err := io.Copy(w, r)
		return err
	}
}

// splitFlags tells system flags, with or without backslash, from keywords.
func splitFlags(list []string) (flags mailstore.Flags, keywords []string) {
	known := map[string]mailstore.Flags{"answered": mailstore.Answered, "flagged": mailstore.Flagged,
		"deleted": mailstore.Deleted, "seen": mailstore.Seen, "draft": mailstore.Draft}
	for _, name := range list {
		if flag, ok := known[strings.ToLower(strings.TrimPrefix(name, `\`))]; ok {
			flags |= flag
		} else if name != "" {
			keywords = append(keywords, name)
		}
	}
	return flags, keywords
}
