package main

import (
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
)

// masquerade strips host names below a domain from addresses.
type masquerade struct {
	domains    []string // in order; "!domain" is an exception
	classes    class
	exceptions map[string]bool
}

func newMasquerade(p *params) (masquerade, error) {
	mq := masquerade{exceptions: set(p.MasqueradeExceptions)}
	for _, d := range p.MasqueradeDomains {
		mq.domains = append(mq.domains, strings.ToLower(d))
	}
	if len(mq.domains) == 0 {
		return mq, nil
	}
	var err error
	mq.classes, err = parseClasses("masquerade_classes", p.MasqueradeClasses)
	return mq, err
}

// apply returns addr, in internal form, with its domain cut to the first
// masquerade domain that it is below.
func (mq *masquerade) apply(addr string) string {
	local, domain := address.Split(addr)
	if domain == "" || mq.exceptions[strings.ToLower(local)] {
		return addr
	}
	lower := strings.ToLower(domain)
	for _, d := range mq.domains {
		exclude := false
		for strings.HasPrefix(d, "!") {
			exclude, d = !exclude, d[1:]
		}
		if lower == d {
			return addr
		}
		if strings.HasSuffix(lower, "."+d) {
			if exclude {
				return addr
			}
			return local + "@" + d
		}
	}
	return addr
}
