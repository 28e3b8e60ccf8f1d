package main

import (
	"context"
	"net"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

func prepare(env *service.Env) (*service.Hooks, error) {
	agent, err := deliver.NewAgent(deliver.Options{Config: env.Config, Log: env.Log, Service: env.Service})
	if err != nil {
		return nil, err
	}
	return &service.Hooks{Session: func(ctx context.Context, conn net.Conn) error {
		return agent.Serve(ctx, conn, discard)
	}}, nil
}

// discard reports each recipient as sent.
func discard(ctx context.Context, d *deliver.Delivery) error {
	s := status.Parse(d.NextHop, "2.0.0").As('2')
	if s.Text == "" {
		s.Text = "message discarded"
	}
	for i := range d.Recipients {
		// Report first, then mark: a crash in between repeats the log
		// line but never loses a recipient.
		if err := d.Sent(ctx, &d.Recipients[i], deliver.Result{Status: s}); err != nil {
			return err
		}
	}
	return nil
}
