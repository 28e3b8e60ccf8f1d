package main

import (
	"context"
	"net"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// retryService is the name under which the program defers.
const retryService = "retry"

func prepare(env *service.Env) (*service.Hooks, error) {
	agent, err := deliver.NewAgent(deliver.Options{Config: env.Config, Log: env.Log, Service: env.Service})
	if err != nil {
		return nil, err
	}
	handle := fail
	if env.Service == retryService {
		handle = put
	}
	return &service.Hooks{Session: func(ctx context.Context, conn net.Conn) error {
		return agent.Serve(ctx, conn, handle)
	}}, nil
}

// fail bounces each recipient.
func fail(ctx context.Context, d *deliver.Delivery) error {
	r := deliver.Result{Status: reason(d.NextHop, "5.0.0")}
	for i := range d.Recipients {
		if err := d.Bounced(ctx, &d.Recipients[i], r); err != nil {
			return err
		}
	}
	return nil
}

// put defers each recipient.
func put(ctx context.Context, d *deliver.Delivery) error {
	r := deliver.Result{Status: reason(d.NextHop, "4.0.0")}
	for i := range d.Recipients {
		if err := d.Deferred(ctx, &d.Recipients[i], r); err != nil {
			return err
		}
	}
	return nil
}

// reason reads the next hop. What happens to the recipient is decided by the
// service, so the class of a code that says otherwise is put right.
func reason(nexthop, code string) status.Status {
	s := status.Parse(nexthop, code).As(code[0])
	if s.Text == "" {
		s.Text = "unspecified reason"
	}
	return s
}
