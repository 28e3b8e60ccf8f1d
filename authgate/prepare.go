package main

import (
	"context"
	"net"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

// params are the parameters of this program.
type params struct {
	Protocol string `param:"authgate_protocol"`
}

// idle is how long a client may keep a connection without a word. Those of
// Postfix and Exim stay for the life of a process.
const idle = time.Hour

// gate serves one protocol.
type gate struct {
	auth *authclient.Client
	log  *maillog.Logger
}

func prepare(env *service.Env) (*service.Hooks, error) {
	var p params
	if err := env.Config.Fill(&p); err != nil {
		return nil, err
	}
	g := &gate{auth: authclient.New(authclient.Endpoint), log: env.Log}
	session := g.dovecot
	switch p.Protocol {
	case "dovecot-master":
		session = g.master
	case "authdaemon":
		session = g.authdaemon
	}
	return &service.Hooks{Session: func(ctx context.Context, conn net.Conn) error {
		defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
		return session(ctx, conn)
	}}, nil
}
