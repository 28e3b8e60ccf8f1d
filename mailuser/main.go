// Mailuser serves the IMAP and POP3 sessions of a mail user, with that user's
// rights.
//
// # Synopsis
//
//	mailuser directory ...
//
// # Description
//
// sessiond(8) starts mailuser under the uid and gid of a user who has logged
// in, and sends it sessions over a socket pair: the connection as a
// descriptor, and what is known about it. One process serves the sessions of
// one uid, each on a goroutine, and ends when sessiond closes the socket.
// Mailboxes are Maildirs; pkg/mailstore has what is beside the messages. It is
// not started by hand and not listed in master.cf.
//
// With fts_index it also brings full-text indexes up to date, one mailbox after
// the other, with at most half of one processor's time.
//
// When sessiond ends, clients are told goodbye.
//
// # Security
//
// Mailuser never runs as root: it refuses. It can use files below the given
// directories only, which landlock enforces, start no program, and connect
// nowhere; seccomp refuses what no jailed daemon has a use for. It reads mail
// and what its client sends, and can do no more than the user. Lines for the
// log go through sessiond, which makes them printable.
//
// # Exit status
//
// Zero when sessiond closed the socket; 1 on wrong usage.
//
// # See also
//
// sessiond(8), imapd(8), pop3d(8).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/pace"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// maxSessions is how many sessions one process has at once.
const maxSessions = 100000

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "mailuser: %v\n", err)
		os.Exit(1)
	}
}

func run(dirs []string) error {
	child, err := worker.Inherit()
	if err != nil {
		return err
	}
	if len(dirs) == 0 {
		return errors.New("no directories to be confined to")
	}
	syscall.Umask(0o077)
	// The zone file is out of reach once confined; this loads it.
	_ = time.Now().Local().String()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	u := newUser(ctx)
	u.pace = pace.New(safefile.SpareProcessors())
	if _, err := jail.ConfineUser(dirs...); err != nil {
		return err
	}
	err = child.Serve(maxSessions, u.session, cancel)
	cancel()
	u.indexer.Wait()
	return err
}
