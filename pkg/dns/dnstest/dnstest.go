// Package dnstest has a name server for tests: one without a network, and one
// on loopback for tests that run whole daemons.
//
// Both answer from a text in the form of a zone file, in which a line may
// also say that a name misbehaves:
//
//	example.test.    60 IN MX  10 mx.example.test.
//	mx.example.test. 60 IN A   127.0.0.1
//	down.test.       SERVFAIL
//	slow.test.       TIMEOUT
//
// The words are SERVFAIL, REFUSED, NXDOMAIN, NODATA, TIMEOUT (no reply),
// GARBAGE (a reply that does not parse), WRONGID and WRONGQUESTION (replies
// that must be ignored), TRUNCATE (cut on UDP, whole on TCP), NOTCP (cut on
// UDP, TCP closed) and SECURE (the AD bit is set). They count for the name
// itself. A name that is not in the text does not exist.
package dnstest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/posthouse-mail/posthouse/pkg/dns"
)

// Zone is a parsed text. It can be changed while it is in use.
type Zone struct {
	mu      sync.Mutex
	records []mdns.RR
	words   map[string]string
	asked   []string
}

// Parse reads a text.
func Parse(text string) (*Zone, error) {
	z := &Zone{}
	return z, z.Set(text)
}

// Set replaces what the zone holds.
func (z *Zone) Set(text string) error {
	words := map[string]string{}
	var plain []string
	for line := range strings.SplitSeq(text, "\n") {
		f := strings.Fields(line)
		if len(f) == 2 {
			words[strings.ToLower(mdns.Fqdn(f[0]))] = f[1]
			continue
		}
		plain = append(plain, strings.TrimSpace(line))
	}
	p := mdns.NewZoneParser(strings.NewReader(strings.Join(plain, "\n")), ".", "")
	p.SetDefaultTTL(60)
	var records []mdns.RR
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		records = append(records, rr)
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("zone text: %w", err)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records, z.words = records, words
	return nil
}

// Asked returns the questions so far, each as "name. TYPE".
func (z *Zone) Asked() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	return append([]string(nil), z.asked...)
}

// reply makes the reply to a query, and returns the word for its name.
func (z *Zone) reply(q *mdns.Msg) (*mdns.Msg, string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	m := new(mdns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	if len(q.Question) != 1 {
		m.Rcode = mdns.RcodeFormatError
		return m, ""
	}
	name, t := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	z.asked = append(z.asked, name+" "+mdns.TypeToString[t])
	word := z.words[name]
	switch word {
	case "SERVFAIL":
		m.Rcode = mdns.RcodeServerFailure
	case "REFUSED":
		m.Rcode = mdns.RcodeRefused
	case "NXDOMAIN":
		m.Rcode = mdns.RcodeNameError
	case "NODATA":
	default:
		m.AuthenticatedData = word == "SECURE"
		z.fill(m, name, t)
	}
	return m, word
}

// fill adds the records of a name, its aliases followed.
func (z *Zone) fill(m *mdns.Msg, name string, t uint16) {
	exists := false
	for range 20 {
		next := ""
		for _, rr := range z.records {
			h := rr.Header()
			if strings.ToLower(h.Name) != name {
				continue
			}
			exists = true
			if h.Rrtype == t {
				m.Answer = append(m.Answer, rr)
			} else if c, ok := rr.(*mdns.CNAME); ok {
				m.Answer = append(m.Answer, rr)
				next = strings.ToLower(c.Target)
			}
		}
		if next == "" {
			break
		}
		name = next
	}
	if !exists {
		m.Rcode = mdns.RcodeNameError
	}
}

// Exchange answers a query without a network; it makes a Zone a
// [dns.Exchanger]. The AD bit counts as trusted.
func (z *Zone) Exchange(ctx context.Context, q *mdns.Msg) (*mdns.Msg, bool, error) {
	m, word := z.reply(q)
	switch word {
	case "TIMEOUT", "GARBAGE", "WRONGID", "WRONGQUESTION", "NOTCP":
		return nil, false, errors.New(strings.ToLower(word))
	}
	// Through the wire form, as from a server.
	b, err := m.Pack()
	if err != nil {
		return nil, false, fmt.Errorf("pack reply: %w", err)
	}
	out := new(mdns.Msg)
	if err := out.Unpack(b); err != nil {
		return nil, false, fmt.Errorf("unpack reply: %w", err)
	}
	return out, true, ctx.Err()
}

// Resolver returns a resolver that answers from the text, with an empty hosts
// file.
func Resolver(tb testing.TB, text string) *dns.Resolver {
	tb.Helper()
	z, err := Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	return ResolverFor(tb, z)
}

// ResolverFor returns a resolver that answers from a zone.
func ResolverFor(tb testing.TB, z *Zone) *dns.Resolver {
	tb.Helper()
	cfg, err := dns.ParseResolvConf(strings.NewReader(""))
	if err != nil {
		tb.Fatal(err)
	}
	return dns.NewWith(cfg, z)
}
