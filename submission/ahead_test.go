package main

import (
	"bufio"
	"net/textproto"
	"slices"
	"strings"
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

// TestFirstRecipient: it does not wait for the queue file; what comes behind it
// does, and says why there is none.
func TestFirstRecipient(t *testing.T) {
	h := newHouse(t, "submission_recipients_per_hour = 0")
	c := h.login(joe)
	c.want("250", c.cmd("MAIL FROM:<joe@here.test>"))
	for _, r := range []string{"a@there.test", "b@there.test", "c@there.test"} {
		c.want("250", c.cmd("RCPT TO:<"+r+">"))
	}
	c.want("501", c.cmd("RCPT TO:<joe"))
	c.want("354", c.cmd("DATA"))
	w := textproto.NewWriter(bufio.NewWriter(c.conn)).DotWriter()
	w.Write([]byte("Subject: x\n\nx\n"))
	w.Close()
	c.want("250 2.0.0 Ok: queued as ABCDEF1", c.reply())
	if q := h.queue(); len(q) != 1 || !slices.Equal(q[0].recipients, []string{"a@there.test", "b@there.test", "c@there.test"}) {
		t.Errorf("queued %+v", q)
	}
	if n := strings.Count(h.log.String(), "ABCDEF1: client="); n != 1 {
		t.Errorf("client= is %d times in the log:\n%s", n, h.log)
	}

	// Without a queue file: the reply to the message says so at the latest.
	message := []byte("Subject: x\r\n\r\nx\r\n.\r\n")
	h.set(func() { h.full = true })
	c.begin("joe@here.test")
	c.conn.Write(message)
	c.want("451 4.3.0", c.reply())
	c.want("250", c.cmd("MAIL FROM:<joe@here.test>"))
	c.want("250", c.cmd("RCPT TO:<a@there.test>"))
	c.want("451 4.3.0", c.cmd("RCPT TO:<b@there.test>"))
	// Room again: the recipient that was accepted is not forgotten.
	h.set(func() { h.full = false })
	c.want("354", c.cmd("DATA"))
	c.conn.Write(message)
	c.want("250", c.reply())
	if q := h.queue(); len(q) != 1 || !slices.Equal(q[0].recipients, []string{"a@there.test"}) {
		t.Errorf("queued %+v", q)
	}
}
