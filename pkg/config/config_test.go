package config

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parse makes a Config from text.
func parse(t *testing.T, text string, opts ...Option) *Config {
	t.Helper()
	m, err := ParseMain(strings.NewReader(text), "main.cf")
	if err != nil {
		t.Fatal(err)
	}
	lo := &net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)}
	opts = append([]Option{WithHost("mail.example.org", []net.Addr{lo})}, opts...)
	return New("/etc/posthouse", m, opts...)
}

func TestParseMain(t *testing.T) {
	c := parse(t, "# c\na = 1\n  b\n# in\n\n  c  \nname=\n  later\na2=x\na = 2\n")
	for _, test := range []struct{ name, value, pos string }{
		{"name", "later", "main.cf:8:3"}, {"a2", "x", "main.cf:9:4"}, {"a", "2", "main.cf:10:5"},
	} {
		e, ok := c.Entry(test.name)
		if !ok || e.Value != test.value || e.Pos.String() != test.pos {
			t.Errorf("%s: got %q at %s, want %q at %s", test.name, e.Value, e.Pos, test.value, test.pos)
		}
	}
	want := []string{"main.cf:10:1: overriding earlier entry: a=1  b  c"}
	var got []string
	for _, w := range c.Warnings() {
		got = append(got, w.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestParseMainErrors(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"no equals", "a = b\nmydomain x\n", "main.cf:2:1: missing '=' after attribute name"},
		{"no name", "\n=x\n", "main.cf:2:1: missing attribute name"},
		{"null byte", "a = b\x00\n", "main.cf:1:6: null byte"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseMain(strings.NewReader(test.text), "main.cf")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestExpand(t *testing.T) {
	c := parse(t, "foo = v\nempty =\nnested = <$foo>\ncompatibility_level = 3.6\nloop = $loop\n")
	for _, test := range []struct{ in, want string }{
		{"a$foo", "av"}, {"${foo}$(foo)", "vv"}, {"$nested", "<v>"}, {"a$$b", "a$b"}, {"$none.", "."},
		{"${foo?{x}:{y}}", "x"}, {"${none?{x}:{y}}", "y"}, {"${foo?t}${empty?t}", "t"}, {"${foo:t}${empty:u}", "u"},
		{"${foo?{ $foo }}", "v"}, {"${foo ? {a} : {b}}", "a"}, {"${foo?{a} :z}", "a"},
		{"${{a} == {a}}${{a} == {b}}", "true"}, {"${{2} < {10} ? {num} : {str}}", "num"},
		{"${{b} > {a}?y}", "y"}, {"${{3.9} <level {3.10} ? {y} : {n}}", "y"}, {"${{3.9} < {3.10} ? {y} : {n}}", "n"},
		{"${{$compatibility_level} <level {3.6} ? {old} : {new}}", "new"}, {"${{1} >=level {1}?y}${{2} !=level {2}?n}", "y"},
		{"$mydomain", "example.org"}, {"$myhostname", "mail.example.org"}, {"$mynetworks", "127.0.0.1/32"},
	} {
		got, err := c.Expand(test.in)
		if err != nil || got != test.want {
			t.Errorf("%q: got %q, %v, want %q", test.in, got, err, test.want)
		}
	}
	for _, bad := range []string{"$", "a$", "${", "${foo", "${}", "${f-o}", "$loop", "${{a} ~ {b}}", "${{x} <level {1}}", "${{a} == b}"} {
		if got, err := c.Expand(bad); err == nil {
			t.Errorf("%q: got %q, want an error", bad, got)
		}
	}
}

func TestFill(t *testing.T) {
	var v struct {
		Owner   string        `param:"mail_owner"`
		Biff    bool          `param:"biff"`
		Limit   int           `param:"smtpd_recipient_limit"`
		Size    int64         `param:"message_size_limit"`
		Timeout time.Duration `param:"smtpd_timeout"`
		Warn    time.Duration `param:"delay_warning_time"`
		Dest    []string      `param:"mydestination"`
		Inner   struct {
			Reject string `param:"smtpd_forbid_bare_newline"`
		}
	}
	c := parse(t, "biff = no\nmessage_size_limit = 5\ndelay_warning_time = 4\nmydestination = a, {b c} d\n", WithStress(true))
	if err := c.Fill(&v); err != nil {
		t.Fatal(err)
	}
	if v.Owner != "posthouse" || v.Biff || v.Limit != 1000 || v.Size != 5 || v.Timeout != 10*time.Second ||
		v.Warn != 4*time.Hour || !cmp.Equal(v.Dest, []string{"a", "b c", "d"}) || v.Inner.Reject != "normalize" {
		t.Errorf("got %+v", v)
	}
}

func TestFillErrors(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"bool", "a=b\nbiff =   maybe\n", "main.cf:2:10: biff = maybe: bad boolean value"},
		{"int", "smtpd_recipient_limit = 1x\n", "main.cf:1:25: smtpd_recipient_limit = 1x: bad numerical value"},
		{"range", "smtpd_recipient_limit = 0\n", "main.cf:1:25: smtpd_recipient_limit = 0: 0 is less than the minimum of 1"},
		{"time", "smtpd_timeout = 5y\n", "main.cf:1:17: smtpd_timeout = 5y: bad time value"},
		{"empty", "mail_owner =\n", "main.cf:1:13: mail_owner = : the value must not be empty"},
		{"enum", "smtpd_forbid_bare_newline = perhaps\n", "want one of"},
		{"expression", "mail_owner = ${x\n", "main.cf:1:14: mail_owner: truncated macro reference"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var v struct {
				Owner string        `param:"mail_owner"`
				Biff  bool          `param:"biff"`
				Limit int           `param:"smtpd_recipient_limit"`
				Time  time.Duration `param:"smtpd_timeout"`
				Bare  string        `param:"smtpd_forbid_bare_newline"`
			}
			err := parse(t, test.text).Fill(&v)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestTransport(t *testing.T) {
	c := parse(t, "default_destination_concurrency_limit = 7\nslow_destination_rate_delay = 2m\n")
	if n, err := c.TransportInt("smtp", "_destination_concurrency_limit"); n != 7 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := c.TransportInt("local", "_destination_concurrency_limit"); n != 2 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if d, err := c.TransportDuration("slow", "_destination_rate_delay"); d != 2*time.Minute || err != nil {
		t.Errorf("got %v, %v", d, err)
	}
}

func TestParseMaster(t *testing.T) {
	m, err := ParseMaster(strings.NewReader("# c\nsmtp inet n - y 60? 0 smtpd -o a=b -o { c = d e }\n  -v\n"+
		"foo unix - - - - - pipe\n  user=x argv=/bin/cat -o x {a b}\n"), "master.cf")
	if err != nil {
		t.Fatal(err)
	}
	want := []Service{
		{Name: "smtp", Type: "inet", Unpriv: true, Chroot: true, Wakeup: time.Minute, WakeupIfUsed: true, Program: "smtpd",
			Args: []string{"-v"}, Overrides: []Override{{"a", "b"}, {"c", "d e"}}, File: "master.cf", Line: 2,
			Fields:  [8]string{"smtp", "inet", "n", "-", "y", "60?", "0", "smtpd"},
			RawArgs: []string{"-o", "a=b", "-o", "c = d e", "-v"}},
		{Name: "foo", Type: "unix", Private: true, Unpriv: true, ChrootDefault: true, MaxProc: MaxProcDefault, Program: "pipe",
			Args: []string{"user=x", "argv=/bin/cat", "-o", "x", "a b"}, File: "master.cf", Line: 4,
			Fields:  [8]string{"foo", "unix", "-", "-", "-", "-", "-", "pipe"},
			RawArgs: []string{"user=x", "argv=/bin/cat", "-o", "x", "a b"}},
	}
	if diff := cmp.Diff(want, m.Services); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	m, err = ParseMaster(strings.NewReader("x unix - - n 9 - smtpd -vo a=${x?{b c}:{d}} -v -oe={ f } -- -o g=h\n"), "master.cf")
	if err != nil {
		t.Fatal(err)
	}
	s := m.Services[0]
	if diff := cmp.Diff([]Override{{"a", "${x?{b c}:{d}}"}, {"e", "{ f }"}}, s.Overrides); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"-v", "-v", "--", "-o", "g=h"}, s.Args); diff != "" || s.WakeupIfUsed {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"a b c", "x inet y - - - - smtpd", "x tcp - - - - - y", "x unix q - - - - y", "x unix - - - 5z - y",
		"x unix - - - - -2 y", "/x unix - - - - - y", "x unix - - - - - y -o", "x unix - - - - - y -o =3", "x unix - - - - - y { a",
		"99999 inet n - - - - y"} {
		if _, err := ParseMaster(strings.NewReader("\n"+bad+"\n"), "master.cf"); err == nil || !strings.HasPrefix(err.Error(), "master.cf:") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

// TestRepeatedService: as in Postfix, the last entry counts, and it is told.
func TestRepeatedService(t *testing.T) {
	m, err := ParseMaster(strings.NewReader("a unix - - - - - x\nb unix - - - - - y\na unix - - - - - z\na inet n - - - - y\n"), "master.cf")
	if err != nil {
		t.Fatal(err)
	}
	var programs []string
	for _, s := range m.Services {
		programs = append(programs, s.Program)
	}
	if diff := cmp.Diff([]string{"z", "y", "y"}, programs); diff != "" || len(m.All) != 4 {
		t.Errorf("%d entries, in force (-want +got):\n%s", len(m.All), diff)
	}
	want := `master.cf:3:1: duplicate master.cf entry for service "a" (unix) -- using the last entry`
	if len(m.Warnings) != 1 || m.Warnings[0].String() != want {
		t.Errorf("warnings %v", m.Warnings)
	}
}

func TestTable(t *testing.T) {
	c := parse(t, "compatibility_level = 3.6\n")
	for _, p := range Params() {
		if p.Doc == "" || p.Tier == 0 {
			t.Errorf("%s: no text or tier", p.Name)
		}
		if p.Type == Legacy {
			continue
		}
		if _, err := c.checked(&p); err != nil {
			t.Errorf("the default is not valid: %v", err)
		}
	}
	if n := len(Params()); n < 958 {
		t.Errorf("%d parameters, want at least 958", n)
	}
}
