package main

import (
	"time"

	"github.com/posthouse-mail/posthouse/pkg/anvilclient"
)

// maxClients bounds what is remembered.
const maxClients = 50000

// kinds of events, in the order of the statistics.
const (
	kindConn = iota
	kindMessage
	kindRcpt
	kindTLS
	kindAuth
	numKinds
)

func kindOf(event string) (int, bool) {
	switch event {
	case anvilclient.Connect:
		return kindConn, true
	case anvilclient.Message:
		return kindMessage, true
	case anvilclient.Recipient:
		return kindRcpt, true
	case anvilclient.NewTLS:
		return kindTLS, true
	case anvilclient.Auth:
		return kindAuth, true
	}
	return 0, false
}

// client is what is known about one service and address.
type client struct {
	start time.Time // of the current time unit
	count int       // open connections
	rate  [numKinds]int
}

// top is the highest value seen since the last statistics.
type top struct {
	value int
	ident string
	at    time.Time
}

// table counts. Its clock is given with each call.
type table struct {
	unit    time.Duration
	clients map[string]*client

	rates   [numKinds]top
	count   top
	cache   int // most clients remembered
	cacheAt time.Time
}

func newTable(unit time.Duration) *table {
	return &table{unit: unit, clients: make(map[string]*client)}
}

// event counts an event and returns the connection count and the rate.
func (t *table) event(kind int, ident string, now time.Time) (count, rate int) {
	c := t.clients[ident]
	if c == nil {
		if len(t.clients) >= maxClients {
			t.expire(now)
		}
		if len(t.clients) >= maxClients {
			// Under such a flood nobody is limited for what
			// others do.
			return 1, 1
		}
		c = &client{start: now}
		t.clients[ident] = c
		if len(t.clients) > t.cache {
			t.cache, t.cacheAt = len(t.clients), now
		}
	}
	if now.Sub(c.start) > t.unit {
		c.start, c.rate = now, [numKinds]int{}
	}
	c.rate[kind]++
	if c.rate[kind] > t.rates[kind].value {
		t.rates[kind] = top{c.rate[kind], ident, now}
	}
	if kind == kindConn {
		if c.count++; c.count > t.count.value {
			t.count = top{c.count, ident, now}
		}
	}
	return c.count, c.rate[kind]
}

// disconnect takes a connection off.
func (t *table) disconnect(ident string) {
	if c := t.clients[ident]; c != nil && c.count > 0 {
		c.count--
	}
}

// expire forgets clients that did nothing for a time unit.
func (t *table) expire(now time.Time) {
	for ident, c := range t.clients {
		if c.count == 0 && now.Sub(c.start) > t.unit {
			delete(t.clients, ident)
		}
	}
}
