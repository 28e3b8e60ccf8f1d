package interop

import (
	"slices"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

var oddPaths = []string{
	"<x@>", "<@>", "<@x.test>", "<x@y.test.>", "<x@y..test>", "<x@.y.test>", "<x@y_z.test>", "<x@-y.test>", "<x@y-.test>", "<x@y>", "<x>", "<.x@y.test>", "<x.@y.test>", "<x..z@y.test>",
	"< x@y.test>", "<x@y.test >", "<x @y.test>", "<x@ y.test>", "<x y@z.test>", "x@y.test", " <x@y.test>", "  <x@y.test>  ", "<<x@y.test>>", "< <x@y.test> >", "<<x@y.test>", "<<>>", "<x@y.test> >", "x @y.test", "x@y.test >", "x@\ty.test", "<x@y.test>>", "<x@y.test", "x@y.test>", "<>", "<\"\">", "<\"\"@y.test>",
	"<\"x y\"@z.test>", "<\"x\"@y.test>", "<\"x\\\"y\"@z.test>", "<\"x@y\"@z.test>", "<x\\@y@z.test>", "<x\\ y@z.test>", "<\"x@y.test>", "<x\"y@z.test>", "<x\"y\"@z.test>", "<\"x\".y@z.test>", "<x@\"y.test\">",
	"<@a.test:x@y.test>", "<@a.test,@b.test:x@y.test>", "<@a.test x@y.test>", "<@a:x@y.test>", "<@a.test:>", "<@a.test:x>", "<x@[127.0.0.1]>", "<x@[127.0.0.1>", "<x@127.0.0.1>", "<x@[IPv6:::1]>", "<x@[ipv6:::1]>", "<x@[::1]>", "<x@[300.1.1.1]>", "<x@[bogus]>", "<x@[]>", "<x@#123>", "<x@[127.0.0.1].test>", "<x@1.2.3>",
	"<x@y@z.test>", "<x%y.test@z.test>", "<y.test!x>", "<y.test!x@z.test>", "<!x@z.test>", "<%@z.test>", "<x%y.test>", "<x+y@z.test>", "<-x@z.test>", "<--@z.test>", "<|x@z.test>", "</x@z.test>", "<:include:/x@z.test>", "<x(c)@y.test>", "<(c)x@y.test>", "<x@y.test(c)>", "<x@y(c).test>", "<(c)>", "<x@(c)>", "Name <x@y.test>", "<Name <x@y.test>>", "<x@y.test> Name", "<x@y.test>Name", "<x@y.test>SIZE=1", "(c)<x@y.test>", "<x@y.test>(c)", "<x,y@z.test>", "<x@y.test,z@w.test>", "<x;y@z.test>", "<x:y@z.test>", "<x:y.test>", "<x@y.test;>", "<g:x@y.test;>", "<x@y:25>", "<x@[y.test]>", "<x@[y.test]:25>", "<x$y@z.test>", "<x`y@z.test>", "<x&y@z.test>", "<x'y@z.test>", "<x*@z.test>", "<x/y=z@w.test>", "<x=y@z.test>", "<x{y}@z.test>", "<x~y^@z.test>", "<x#y@z.test>", "<x?y@z.test>",
	"<\xc3\xbc@z.test>", "<x@\xc3\xbc.test>", "<\xff@z.test>", "<x\x01@z.test>", "<x\x7f@z.test>", "<x\t@z.test>", "<\tx@z.test>", "<x@z.test\t>",
	"<" + strings.Repeat("x", 64) + "@z.test>", "<" + strings.Repeat("x", 65) + "@z.test>", "<" + strings.Repeat("x", 300) + "@z.test>", "<x@" + strings.Repeat("y", 63) + ".test>", "<x@" + strings.Repeat("y", 64) + ".test>", "<x@" + strings.Repeat("y.", 130) + "test>", "<" + strings.Repeat("x", 1500) + "@z.test>",
	"<postmaster>", "<POSTMASTER>", "<postmaster@>", "<\"postmaster\">", "<Postmaster@[127.0.0.1]>", "<MAILER-DAEMON>", "<double-bounce>", "<x@localhost>", "<x@localhost.>", "<x@mail.example.test.>", "<x@mail.example.test..>", "<\\x@z.test>", "<x\\>", "<x@y.test\\>", "<x@y\\.test>", "<.>", "<.@z.test>", "<..@z.test>", "<x@.>", "<x@..>", "<\" \"@z.test>", "<\"x\ty\"@z.test>", "<x@y.test><z@w.test>", "<x@y.test>,<z@w.test>", "<,>", "<;>", "<:>", "<x@y.test.(c)>", "\"x\"@y.test", "\"x y\"@z.test", "x y@z.test", "x", "@", "@y.test", "", " ", "<",
}

// ambiguous are paths that Postfix takes, with what another program may read in
// another way, or what no address needs.
var ambiguous = []string{
	"(c)<x@y.test>", "< <x@y.test> >", "<(c)>", "<(c)x@y.test>", "<,>", "<:>", "<:include:/x@z.test>", "<;>", "<@x.test>", "<Name <x@y.test>>", "<\"x\".y@z.test>", "<\"x\ty\"@z.test>", "<\\x@z.test>", "<g:x@y.test;>", "<x(c)@y.test>", "<x:y.test>", "<x:y@z.test>", "<x@[127.0.0.1>", "<x@\"y.test\">", "<x@y(c).test>", "<x@y.test(c)>", "<x@y.test.(c)>", "<x@y.test;>", "<x@y.test>(c)", "<x@y@z.test>", "<x@y\\.test>", "<x\\ y@z.test>", "<x\\@y@z.test>", "<x\x01@z.test>", "<x\x7f@z.test>", "@y.test",
	"<" + strings.Repeat("x", 1500) + "@z.test>",
}

// TestOddPaths: odd addresses get the same replies to MAIL and RCPT.
func TestOddPaths(t *testing.T) {
	p := newPair(t, "smtpd_error_sleep_time = 0", "smtpd_hard_error_limit = 10000", "smtpd_soft_error_limit = 10000", "smtpd_recipient_limit = 10000",
		"relay_domains = static:all", "default_transport = discard:", "local_recipient_maps =")
	p.ours.Set(t, "mydestination = mail.example.test, localhost", "myorigin = mail.example.test")
	replies := map[string][]string{}
	for _, s := range p.sides(t) {
		s.start()
		for _, verb := range []string{"MAIL FROM:", "RCPT TO:"} {
			conn := testkit.Dial(t, s.addr)
			conn.Cmd("250", "EHLO c.test")
			if verb == "RCPT TO:" {
				conn.Cmd("250", "MAIL FROM:<>")
			}
			for _, path := range oddPaths {
				replies[verb+path] = append(replies[verb+path], strings.TrimSpace(conn.Cmd("", "%s", verb+path)))
				if verb == "MAIL FROM:" {
					conn.Cmd("250", "RSET")
				}
			}
			conn.Cmd("221", "QUIT")
		}
		s.stop()
	}
	for command, r := range replies {
		_, path, _ := strings.Cut(command, ":")
		switch odd := slices.Contains(ambiguous, path); {
		case odd && !strings.HasPrefix(r[1], "501 "):
			t.Errorf("%.80q is taken: %s", command, r[1])
		case !odd && r[0] != r[1]:
			t.Errorf("%.80q: %s, where Postfix answers %s", command, r[1], r[0])
		}
	}
}
