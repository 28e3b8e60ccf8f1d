package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/depositclient"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/tlskeys"
	"github.com/posthouse-mail/posthouse/pkg/tlspolicy"
	"github.com/posthouse-mail/posthouse/pkg/transcript"
)

// params are the parameters of the server.
type params struct {
	Hostname     string        `param:"myhostname"`
	Banner       string        `param:"lmtpd_banner"`
	Networks     []string      `param:"lmtpd_client_networks"`
	Timeout      time.Duration `param:"lmtpd_timeout"`
	Cleanup      string        `param:"cleanup_service_name"`
	RcptLimit    int           `param:"lmtpd_recipient_limit"`
	SizeLimit    int64         `param:"message_size_limit"`
	HopLimit     int           `param:"hopcount_limit"`
	LineLimit    int           `param:"line_length_limit"`
	SoftErrors   int           `param:"smtpd_soft_error_limit"`
	HardErrors   int           `param:"smtpd_hard_error_limit"`
	ErrorSleep   time.Duration `param:"smtpd_error_sleep_time"`
	JunkLimit    int           `param:"smtpd_junk_command_limit"`
	RequireTLS   bool          `param:"requiretls_enable"`
	UTF8         bool          `param:"smtputf8_enable"`
	TLSLevel     string        `param:"lmtpd_tls_security_level"`
	TLSLog       int           `param:"smtpd_tls_loglevel"`
	TLSTimeout   time.Duration `param:"smtpd_starttls_timeout"`
	TLSProtocols []string      `param:"smtpd_tls_protocols"`
	TLSMandatory []string      `param:"smtpd_tls_mandatory_protocols"`
	Notices      transcript.Params
}

// server is what all sessions share.
type server struct {
	params
	log     *maillog.Logger
	opts    smtpserver.Options
	nets    *table.MatchList
	deposit *depositclient.Client
	cleanup *inject.Client
}

func prepare(env *service.Env) (*service.Hooks, error) {
	srv := &server{log: env.Log}
	if err := env.Config.Fill(&srv.params); err != nil {
		return nil, err
	}
	var err error
	o := table.ListOptions{Options: table.Options{ConfigDir: env.Config.Dir(), Log: env.Log}, Name: "lmtpd_client_networks"}
	if srv.nets, err = table.NewHostList(srv.Networks, o); err != nil {
		return nil, fmt.Errorf("%v: lmtpd_client_networks: %w", env.Config.Position("lmtpd_client_networks"), err)
	}
	srv.deposit = depositclient.New(ipc.NewPool(depositclient.Endpoint, depositclient.Timeout))
	srv.cleanup = inject.NewClient(ipc.NewPool("public/"+srv.Cleanup, inject.Timeout))
	srv.setOptions()
	srv.opts.Notices = transcript.New(srv.Notices, transcript.Server, srv.cleanup, srv.log)
	if err := srv.setTLS(env.Service); err != nil {
		return nil, err
	}
	return &service.Hooks{
		Ready: func(ctx context.Context) error {
			srv.opts.Leave = service.UntilStopping(ctx)
			return nil
		},
		Session: func(ctx context.Context, conn net.Conn) error {
			return smtpserver.Serve(ctx, conn, &srv.opts, &session{srv: srv})
		},
		Changed: srv.nets.Changed,
	}, nil
}

func (srv *server) setOptions() {
	srv.opts = smtpserver.Options{
		LMTP: true, Hostname: srv.Hostname, Banner: srv.Banner, Log: srv.log, Buffers: &smtpwire.Buffers{},
		Timeout: srv.Timeout, StartTLSTimeout: srv.TLSTimeout,
		LineLimit: srv.LineLimit, SoftErrors: srv.SoftErrors, HardErrors: srv.HardErrors,
		JunkLimit: srv.JunkLimit, ErrorSleep: srv.ErrorSleep,
		RcptLimit: srv.RcptLimit, RcptOver: srv.RcptLimit, SizeLimit: srv.SizeLimit,
		HeloNeeded: true, UTF8: srv.UTF8, RequireTLS: srv.RequireTLS, TLSLog: srv.TLSLog,
		Forbidden: strings.Fields("CONNECT GET POST"),
	}
}

// setTLS turns STARTTLS on where the site wants it; certificates and signatures
// come from tlsmgr.
func (srv *server) setTLS(service string) error {
	protocols := srv.TLSProtocols
	switch srv.TLSLevel {
	case "none":
		return nil
	case "encrypt":
		protocols = srv.TLSMandatory
		srv.opts.TLSRequired = true
	}
	low, high, err := tlspolicy.ProtocolRange(protocols)
	if err != nil {
		return fmt.Errorf("smtpd_tls_protocols: %w", err)
	}
	keys := tlskeys.NewClient(ipc.NewPool(tlskeys.Endpoint, tlskeys.Timeout), "lmtpd:"+service)
	srv.opts.TLS = func(ctx context.Context, _ *smtpserver.Session) (*tls.Config, error) {
		return keys.Config(ctx, low, high)
	}
	return nil
}
