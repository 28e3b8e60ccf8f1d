package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/keys"
)

// maxCached bounds the cache of rewritten addresses.
const maxCached = 4096

// rewriteExternal brings an address in external form to its standard form.
// The result depends on the configuration alone, for which a change means new
// processes, so it is kept.
func (m *message) rewriteExternal(rule, addr string) string {
	s := m.s
	key := [2]string{rule, addr}
	s.mu.Lock()
	out, ok := s.cache[key]
	s.mu.Unlock()
	if ok {
		return out
	}
	out, err := s.rewrite.Rewrite(m.ctx, rule, addr)
	if err != nil {
		m.lookup("address rewriting", addr, err)
		return addr
	}
	s.mu.Lock()
	if len(s.cache) >= maxCached {
		clear(s.cache)
	}
	s.cache[key] = out
	s.mu.Unlock()
	return out
}

// rewriteInternal is for envelope addresses, which are always completed with
// local rules.
func (m *message) rewriteInternal(addr string) string {
	return address.Canonical(m.rewriteExternal("local", address.Quote(addr)))
}

// senderAddress brings the envelope sender to the form that is queued.
func (m *message) senderAddress(addr string) string {
	addr = m.rewriteInternal(addr)
	if m.flags&inject.FlagMapOK != 0 {
		addr = m.applyMaps(addr, envelopeSender, &m.s.senderCanonical)
	}
	return addr
}

// applyMaps applies the canonical maps and masquerading that are meant for
// addresses in such a place. addr is in internal form.
func (m *message) applyMaps(addr string, c class, first *mapUse) string {
	for _, u := range []*mapUse{first, &m.s.canonical} {
		if u.classes&c != 0 && !u.maps.Empty() {
			addr = m.map11(addr, u)
		}
	}
	if m.s.masquerade.classes&c != 0 {
		addr = m.s.masquerade.apply(addr)
	}
	return addr
}

// maxCanonical bounds how often a canonical map is applied to its own result.
const maxCanonical = 1000

// map11 applies a map that gives one address for one.
func (m *message) map11(addr string, u *mapUse) string {
	for range maxCanonical {
		list, ok := m.mapAddress(addr, u.title, u.maps, "canonical")
		if !ok {
			return addr
		}
		if len(list) > 1 {
			m.s.log.Warn(m.id, "multi-valued %s entry for %s", u.title, external(addr))
		}
		next := list[0]
		if strings.EqualFold(next, addr) {
			return next
		}
		addr = next
	}
	m.s.log.Warn(m.id, "unreasonable %s map nesting for %s -- message not accepted, try again later", u.title, external(addr))
	m.fail(inject.StatWrite, "")
	return addr
}

// mapAddress looks an address up and returns what it becomes, in standard
// form. kind names the map in propagate_unmatched_extensions.
func (m *message) mapAddress(addr, title string, maps *table.Maps, kind string) ([]string, bool) {
	res, err := keys.Canonical(m.ctx, maps, addr, m.s.keys)
	if err != nil {
		m.lookup(title, external(addr), err)
		return nil, false
	}
	if !res.Found {
		return nil, false
	}
	list, err := res.Addresses(addr, m.s.propagate[kind], func(a string) (string, error) {
		return m.rewriteInternal(a), nil
	})
	if err != nil {
		m.lookup(title, external(addr), err)
		return nil, false
	}
	return list, true
}

// recipient handles one recipient, with what was said about it before.
func (m *message) recipient(addr string) {
	r := m.pending
	m.pending = envelope.Recipient{}
	if !m.pendingOriginal {
		r.Original = addr
	}
	m.pendingOriginal = false
	if addr == "" {
		addr = m.s.p.EmptyAddress
	}
	addr = m.rewriteInternal(addr)
	if m.flags&inject.FlagMapOK != 0 {
		addr = m.applyMaps(addr, envelopeRecipient, &m.s.rcptCanonical)
	}
	if m.firstRcpt == "" {
		m.firstRcpt = addr
	}
	r.Address = addr
	if r.DSNOrcpt == "" {
		r.DSNOrcpt = orcpt(addr)
	}
	m.expand(r)
	if m.flags&inject.FlagBccOK != 0 {
		m.addBCC("recipient_bcc_maps", m.s.rcptBCC, addr)
	}
	m.putBCC()
}

// orcpt makes an ORCPT value for a recipient that came without (RFC 3461
// 5.2.1, RFC 6533 3).
func orcpt(addr string) string {
	for i := 0; i < len(addr); i++ {
		if addr[i] >= utf8.RuneSelf {
			return "utf-8;" + address.Quote(addr)
		}
	}
	return "rfc822;" + address.Quote(addr)
}

// expand applies virtual aliases to a recipient and queues the result.
func (m *message) expand(r envelope.Recipient) {
	if m.flags&inject.FlagMapOK == 0 || m.s.virtual.Empty() {
		m.put(r)
		return
	}
	members := m.expandAlias(r.Address)
	m.quietly(&r, len(members))
	for _, addr := range members {
		r.Address = addr
		m.put(r)
	}
}

// put writes one recipient unless it was there before.
func (m *message) put(r envelope.Recipient) {
	if m.failed() {
		return
	}
	key := strings.ToLower(r.Address)
	if m.s.p.EnableOriginalRecipient {
		key = strings.ToLower(fmt.Sprintf("%s\n%d\n%s\n%s", r.DSNOrcpt, r.Notify, r.Original, r.Address))
	}
	if _, dup := m.seen[key]; dup {
		return
	}
	if limit := m.s.p.DuplicateFilterLimit; limit <= 0 || len(m.seen) < limit {
		m.seen[key] = struct{}{}
	}
	// Which recipients need SMTPUTF8 is found out at delivery, for each.
	m.checkUTF8(r.Address, 0)
	if r.Notify != envelope.NotifyNone {
		m.attr(queue.AttrDSNNotify, strconv.Itoa(int(r.Notify)))
	}
	if r.DSNOrcpt != "" {
		m.attr(queue.AttrDSNOrcpt, r.DSNOrcpt)
	}
	m.writeString(queue.RecOrcp, r.Original)
	m.writeString(queue.RecRcpt, r.Address)
	m.rcpts++
}

// addBCC notes the recipient that a map gives for an address.
func (m *message) addBCC(title string, maps *table.Maps, addr string) {
	if maps.Empty() {
		return
	}
	res, err := keys.BCC(m.ctx, maps, addr, m.s.keys)
	if err != nil {
		m.lookup(title, external(addr), err)
		return
	}
	if res.Found {
		m.bcc = append(m.bcc, address.ListAddresses(res.Value, 1)...)
	}
}

// putBCC queues the noted recipients. They ask for no notices, so that the
// sender does not learn of them.
func (m *message) putBCC() {
	list := m.bcc
	m.bcc = nil
	for _, addr := range list {
		r := envelope.Recipient{Original: addr, Notify: envelope.NotifyNever}
		r.Address = m.rewriteInternal(addr)
		if m.flags&inject.FlagMapOK != 0 {
			r.Address = m.applyMaps(r.Address, envelopeRecipient, &m.s.rcptCanonical)
		}
		m.expand(r)
	}
}
