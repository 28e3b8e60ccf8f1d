package keys

import (
	"fmt"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/address"
)

// Addresses returns what an entry that [Canonical] found for addr makes of it: a
// value of "@other.domain" is the same user there, others are lists of
// addresses. standard brings each to its standard form, and the extension
// that the key had not is added if propagate is set. Addresses are in internal
// form, those of the value in external form.
func (r Result) Addresses(addr string, propagate bool, standard func(string) (string, error)) ([]string, error) {
	value := strings.TrimSpace(r.Value)
	if strings.HasPrefix(value, "@") {
		local, _, _ := cutAddress(addr)
		value = address.QuoteLocal(strings.TrimSuffix(local, r.Extension)) + value
	}
	list := address.ListAddresses(value, 0)
	if len(list) == 0 {
		return nil, fmt.Errorf("no address in %q", r.Value)
	}
	for i, a := range list {
		a, err := standard(a)
		if err != nil {
			return nil, err
		}
		if propagate && r.Extension != "" {
			local, domain := address.Split(a)
			a = address.Join(local+r.Extension, domain)
		}
		list[i] = a
	}
	return list, nil
}
