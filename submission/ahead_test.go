package main

import (
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestQueueFileAhead: the queue file is asked for at MAIL, serves the message
// that follows, and is given up with the transaction.
func TestQueueFileAhead(t *testing.T) {
	h := newHouse(t)
	wait := func(opened, dropped int) {
		t.Helper()
		testkit.Wait(t, "cleanup's queue files", func() bool {
			o, d := h.files()
			return o == opened && d == dropped
		})
	}
	c := h.login(joe)
	c.want("553", c.cmd("MAIL FROM:<ann@here.test>"))
	c.want("250", c.cmd("MAIL FROM:<joe@here.test>"))
	wait(1, 0)
	c.want("250", c.cmd("RSET"))
	wait(1, 1)
	c.want("250", c.send("joe@here.test", "Subject: x\n\nx\n"))
	wait(2, 1)
	if q := h.queue(); len(q) != 1 || len(q[0].recipients) != 1 {
		t.Errorf("queued %+v", q)
	}
	c.want("250", c.cmd("MAIL FROM:<joe@here.test>"))
	wait(3, 1)
	c.conn.Close()
	wait(3, 2)
}
