package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/mime"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// noted is a message as the scanner of all other programs sees it.
type noted []string

// Header implements mime.Handler.
func (n *noted) Header(_ mime.Class, text []byte) error {
	*n = append(*n, strings.Split(string(text), "\n")...)
	return nil
}

// HeaderEnd implements mime.Handler.
func (n *noted) HeaderEnd() error { return nil }

// Body implements mime.Handler.
func (n *noted) Body(line []byte, _ bool) error {
	*n = append(*n, string(line))
	return nil
}

// TestContent sends messages as they come, which must be queued as a scanner
// sees them.
func TestContent(t *testing.T) {
	h := newHouse(t, "submission_groom = no", "submission_authorship = off", "header_size_limit = 5000", "smtpd_hard_error_limit = 1000")
	c := h.login(joe)
	long := strings.Repeat("x", 4900)
	for _, message := range []string{
		"From: a@b.test\nSubject: x\n\nbody\n\nmore\n",
		"Subject: folded\n twice\n\tso\n \nTo: y\n\nFrom: body\n",
		"X-Long: " + long + "\n folded\nTo: y\n\n" + long + long + "\n",
		"X-Long: y\n " + long + "\nX-Longer: " + long + "\n\n",
		"Subject: no body\n",
		"Subject: no body\n\n",
		"\nbody only\n",
		" blank first\nsecond\n",
		"body at once\nSubject: x\n",
		"Subject : blanks\t:\n\n",
		"",
	} {
		want := noted{}
		lines := strings.Split(strings.TrimSuffix(message, "\n"), "\n")
		s := mime.NewScanner(&want, mime.Limits{Plain: true})
		for _, l := range lines {
			s.Line([]byte(l), true)
		}
		s.End()
		c.begin("joe@here.test")
		for _, l := range lines {
			if _, err := c.conn.Write([]byte(l + "\r\n")); err != nil {
				t.Fatal(err)
			}
		}
		c.want("250", c.cmd("."))
		list := h.queue()
		if len(list) != 1 {
			t.Fatalf("%.60q: %d messages", message, len(list))
		}
		got := list[0].lines
		for len(got) > 0 && (strings.HasPrefix(got[0], "Received:") || strings.HasPrefix(got[0], "\t")) {
			got = got[1:]
		}
		if !slices.Equal(got, want) {
			t.Errorf("%.60q:\nqueued  %.200q\nscanned %.200q", message, got, []string(want))
		}
	}
	c.want("552 5.3.4 Error: the header field x-long is longer", c.send("joe@here.test", "X-Long: "+long+"\n "+long+"\n\n"))
	c.want("552 5.3.4 Error: the header field x-long is longer", c.send("joe@here.test", "X-Long: "+long+long))
	c.want("552 5.3.4 Error: the header of the message is too long", c.send("joe@here.test", strings.Repeat("X: y\n", maxFields+1)+"\n"))
}

// TestStrayCR has a CR in a body that goes past all stages.
func TestStrayCR(t *testing.T) {
	h := newHouse(t)
	c := h.login(joe)
	c.begin("joe@here.test")
	if _, err := c.conn.Write([]byte("From: joe@here.test\r\nDate: x\r\n\r\nfirst\r\nse\rcond\r\nthird\r\n")); err != nil {
		t.Fatal(err)
	}
	c.want("250", c.cmd("."))
	list := h.queue()
	if len(list) != 1 {
		t.Fatalf("%d messages", len(list))
	}
	if got := list[0].lines; !slices.Equal(got[len(got)-4:], []string{"", "first", "se cond", "third"}) {
		t.Errorf("%q", got)
	}
}

// TestSure has two records of one user.
func TestSure(t *testing.T) {
	var k sure
	first, second := &authclient.User{Login: "a@b.test"}, &authclient.User{Login: "a@b.test"}
	f, other := &field{name: "from", text: []byte("From: a@b.test")}, &field{name: "from", text: []byte("From: A <a@b.test>")}
	k.found(nil, "a@b.test")
	k.wrote(nil, f, "a@b.test")
	if k.owns(nil, "a@b.test") || k.authorOf(nil, f) != "" {
		t.Error("something is known of nobody")
	}
	k.found(first, "a@b.test")
	k.wrote(first, f, "a@b.test")
	if !k.owns(first, "a@b.test") || k.authorOf(first, f) != "a@b.test" {
		t.Error("what was found is not known")
	}
	if k.owns(first, "c@b.test") || k.owns(first, "") || k.owns(second, "a@b.test") || k.authorOf(second, f) != "" || k.authorOf(first, other) != "" {
		t.Error("more is known than was found")
	}
	k.wrote(first, &field{name: "from", text: make([]byte, maxSureField+1)}, "a@b.test")
	if k.authorOf(first, f) == "" {
		t.Error("a long field is kept")
	}
	k.found(second, "d@b.test")
	if k.owns(first, "a@b.test") || k.authorOf(second, f) != "" || k.authorOf(first, f) != "" {
		t.Error("an old record is still good")
	}
}

// TestOwnershipEnds takes an address away from a user who is sending.
func TestOwnershipEnds(t *testing.T) {
	h := newHouse(t)
	c := h.login(joe)
	const message = "From: Sales <sales@here.test>\n\nx\n"
	for range 3 {
		c.want("250", c.send("sales@here.test", message))
	}
	c.want("553 5.7.1", c.send("sales@here.test", "From: other@here.test\n\nx\n"))
	poor := joe
	poor.SendAs = nil
	h.auth.Set(poor)
	testkit.Wait(t, "the address is taken away", func() bool {
		defer c.cmd("RSET")
		return strings.HasPrefix(c.cmd("MAIL FROM:<sales@here.test>"), "553 5.7.1")
	})
	c.want("553 5.7.1", c.send("joe@here.test", message))
}
