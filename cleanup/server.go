package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/mime"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/keys"
)

// addressRewriter is what cleanup needs of trivial-rewrite.
type addressRewriter interface {
	Rewrite(ctx context.Context, rule, addr string) (string, error)
}

// server is what all messages share.
type server struct {
	p       params
	log     *maillog.Logger
	queue   *queue.Queue
	rewrite addressRewriter
	reports *bounceclient.Client
	flow    *flow
	trigger func(queue.ID) // tells qmgr that there is mail
	drain   func()         // waits until it has been told

	canonical, senderCanonical, rcptCanonical mapUse
	masquerade                                masquerade
	virtual                                   *table.Maps
	senderBCC, rcptBCC                        *table.Maps
	headerChecks                              [4]*table.Maps // by mime.Class
	bodyChecks                                *table.Maps
	dests                                     *table.MatchList
	keys                                      keys.Options
	propagate                                 map[string]bool
	drop                                      map[string]bool
	reject, strip                             string
	limits                                    mime.Limits

	mu    sync.Mutex
	cache map[[2]string]string // results of rewriting, which depend on nothing else
	now   func() time.Time
}

// mapUse is a canonical map and where it applies.
type mapUse struct {
	title   string
	maps    *table.Maps
	classes class
}

// class is a set of places where addresses stand.
type class int

const (
	envelopeSender class = 1 << iota
	envelopeRecipient
	headerSender
	headerRecipient
)

func parseClasses(name string, words []string) (class, error) {
	var c class
	for _, w := range words {
		switch w {
		case "envelope_sender":
			c |= envelopeSender
		case "envelope_recipient":
			c |= envelopeRecipient
		case "header_sender":
			c |= headerSender
		case "header_recipient":
			c |= headerRecipient
		default:
			return 0, fmt.Errorf("%s: unknown class %q", name, w)
		}
	}
	return c, nil
}

// newServer opens what the parameters name. It runs before the jail.
func newServer(cfg *config.Config, log *maillog.Logger) (*server, error) {
	s := &server{log: log, cache: map[[2]string]string{}, now: time.Now}
	p := &s.p
	if err := cfg.Fill(p); err != nil {
		return nil, err
	}
	o := table.Options{ConfigDir: cfg.Dir(), Log: log, UTF8: p.SMTPUTF8Enable,
		Proxy: ipc.NewPool("private/"+p.ProxymapService, table.ProxyTimeout)}
	if err := s.openTables(o); err != nil {
		return nil, err
	}
	var err error
	if s.masquerade, err = newMasquerade(p); err != nil {
		return nil, err
	}
	s.propagate, s.drop = set(p.PropagateExtensions), set(p.MessageDropHeaders)
	if s.reject, err = unescape(p.MessageRejectCharacters); err != nil {
		return nil, fmt.Errorf("message_reject_characters: %w", err)
	}
	if s.strip, err = unescape(p.MessageStripCharacters); err != nil {
		return nil, fmt.Errorf("message_strip_characters: %w", err)
	}
	s.limits = mime.Limits{Header: p.HeaderSizeLimit, Nesting: p.MIMENestingLimit,
		Boundary: p.MIMEBoundaryLimit, Plain: p.DisableMIMEInput}
	s.keys = keys.Options{Delimiters: p.RecipientDelimiter, Local: s.isLocal}
	s.queue = queue.Open(".", queue.Options{HashDepth: p.HashQueueDepth, HashNames: p.HashQueueNames, LongIDs: p.EnableLongQueueIDs})
	s.reports = bounceclient.New(bounceclient.Services{Bounce: p.BounceService, Defer: p.DeferService, Trace: p.TraceService, Timeout: rewrite.Timeout})
	s.rewrite = rewrite.NewClient(ipc.NewPool("private/"+p.RewriteServiceName, rewrite.Timeout))
	t := ipc.NewTriggerer("public/qmgr", "I")
	s.trigger = func(id queue.ID) {
		t.Fire(func(request []byte) []byte { return queue.AppendHint(request, id) })
	}
	s.drain = t.Wait
	s.flow = &flow{delay: p.InFlowDelay, limit: p.ProcessLimit, count: s.incoming}
	return s, nil
}

func (s *server) openTables(o table.Options) error {
	p := &s.p
	for _, m := range []struct {
		dst        **table.Maps
		name, spec string
	}{
		{&s.canonical.maps, "canonical_maps", p.CanonicalMaps},
		{&s.senderCanonical.maps, "sender_canonical_maps", p.SenderCanonicalMaps},
		{&s.rcptCanonical.maps, "recipient_canonical_maps", p.RecipientCanonicalMaps},
		{&s.virtual, "virtual_alias_maps", p.VirtualAliasMaps},
		{&s.senderBCC, "sender_bcc_maps", p.SenderBCCMaps},
		{&s.rcptBCC, "recipient_bcc_maps", p.RecipientBCCMaps},
		{&s.headerChecks[mime.Primary], "header_checks", p.HeaderChecks},
		{&s.headerChecks[mime.Part], "mime_header_checks", p.MIMEHeaderChecks},
		{&s.headerChecks[mime.Nested], "nested_header_checks", p.NestedHeaderChecks},
		{&s.bodyChecks, "body_checks", p.BodyChecks},
	} {
		if strings.TrimSpace(m.spec) == "" {
			continue
		}
		maps, err := table.OpenMaps([]string{m.spec}, o)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		*m.dst = maps
	}
	for _, u := range []struct {
		dst   *mapUse
		name  string
		words []string
	}{
		{&s.canonical, "canonical", p.CanonicalClasses},
		{&s.senderCanonical, "sender_canonical", p.SenderCanonicalClasses},
		{&s.rcptCanonical, "recipient_canonical", p.RecipientCanonicalClasses},
	} {
		c, err := parseClasses(u.name+"_classes", u.words)
		if err != nil {
			return err
		}
		u.dst.title, u.dst.classes = u.name+"_maps", c
	}
	dests, err := table.NewStringList([]string{p.Mydestination}, table.ListOptions{Options: o, Name: "mydestination"})
	s.dests = dests
	return err
}

func (s *server) isLocal(ctx context.Context, domain string) (bool, error) {
	if strings.EqualFold(domain, s.p.Myorigin) {
		return true, nil
	}
	return s.dests.Match(ctx, domain)
}

// changed reports whether any table changed since it was opened.
func (s *server) changed() bool {
	maps := []*table.Maps{s.canonical.maps, s.senderCanonical.maps, s.rcptCanonical.maps, s.virtual,
		s.senderBCC, s.rcptBCC, s.bodyChecks}
	for _, m := range append(maps, s.headerChecks[:]...) {
		if m.Changed() {
			return true
		}
	}
	return s.dests.Changed()
}

func set(list []string) map[string]bool {
	m := map[string]bool{}
	for _, s := range list {
		m[strings.ToLower(s)] = true
	}
	return m
}

var errEscape = errors.New("bad escape sequence")

// unescape reads a set of characters with C-like escapes, as \0 or \r.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", errEscape
		}
		if j := strings.IndexByte("abfnrtv\\", s[i]); j >= 0 {
			b.WriteByte("\a\b\f\n\r\t\v\\"[j])
			continue
		}
		n, digits := 0, 0
		for digits < 3 && i < len(s) && s[i] >= '0' && s[i] <= '7' {
			n, digits, i = n*8+int(s[i]-'0'), digits+1, i+1
		}
		if digits == 0 || n > 255 {
			return "", errEscape
		}
		b.WriteByte(byte(n))
		i--
	}
	return b.String(), nil
}
