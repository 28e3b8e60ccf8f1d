package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/keys"
)

// routes are the parameters that choose transport and next hop. There is one
// set for mail and one for the probes of address verification.
type routes struct {
	local, virtual, relay, other string // transport[:nexthop]
	relayhost                    string
	senderRelayhosts             *table.Maps
	senderTransports             *table.Maps
	transports                   *table.Maps
}

// tables opens the maps of both sets.
func openRoutes(p *params, o table.Options) (mail, probe *routes, err error) {
	mail = &routes{local: p.LocalTransport, virtual: p.VirtualTransport, relay: p.RelayTransport,
		other: p.DefaultTransport, relayhost: p.Relayhost}
	probe = &routes{local: p.VerifyLocalTransport, virtual: p.VerifyVirtualTransport, relay: p.VerifyRelayTransport,
		other: p.VerifyDefaultTransport, relayhost: p.VerifyRelayhost}
	for _, m := range []struct {
		dst  **table.Maps
		name string
		spec string
	}{
		{&mail.senderRelayhosts, "sender_dependent_relayhost_maps", p.SenderRelayhostMaps},
		{&mail.senderTransports, "sender_dependent_default_transport_maps", p.SenderTransportMaps},
		{&mail.transports, "transport_maps", p.TransportMaps},
		{&probe.senderRelayhosts, "address_verify_sender_dependent_relayhost_maps", p.VerifySenderRelayhosts},
		{&probe.senderTransports, "address_verify_sender_dependent_default_transport_maps", p.VerifySenderTransports},
		{&probe.transports, "address_verify_transport_maps", p.VerifyTransportMaps},
	} {
		if *m.dst, err = openMaps(m.name, m.spec, o); err != nil {
			return nil, nil, err
		}
	}
	return mail, probe, nil
}

// openMaps opens the tables that a parameter lists; nil if it lists none.
func openMaps(name, spec string, o table.Options) (*table.Maps, error) {
	if strings.TrimSpace(spec) == "" {
		return nil, nil
	}
	m, err := table.OpenMaps([]string{spec}, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

func (r *routes) changed() bool {
	return r.senderRelayhosts.Changed() || r.senderTransports.Changed() || r.transports.Changed()
}

// byDomain reports whether nothing but the domain of a recipient decides.
func (r *routes) byDomain() bool {
	return r.senderRelayhosts.Empty() && r.senderTransports.Empty() && r.transports.Empty()
}

// errNoResult reports an empty transport or next hop in the configuration.
var errNoResult = errors.New("null transport or next hop is not allowed")

// dunno is the table value that stands for "no answer here".
const dunno = "DUNNO"

// offHost chooses transport and next hop for mail that leaves the host.
// senders are the keys for the null sender.
func (r *routes) offHost(ctx context.Context, q *query, relay bool, p *params, o keys.Options) (transport, nexthop string, err error) {
	transport, nexthop = r.relay, q.domain
	if !relay {
		transport = r.other
		res, err := keys.SenderDependent(ctx, r.senderTransports, q.sender, p.SenderTransportNullKey, o)
		if err != nil {
			return "", "", err
		}
		if res.Found && !strings.EqualFold(res.Value, dunno) {
			transport = res.Value
		}
	}
	res, err := keys.SenderDependent(ctx, r.senderRelayhosts, q.sender, p.SenderRelayhostNullKey, o)
	if err != nil {
		return "", "", err
	}
	switch {
	case res.Found && !strings.EqualFold(res.Value, dunno):
		nexthop = res.Value
	case r.relayhost != "":
		nexthop = r.relayhost
	}
	return transport, nexthop, nil
}

// override applies transport_maps to a choice of transport and next hop.
func (r *routes) override(ctx context.Context, q *query, o keys.Options, transport, nexthop *string) error {
	res, err := keys.Transport(ctx, r.transports, q.rcpt, "", o)
	if err != nil || !res.Found {
		return err
	}
	t, hop, _ := strings.Cut(res.Value, ":")
	switch {
	case t != "":
		*transport = t
		if *nexthop = hop; hop == "" {
			*nexthop = q.domain
		}
	case hop != "":
		*nexthop = hop
	}
	return nil
}
