package main

import (
	"context"
	"net"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/nexthop"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// agent is what all deliveries of the process share.
type agent struct {
	*nexthop.Client
	p       *nexthop.Params
	log     *maillog.Logger
	reports *deliver.Agent
	cache   *cache

	out        outgoing
	passClient *deliver.Client
	notices    *transcript.Notifier
}

// prepare reads everything that the jail would hide.
func prepare(env *service.Env) (*service.Hooks, error) {
	a, err := newAgent(env)
	if err != nil {
		return nil, err
	}
	return &service.Hooks{
		Session: func(ctx context.Context, conn net.Conn) error {
			return a.reports.Serve(ctx, conn, a.deliver)
		},
		Changed: func() bool {
			return a.Client.Changed() || a.out.changed()
		},
		Drain: func() {
			a.cache.close()
			a.notices.Wait()
		},
	}, nil
}

func newAgent(env *service.Env) (*agent, error) {
	a := &agent{log: env.Log, cache: newCache()}
	var err error
	if a.Client, err = nexthop.New(env.Config, env.Log, env.Program == "lmtp"); err != nil {
		return nil, err
	}
	a.p = a.Params()
	if err := a.tellPostmaster(env); err != nil {
		return nil, err
	}
	a.reports, err = deliver.NewAgent(deliver.Options{Config: env.Config, Log: env.Log, Service: env.Service})
	if err != nil {
		return nil, err
	}
	a.out.logger, a.out.title = env.Log, env.Program+"_generic_maps"
	a.out.rewriter = rewrite.NewClient(ipc.NewPool("private/"+a.p.RewriteService, rewrite.Timeout))
	if err := a.openOutgoing(a.TableOptions(env.Config)); err != nil {
		return nil, err
	}
	if a.p.BestMXTransport != "" {
		a.passClient = deliver.NewClient("private/" + a.p.BestMXTransport)
	}
	return a, nil
}

// tellPostmaster makes sessions with errors of notify_classes known.
func (a *agent) tellPostmaster(env *service.Env) error {
	var p struct {
		transcript.Params
		CleanupService string `param:"cleanup_service_name"`
	}
	if err := env.Config.Fill(&p); err != nil {
		return err
	}
	cleanup := inject.NewClient(ipc.NewPool("public/"+p.CleanupService, inject.Timeout))
	a.notices = transcript.New(p.Params, transcript.Client, cleanup, env.Log)
	a.Tell(a.notices)
	return nil
}

// session is a connection with what the agent remembers about it.
type session struct {
	*nexthop.Session
	site   string // the next hop that it was opened for
	key    string // what it is kept under for reuse
	reused bool
}
