package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"sync"

	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/intake"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
)

// server is what all sessions share.
type server struct {
	*intake.Server
	params
	users   *accounts // nil if nobody can tell more than that a login is right
	signers []stage
	purse   *purse
	relay   *relay    // nil where messages go to the queue
	used    sync.Pool // of *outgoing
}

// users tells who a login is.
type users interface {
	Lookup(ctx context.Context, login, service string) (*authclient.User, error)
}

// stage makes a sink that does something with a message and passes it on.
type stage func(next sink) sink

// prepare reads the configuration and opens the tables, before the jail.
func prepare(env *service.Env) (*service.Hooks, error) {
	srv, err := open(env)
	if err != nil {
		return nil, err
	}
	hooks := srv.Hooks(func() smtpserver.Handler { return &session{Session: srv.Session(), srv: srv} })
	changed := hooks.Changed
	hooks.Changed = func() bool { return changed() || srv.relay.changed() }
	hooks.Drain = srv.purse.close
	return hooks, nil
}

func open(env *service.Env) (*server, error) {
	srv := &server{}
	if err := env.Config.Fill(&srv.params); err != nil {
		return nil, err
	}
	if err := enterPublic(env, srv.SetgidGroup); err != nil {
		return nil, err
	}
	var err error
	if srv.Server, err = intake.New(env, intake.Setup{Prefix: "submission_", Adjust: srv.adjust}); err != nil {
		return nil, err
	}
	srv.purse = newPurse(srv.Anvil(), func(err error) {
		srv.Log().Warn("", "problem talking to server %s: %v", anvilclient.Endpoint, err)
	})
	if c := srv.OwnAuth(); c != nil {
		srv.users = &accounts{users: c}
	}
	o := srv.Engine()
	o.FutureRelease, o.Priority = srv.Hold, srv.params.Priority
	o.NoETRN = true // it is for servers that fetch mail, on port 25
	for _, name := range srv.Signers {
		switch name {
		case "dkim":
			srv.signers = append(srv.signers, srv.dkimStage())
		default:
			return nil, fmt.Errorf("%v: submission_signers: unknown signer %q", env.Config.Position("submission_signers"), name)
		}
	}
	if srv.relay, err = openRelay(env, &srv.params); err != nil {
		return nil, err
	}
	if srv.relay != nil {
		o.FutureRelease = 0
	}
	return srv, nil
}

// enterPublic keeps the group that may enter the directory of cleanup's socket,
// which the mail owner owns.
func enterPublic(env *service.Env, name string) error {
	if !env.Jailed || os.Getuid() != 0 {
		return nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return fmt.Errorf("setgid_group: %w", err)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil || gid == 0 {
		return fmt.Errorf("setgid_group = %s: gid %q", name, g.Gid)
	}
	env.Groups = append(env.Groups, gid)
	return nil
}

// adjust puts submission's own rules in the place of those for the port of
// strangers.
func (srv *server) adjust(p *intake.Params) error {
	p.SASLEnable = true
	p.TLSAuthOnly = srv.params.TLSAuthOnly
	p.TLSLevel = srv.params.TLSLevel
	p.MyNetworks = srv.Trusted
	p.ClientRestrictions, p.SenderRestrictions = srv.Client, srv.Sender
	p.RelayRestrictions, p.RcptRestrictions = srv.Relay, srv.Recipient
	// What is about strangers would only be in the way of users.
	p.HeloRestrictions, p.DataRestrictions, p.EODRestrictions, p.EtrnRestrictions = nil, nil, nil, nil
	p.RejectUnlistedFr = false
	// The header is completed here, before it is signed.
	p.LocalRewrites = nil
	// A program that writes all commands at once does nobody harm here, but
	// neither does it any good: the limits are by client.
	p.ConnCount = 0
	if p.SASLService == "smtp" {
		p.SASLService = "submission"
	}
	return nil
}
