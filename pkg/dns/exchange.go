package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// errMalformed marks a reply that cannot be parsed.
var errMalformed = errors.New("malformed reply")

// udpSize is the payload size that we announce: what fits into one packet on
// any path (DNS flag day 2020).
const udpSize = 1232

// maxStrays is how many packets that do not belong to the query are thrown
// away before a try counts as failed. Spoofers send many.
const maxStrays = 64

// network exchanges messages with the servers of a resolv.conf.
type network struct{ cfg *Config }

// Exchange asks the servers in turn until one gives an answer that settles
// the question. A server that fails, refuses or answers nonsense is passed
// over for the next one, and its failure returned if none does better.
func (n *network) Exchange(ctx context.Context, query *mdns.Msg) (*mdns.Msg, bool, error) {
	first := 0
	if n.cfg.Rotate {
		first = rand.IntN(len(n.cfg.Servers))
	}
	var lastReply *mdns.Msg
	lastErr := errors.New("no name server")
	for range n.cfg.Attempts {
		for i := range n.cfg.Servers {
			server := n.cfg.Servers[(first+i)%len(n.cfg.Servers)]
			reply, err := n.try(ctx, server, query)
			if err == nil && settles(reply) {
				return reply, n.cfg.TrustAD || isLoopback(server), nil
			}
			if err == nil {
				lastReply = reply
			} else {
				lastErr = fmt.Errorf("name server %s: %w", server, err)
			}
			if ctx.Err() != nil {
				return nil, false, lastErr
			}
		}
	}
	if lastReply != nil {
		return lastReply, false, nil
	}
	return nil, false, lastErr
}

func settles(m *mdns.Msg) bool {
	return m.Rcode == mdns.RcodeSuccess || m.Rcode == mdns.RcodeNameError
}

// try asks one server once: by UDP, and again by TCP if the reply was cut.
func (n *network) try(ctx context.Context, server netip.AddrPort, query *mdns.Msg) (*mdns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Timeout)
	defer cancel()
	q := query.Copy()
	q.Id = uint16(rand.Uint32())
	q.SetEdns0(udpSize, false)
	if n.cfg.UseTCP {
		return exchangeTCP(ctx, server, q)
	}
	reply, err := exchangeUDP(ctx, server, q)
	if err == nil && reply.Rcode == mdns.RcodeFormatError {
		// RFC 6891 section 7: a server from before EDNS.
		q.Extra = nil
		reply, err = exchangeUDP(ctx, server, q)
	}
	if err == nil && reply.Truncated {
		return exchangeTCP(ctx, server, q)
	}
	return reply, err
}

func dial(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	return conn, nil
}

// exchangeUDP uses a socket, and so a random port, of its own for each query.
func exchangeUDP(ctx context.Context, server netip.AddrPort, q *mdns.Msg) (*mdns.Msg, error) {
	out, err := q.Pack()
	if err != nil {
		return nil, fmt.Errorf("pack query: %w", err)
	}
	conn, err := dial(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.Write(out); err != nil {
		return nil, err
	}
	buf := make([]byte, 1<<16)
	for range maxStrays {
		size, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		reply, err := parseReply(buf[:size], q)
		if err == nil || errors.Is(err, errMalformed) {
			return reply, err
		}
	}
	return nil, errors.New("only replies to other queries")
}

func exchangeTCP(ctx context.Context, server netip.AddrPort, q *mdns.Msg) (*mdns.Msg, error) {
	out, err := q.Pack()
	if err != nil {
		return nil, fmt.Errorf("pack query: %w", err)
	}
	conn, err := dial(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, err
	}
	reply, err := parseReply(buf, q)
	if err == nil && reply.Truncated {
		return nil, fmt.Errorf("%w: truncated on TCP", errMalformed)
	}
	return reply, err
}

// errStray marks a message that is not the reply to our query.
var errStray = errors.New("not a reply to the query")

// parseReply checks that a message belongs to the query before it looks at
// the rest of it: only then is a parse failure the server's.
func parseReply(b []byte, q *mdns.Msg) (*mdns.Msg, error) {
	if len(b) < 12 || binary.BigEndian.Uint16(b) != q.Id || b[2]&0x80 == 0 {
		return nil, errStray
	}
	m := new(mdns.Msg)
	if err := m.Unpack(b); err != nil {
		if m.Truncated {
			// A cut message need not parse; the TCP reply will.
			return &mdns.Msg{MsgHdr: mdns.MsgHdr{Id: q.Id, Response: true, Truncated: true}}, nil
		}
		return nil, fmt.Errorf("%w: %v", errMalformed, err)
	}
	if len(m.Question) == 0 && !settles(m) {
		return m, nil // servers leave the question out of an error reply
	}
	if len(m.Question) != 1 || !sameQuestion(m.Question[0], q.Question[0]) {
		return nil, errStray
	}
	return m, nil
}

func sameQuestion(a, b mdns.Question) bool {
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}
