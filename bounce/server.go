package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/bouncetext"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queue/bouncelog"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

// params are the parameters of the bounce daemon.
type params struct {
	SizeLimit      int64         `param:"bounce_size_limit"`
	NotifyClasses  []string      `param:"notify_classes"`
	Filtered       []string      `param:"internal_mail_filter_classes"`
	FromFormat     string        `param:"header_from_format"`
	BounceNotice   string        `param:"bounce_notice_recipient"`
	DoubleNotice   string        `param:"2bounce_notice_recipient"`
	DelayNotice    string        `param:"delay_notice_recipient"`
	DoubleSender   string        `param:"double_bounce_sender"`
	Origin         string        `param:"myorigin"`
	Hostname       string        `param:"myhostname"`
	MailName       string        `param:"mail_name"`
	MaxLifetime    time.Duration `param:"maximal_queue_lifetime"`
	TemplateFile   string        `param:"bounce_template_file"`
	Threaded       bool          `param:"enable_threaded_bounces"`
	BounceService  string        `param:"bounce_service_name"`
	DeferService   string        `param:"defer_service_name"`
	TraceService   string        `param:"trace_service_name"`
	CleanupService string        `param:"cleanup_service_name"`
	HashDepth      int           `param:"hash_queue_depth"`
	HashNames      []string      `param:"hash_queue_names"`
	LongIDs        bool          `param:"enable_long_queue_ids"`
}

// server answers the requests of one service.
type server struct {
	params  params
	log     *maillog.Logger
	queue   *queue.Queue
	kind    string // bounce, defer or trace: the directory of the logs
	cleanup *inject.Client
	now     func() time.Time

	templates bouncetext.Set
}

func prepare(env *service.Env) (*service.Hooks, error) {
	s := &server{log: env.Log, now: time.Now}
	if err := env.Config.Fill(&s.params); err != nil {
		return nil, err
	}
	p := &s.params
	if err := s.loadTemplates(env.Config); err != nil {
		return nil, err
	}
	switch env.Service {
	case p.BounceService, queue.Bounce:
		s.kind = queue.Bounce
	case p.DeferService, queue.Defer:
		s.kind = queue.Defer
	case p.TraceService, queue.Trace:
		s.kind = queue.Trace
	default:
		return nil, fmt.Errorf("service %s: want one of %s, %s, %s",
			env.Service, p.BounceService, p.DeferService, p.TraceService)
	}
	s.queue = queue.Open(".", queue.Options{HashDepth: p.HashDepth, HashNames: p.HashNames, LongIDs: p.LongIDs, Owner: env.UID})
	s.cleanup = inject.NewClient(ipc.NewPool("public/"+p.CleanupService, inject.Timeout))
	return &service.Hooks{Session: s.session}, nil
}

// loadTemplates reads the texts of notices. A file that cannot be opened costs a
// warning, as a mistake in it does: mail that failed would wait for it.
func (s *server) loadTemplates(cfg *config.Config) error {
	warn := func(format string, args ...any) { s.log.Warn("", format, args...) }
	var err error
	s.templates, err = bouncetext.Load(cfg, s.params.TemplateFile, warn)
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		warn("%v -- using built-in texts", err)
		return nil
	}
	return err
}

// session answers requests until the client goes away.
func (s *server) session(ctx context.Context, conn net.Conn) error {
	c := ipc.NewConn(conn)
	for l, err := range c.Requests(ctx) {
		if err != nil {
			return fmt.Errorf("%s: %w", s.kind, err)
		}
		req, err := bounceclient.ParseRequest(l)
		if err != nil {
			return fmt.Errorf("%s request: %w", s.kind, err)
		}
		code := int64(0)
		if err := s.serve(context.WithoutCancel(ctx), req); err != nil {
			s.log.Warn(string(req.Message.QueueID), "%s service: %v", s.kind, err)
			code = -1
		}
		if err := c.Send(ipc.List{}.Int("status", code)); err != nil {
			return fmt.Errorf("reply to %s request: %w", s.kind, err)
		}
	}
	return nil
}

var errVerb = errors.New("request is not for this service")

// serve carries out one request.
func (s *server) serve(ctx context.Context, req *bounceclient.Request) error {
	switch {
	case req.Verb == bounceclient.VerbAppend:
		return bouncelog.Append(ctx, s.queue, s.kind, req.Message.QueueID, s.logged(&req.Entry))
	case req.Verb == bounceclient.VerbOne && s.kind == queue.Bounce:
		return s.one(ctx, req)
	case (req.Verb == bounceclient.VerbFlush || req.Verb == bounceclient.VerbVerp) && s.kind != queue.Trace:
		return s.flush(ctx, req)
	case req.Verb == bounceclient.VerbWarn && s.kind == queue.Defer:
		return s.warn(ctx, req)
	case req.Verb == bounceclient.VerbTrace && s.kind == queue.Trace:
		return s.trace(ctx, req)
	}
	return fmt.Errorf("%w: %d", errVerb, req.Verb)
}

// logged is the entry for this service's log. A report of a delivery says by
// whom it was made.
func (s *server) logged(e *bounceclient.Entry) bouncelog.Entry {
	entry := logEntry(e)
	if s.kind == queue.Trace && e.Relay != "" && e.Relay != "none" {
		entry.Reason = "delivery via " + e.Relay + ": " + entry.Reason
	}
	return entry
}

// logEntry turns an entry into the form of the log file.
func logEntry(e *bounceclient.Entry) bouncelog.Entry {
	return bouncelog.Entry{
		Recipient: e.Recipient, Status: e.Status.Code, Action: e.Action, Reason: e.Status.Text,
		DiagType: e.DiagType, DiagText: e.DiagText, MTAType: e.MTAType, MTAName: e.MTA,
	}
}

// entries reads a log. No log is no entries.
func (s *server) entries(kind string, id queue.ID) ([]bouncelog.Entry, error) {
	r, err := bouncelog.Open(s.queue, kind, id)
	if errors.Is(err, errNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var out []bouncelog.Entry
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	for _, w := range r.Warnings {
		s.log.Warn(string(id), "%s log: %s", kind, w)
	}
	return out, nil
}

// notifies reports whether the postmaster wants a copy of a class of notices.
func (s *server) notifies(class string) bool {
	return slices.ContainsFunc(s.params.NotifyClasses, func(c string) bool { return strings.EqualFold(c, class) })
}

// doubleBounce is the sender of notices to the postmaster.
func (s *server) doubleBounce() string { return s.params.DoubleSender + "@" + s.params.Origin }
