package scenario

import (
	"net"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestFlushSite: mail that waits for a site goes out when a user or the site
// itself asks for it, and nobody can ask for what is not in
// fast_flush_domains.
func TestFlushSite(t *testing.T) {
	mail := testkit.New(t)
	closed := testkit.NewClosed(t)
	mail.Set(t, "relay_domains = later.test", "transport_maps = inline:{ {later.test=smtp:"+closed.Hop()+"} }")
	mail.Start(t)
	mail.Send(t, "Subject: x\n\nx\n", "user@later.test")
	mail.WaitLog(t, `to=<user@later\.test>, .*status=deferred`)
	testkit.Wait(t, "the message to be deferred", func() bool { return len(mail.Queue(t, "deferred")) == 1 })

	s := testkit.Dial(t, mail.Addr())
	defer s.Conn.Close()
	s.Cmd("250", "EHLO c.test")
	s.Cmd("459", "ETRN other.test")
	s.Cmd("250", "ETRN later.test")
	mail.WaitLog(t, `(?s)to=<user@later\.test>, .*status=deferred.*to=<user@later\.test>, .*status=deferred`)
	testkit.Wait(t, "the message to be deferred again", func() bool { return len(mail.Queue(t, "deferred")) == 1 })

	l := closed.Listen(t)
	l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute))
	mail.Must(t, "postqueue", "-s", "later.test")
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
