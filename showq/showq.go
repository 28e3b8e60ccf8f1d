package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queue/listing"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

// params are what showq reads from main.cf.
type params struct {
	HashDepth    int      `param:"hash_queue_depth"`
	HashNames    []string `param:"hash_queue_names"`
	EmptyAddress string   `param:"empty_address_recipient"`
	DupLimit     int      `param:"duplicate_filter_limit"`
}

// writeTimeout is how long a client may leave one buffer unread.
const writeTimeout = 5 * time.Minute

func prepare(env *service.Env) (*service.Hooks, error) {
	var p params
	if err := env.Config.Fill(&p); err != nil {
		return nil, err
	}
	if len(env.Args) > 0 {
		return nil, fmt.Errorf("unexpected command-line argument: %s", env.Args[0])
	}
	l := &listing.Lister{
		Queue:        queue.Open(".", queue.Options{HashDepth: p.HashDepth, HashNames: p.HashNames, Owner: env.UID}),
		EmptyAddress: p.EmptyAddress,
		DupLimit:     p.DupLimit,
		Warn:         func(format string, args ...any) { env.Log.Warn("", format, args...) },
	}
	return &service.Hooks{Session: func(ctx context.Context, conn net.Conn) error {
		return session(ctx, l, conn)
	}}, nil
}

// session sends one listing.
func session(ctx context.Context, l *listing.Lister, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := l.Write(bufio.NewWriterSize(deadlineWriter{conn}, 16<<10))
	// A client that has seen enough is no error.
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// deadlineWriter gives each write its own time.
type deadlineWriter struct{ net.Conn }

func (w deadlineWriter) Write(p []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}
