package main

import (
	"context"
	"errors"
	"net"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/session"
)

// A login server may send its client's connection along with the password. When
// the login is right, the connection goes on to sessiond from here, together with
// who the user is: over a connection that sessiond made, since only root is told
// that. Without such a connection at hand there is a ticket, as ever.

// job is a session on its way to sessiond.
type job struct {
	start  *session.Start
	client *ipc.Passed
	done   chan handed // has room for one
}

// handed is what became of a job. Without reply and error sessiond did not get it.
type handed struct {
	reply ipc.List
	err   error
}

// giveSessions passes sessions to sessiond over a connection of its own, one at
// a time, until this process or that one leaves.
func (s *server) giveSessions(ctx context.Context, conn net.Conn) error {
	// The socket itself: a process that retires has an answer still to read.
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = c.NetConn()
	}
	to := ipc.NewConn(conn)
	to.Timeout = session.Timeout
	for {
		var j job
		select {
		case j = <-s.jobs:
		case <-service.Retiring(ctx):
			return nil
		case <-ctx.Done():
			return nil
		}
		reply, err := session.Give(to, j.start, j.client)
		switch {
		case errors.Is(err, session.ErrLost):
			j.done <- handed{err: err}
			return err
		case err != nil:
			// It was replaced meanwhile, and has not got the session.
			j.done <- handed{}
			return nil
		}
		j.done <- handed{reply: reply}
	}
}

// handOver gives the connection of a client who has logged in to sessiond, and
// reports false when sessiond does not have it: then a ticket must do.
func (s *server) handOver(ctx context.Context, step *authclient.Step, start *session.Start, client *ipc.Passed) bool {
	start.User = step.User
	j := job{start, client, make(chan handed, 1)}
	for {
		select {
		case s.jobs <- j:
		default:
			return false // nobody is free
		}
		h := <-j.done // sessiond has a time limit
		switch {
		case h.err != nil:
			s.log.Warn("", "session of user=<%s>: %v", printable.ASCII(step.Login), h.err)
			step.Handed = authclient.Lost
			return true
		case h.reply != nil:
			readHanded(step, h.reply)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
	}
}

// readHanded takes what sessiond said.
func readHanded(step *authclient.Step, reply ipc.List) {
	switch reply.Value("status") {
	case "ok":
		step.Handed = authclient.Given
	case "refused":
		step.Handed, step.Code, step.Text = authclient.Refused, reply.Value("code"), reply.Value("text")
	default:
		step.Handed = authclient.Lost
	}
}

// plainWith checks a password that came with its client's connection.
func (s *server) plainWith(ctx context.Context, t try, req ipc.List, client *ipc.Passed) (authclient.Step, error) {
	start, err := session.Read(req)
	if err != nil {
		return authclient.Step{}, err
	}
	if start.User != nil || !s.tickets.wants(start.Service) {
		return authclient.Step{}, ipc.ErrMalformed
	}
	start.Settings = nil
	t.handOver = func(step *authclient.Step) bool { return s.handOver(ctx, step, start, client) }
	return s.login(ctx, t), nil
}
