package pam

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	good := Check{Service: "posthouse", Login: "ann@d.test", RemoteIP: "2001:db8::1", Password: "s e=cret\xff"}
	for name, change := range map[string]func(*Check){
		"": func(*Check) {}, "no address": func(c *Check) { c.RemoteIP = "" },
		"path": func(c *Check) { c.Service = "../su" }, "dot": func(c *Check) { c.Service = "." }, "no service": func(c *Check) { c.Service = "" },
		"NUL": func(c *Check) { c.Login = "a\x00b" }, "option": func(c *Check) { c.Login = "-a" }, "colon": func(c *Check) { c.Login = "a:b" },
		"no password": func(c *Check) { c.Password = "" }, "long": func(c *Check) { c.Password = strings.Repeat("x", maxPassword+1) },
		"line": func(c *Check) { c.RemoteIP = "1\n2" },
	} {
		c := good
		change(&c)
		right := name == "" || name == "no address"
		if err := c.Valid(); (err == nil) != right {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := Decode(c.Encode()); (err == nil) != right || right && got != c {
			t.Errorf("%s: encoded: %+v %v", name, got, err)
		}
		if name == "NUL" {
			continue // no attribute can have one
		}
		if got, err := ReadCheck(c.Attributes()); (err == nil) != right || right && got != c {
			t.Errorf("%s: attributes: %+v %v", name, got, err)
		}
	}
	for _, r := range []Result{OK, Failed, Expired, Temporary} {
		if ParseResult(r.String()) != r {
			t.Error(r)
		}
	}
	if ParseResult("") != Temporary || Result(0).String() != "temporary" {
		t.Error("an unknown result is not temporary")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("s\x00l\x00\x00p\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := Decode(b); err == nil && string(c.Encode()) != string(b) {
			t.Errorf("%q: %+v", b, c)
		}
	})
}
