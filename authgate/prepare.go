package main

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

// params are the parameters of this program.
type params struct {
	Protocol string   `param:"authgate_protocol"`
	Services []string `param:"authgate_services"`
}

// idle is how long a client may keep a connection without a word. Those of
// Postfix and Exim stay for the life of a process.
const idle = time.Hour

// errService is a login for a service that is not in authgate_services.
var errService = errors.New("no such service")

// foreign makes the name of a service that authd hears. Names that the site does
// not know could be those of other services of PAM, with rules of their own.
func (g *gate) foreign(name string) (string, error) {
	if !slices.Contains(g.services, name) {
		g.log.Warn("", "login refused: service %q is not in authgate_services", printable.Text(name))
		return "", errService
	}
	return authclient.Foreign + name, nil
}

// gate serves one protocol.
type gate struct {
	auth     *authclient.Client
	log      *maillog.Logger
	services []string
}

func prepare(env *service.Env) (*service.Hooks, error) {
	var p params
	if err := env.Config.Fill(&p); err != nil {
		return nil, err
	}
	g := &gate{auth: authclient.New(authclient.Endpoint), log: env.Log, services: p.Services}
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
