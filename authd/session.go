package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// exchangeTime bounds the time that a client may take for an answer.
const exchangeTime = 5 * time.Minute

// session answers the requests of one server, one at a time.
func (s *server) session(ctx context.Context, conn net.Conn) error {
	c, err := ipc.NewFileConn(conn, 1)
	if err != nil {
		return err
	}
	defer c.Close()
	defer closeOnDone(ctx, conn)()
	cred, err := peerOf(conn)
	if err != nil {
		return err
	}
	var x *exchange
	for {
		service.Hold(conn, x != nil)
		c.Timeout = 0
		if x != nil {
			c.Timeout = exchangeTime
		}
		req, err := c.Receive()
		if errors.Is(err, io.EOF) || ctx.Err() != nil || x != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive request: %w", err)
		}
		var reply ipc.List
		switch {
		case req.Value("request") == "sessions" && x == nil:
			if !s.trusted[cred.UID] {
				return fmt.Errorf("refused to tell process %d of uid %d of sessions", cred.PID, cred.UID)
			}
			return s.giveSessions(ctx, conn)
		case req.Value("request") == "plain" && req.Value("hand") == "1":
			x = nil
			reply, err = s.withConnection(ctx, cred, c, req)
		default:
			reply, x = s.answer(ctx, cred, x, req)
		}
		if err != nil {
			return err
		}
		if reply == nil {
			return fmt.Errorf("%w: request %q", ipc.ErrMalformed, printable.ASCII(req.Value("request")))
		}
		if err := c.Send(reply); err != nil {
			return fmt.Errorf("send reply: %w", err)
		}
	}
}

// withConnection answers a request that brought the client's connection.
func (s *server) withConnection(ctx context.Context, cred ipc.Cred, c *ipc.FileConn, req ipc.List) (ipc.List, error) {
	if !s.logins(cred.UID) {
		return nil, fmt.Errorf("refused a connection from process %d of uid %d, which is no login server", cred.PID, cred.UID)
	}
	client, err := c.Passed("client")
	if errors.Is(err, ipc.ErrNoRoom) {
		s.log.Warn("", "%v", err)
		return authclient.Step{Outcome: authclient.Temporary, Login: req.Value("login"), Text: textTemporary}.Attributes(), nil
	}
	if err != nil {
		return nil, err
	}
	defer client.Close()
	p, err := authclient.ReadPeer(req)
	if err != nil {
		return nil, err
	}
	t, failed, err := s.plainRequest(p, req)
	if err != nil || failed != nil {
		return failed, err
	}
	step, err := s.plainWith(ctx, *t, req, client)
	if err != nil {
		return nil, err
	}
	return step.Attributes(), nil
}

// peerOf returns who is at the other end of a session's socket.
func peerOf(conn net.Conn) (ipc.Cred, error) {
	if conn.LocalAddr().Network() != "unix" {
		return ipc.Cred{UID: -1}, nil
	}
	return ipc.PeerCred(conn)
}

// answer does what one request asks for. A nil reply ends the session.
func (s *server) answer(ctx context.Context, cred ipc.Cred, x *exchange, req ipc.List) (ipc.List, *exchange) {
	switch req.Value("request") {
	case "begin", "plain", "apop", "cram":
		p, err := authclient.ReadPeer(req)
		if err != nil {
			return nil, nil
		}
		return s.begin(ctx, p, req)
	case "next":
		message, err := base64.StdEncoding.DecodeString(req.Value("response"))
		if x == nil || err != nil {
			return nil, nil
		}
		return s.next(ctx, x, message)
	case "mechanisms":
		p, err := authclient.ReadPeer(req)
		if err != nil {
			return nil, nil
		}
		reply := ipc.List{}.Str("status", "ok")
		for _, m := range s.offer(p) {
			reply = reply.Str("mechanism", m)
		}
		return reply, nil
	case "lookup":
		return s.lookup(ctx, req.Value("login"), req.Value("service")), nil
	case "recipient":
		return s.recipient(ctx, req.Value("address")), nil
	case "redeem", "quota":
		if !s.trusted[cred.UID] {
			s.log.Warn("", "%s: refused to process %d of uid %d", req.Value("request"), cred.PID, cred.UID)
			return unknown(), nil
		}
		return s.forRoot(req), nil
	}
	return nil, nil
}

func status(word string) ipc.List { return ipc.List{}.Str("status", word) }
func unknown() ipc.List           { return status("unknown") }

// forRoot answers what only root may ask.
func (s *server) forRoot(req ipc.List) ipc.List {
	if req.Value("request") == "quota" {
		over, err := req.GetBool("over_quota")
		if err != nil {
			return nil
		}
		s.quotas.set(req.Value("login"), over)
		return status("ok")
	}
	u := s.tickets.redeem(req.Value("ticket"), req.Value("service"))
	if u == nil {
		return unknown()
	}
	return u.Attributes(status("ok"))
}

// lookup says who a login is.
func (s *server) lookup(ctx context.Context, login, service string) ipc.List {
	name, ok := s.canonical(login)
	if !ok {
		return unknown()
	}
	f, err := s.known(ctx, name, service)
	if errors.Is(err, userdb.ErrUnknown) || err == nil && service != "" && f.rec.IsDisabled(service) {
		return unknown()
	}
	if err == nil {
		var u *authclient.User
		if u, err = s.user(f.rec); err == nil {
			return u.Attributes(status("ok"))
		}
	}
	s.log.Warn("", "lookup of user=<%s>: %v", printable.ASCII(login), err)
	return status("temporary")
}
