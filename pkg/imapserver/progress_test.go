package imapserver

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
)

// TestProgress is RFC 9585 4: a client is told every few seconds that its
// command goes on, and not after it.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := &conn{tag: "a7", enc: imapwire.NewEncoder(&out)}
		p := c.startProgress(200)
		time.Sleep(progressEvery - time.Second)
		p.add(30)
		time.Sleep(progressEvery)
		p.add(70)
		time.Sleep(progressEvery)
		p.stop()
		time.Sleep(10 * progressEvery)
		want := "* OK [INPROGRESS (\"a7\" 30 200)] Still at it.\r\n* OK [INPROGRESS (\"a7\" 100 200)] Still at it.\r\n"
		if out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
		quick := c.startProgress(1)
		quick.stop()
		time.Sleep(10 * progressEvery)
		if out.String() != want {
			t.Errorf("after a command that was quick: %q", out.String())
		}
	})
}
