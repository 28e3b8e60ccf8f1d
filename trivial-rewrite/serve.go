package main

import (
	"context"
	"fmt"
	"net"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
)

// server answers the requests of one or more connections.
type server struct {
	resolver *resolver
	log      *maillog.Logger
}

// session answers requests until the client closes the connection.
func (s *server) session(ctx context.Context, conn net.Conn) error {
	c := ipc.NewConn(conn)
	for req, err := range c.Requests(ctx) {
		if err != nil {
			return err
		}
		reply, err := s.answer(ctx, req)
		if err != nil {
			return err
		}
		if err := c.Send(reply); err != nil {
			return fmt.Errorf("send reply: %w", err)
		}
	}
	return nil
}

// answer handles one request. An error means that the request was malformed.
func (s *server) answer(ctx context.Context, req ipc.List) (ipc.List, error) {
	addr, ok := req.Get("address")
	if !ok || len(addr) > 8*address.MaxLength {
		return nil, fmt.Errorf("%w: address missing or too long", ipc.ErrMalformed)
	}
	r := s.resolver
	rule, ruled := req.Get("rule")
	if ruled && rule != rewrite.Local && rule != rewrite.Remote {
		return nil, fmt.Errorf("%w: rule %q", ipc.ErrMalformed, rule)
	}
	switch verb := req.Value("request"); verb {
	case "rewrite":
		if !ruled {
			return nil, fmt.Errorf("%w: no rule", ipc.ErrMalformed)
		}
		return ipc.List{}.Int("status", 0).Str("address", r.rewriter.rewrite(rule, addr)), nil
	case "resolve":
		if ruled {
			addr = address.Unquote(r.rewriter.rewrite(rule, addr))
		}
		return s.resolve(ctx, r.mail, req.Value("sender"), addr), nil
	case "verify":
		return s.resolve(ctx, r.probe, req.Value("sender"), addr), nil
	default:
		return nil, fmt.Errorf("%w: request %q", ipc.ErrMalformed, verb)
	}
}

func (s *server) resolve(ctx context.Context, set *routes, sender, addr string) ipc.List {
	res, err := s.resolver.resolve(ctx, set, sender, addr)
	if err != nil {
		// The client defers the mail; the cause is for the operator.
		s.log.Warn("", "%s lookup failure: %v", address.Quote(addr), err)
		res = rewrite.Resolved{Recipient: addr, Flags: rewrite.Fail}
	}
	return ipc.List{}.Int("status", 0).
		Str("transport", res.Transport).
		Str("nexthop", res.NextHop).
		Str("recipient", res.Recipient).
		Int("flags", int64(res.Flags))
}
