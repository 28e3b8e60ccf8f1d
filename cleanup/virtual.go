package main

import (
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/inject"
)

// expandAlias expands an address by virtual_alias_maps until nothing changes. An
// address may expand into itself once, which ends its expansion.
func (m *message) expandAlias(addr string) []string {
	p := &m.s.p
	list := []string{addr}
	done := map[string]bool{}
	for i := 0; i < len(list); i++ {
		for depth := 0; ; depth++ {
			if len(list) > p.VirtualExpansionLimit {
				m.unreasonable("expansion size", addr)
				return list
			}
			if done[strings.ToLower(list[i])] {
				break
			}
			if depth >= p.VirtualRecursionLimit {
				m.unreasonable("nesting", addr)
				return list
			}
			result, ok := m.mapAddress(list[i], "virtual_alias_maps", m.s.virtual, "virtual")
			if !ok {
				break
			}
			before := list[i]
			for j, a := range result {
				if len(a) > p.VirtualAddressLimit {
					m.unreasonable("result length", addr)
					return list
				}
				if strings.EqualFold(a, before) {
					done[strings.ToLower(before)] = true
				}
				if j == 0 {
					list[i] = a
				} else {
					list = append(list, a)
				}
			}
		}
	}
	return list
}

// unreasonable refuses a message because of a runaway alias. The sender tries
// again, for the operator may have mended it by then.
func (m *message) unreasonable(what, addr string) {
	m.s.log.Warn(m.id, "unreasonable virtual_alias_maps map %s for %s -- message not accepted, try again later", what, external(addr))
	m.fail(inject.StatDefer, "4.6.0 Alias expansion error")
}
