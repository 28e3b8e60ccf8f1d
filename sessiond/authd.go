package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/session"
)

// Connections to authd over which it hands sessions over whose login server sent
// the connection along with the password. When all are busy, or none is there,
// authd gives out tickets.
const (
	fromAuthd  = 4
	authdPause = time.Second // after one that failed
)

// listen keeps the connections to authd.
func (p *parent) listen(ctx context.Context) error {
	for range fromAuthd {
		service.Go(ctx, func(ctx context.Context) {
			for p.fromAuthd(ctx) {
				select {
				case <-time.After(authdPause):
				case <-service.Retiring(ctx):
				}
			}
		})
	}
	return nil
}

// fromAuthd takes sessions over one connection, and reports whether there should
// be another after it.
func (p *parent) fromAuthd(ctx context.Context) (again bool) {
	in, err := p.auth.Sessions(ctx)
	if err != nil {
		p.log.Debug("sessions from authd: %v", err)
		return !retiring(ctx)
	}
	defer in.Close()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-service.Retiring(ctx):
			// From now on authd cannot send any more, and knows it; what it sent
			// is read to its end.
			in.EndReading()
		case <-ended:
		}
	}()
	for {
		if err := p.takeFromAuthd(ctx, in); err != nil {
			if err != io.EOF && !errors.Is(err, os.ErrDeadlineExceeded) && !retiring(ctx) {
				p.log.Debug("sessions from authd: %v", err)
			}
			return !retiring(ctx)
		}
	}
}

func retiring(ctx context.Context) bool {
	select {
	case <-service.Retiring(ctx):
		return true
	default:
		return false
	}
}

// takeFromAuthd takes one session. authd has seen the user's password.
func (p *parent) takeFromAuthd(ctx context.Context, in *ipc.FileConn) error {
	start, client, err := session.ReceiveFromAuthd(in)
	if errors.Is(err, ipc.ErrNoRoom) {
		p.log.Warn("", "%v", err)
		return in.Send(session.Refused(session.Unavailable()))
	}
	if err != nil {
		return err
	}
	if refusal := p.admit(start); refusal != nil {
		client.Close()
		return in.Send(session.Refused(refusal))
	}
	return p.begin(ctx, in.Conn, start, client)
}
