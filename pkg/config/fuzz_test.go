package config

import (
	"strings"
	"testing"
)

func FuzzMainCf(f *testing.F) {
	f.Add("a = b\n  c\n# d\nmydomain=$a\nmydestination = ${{$a} == {b} ? {x}:{y}}\n")
	f.Add("mydomain = $myhostname\nmyhostname = $mydomain\nmynetworks_style = $mynetworks\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMain(strings.NewReader(text), "main.cf")
		if err != nil {
			return
		}
		c := New("/etc", m)
		FindUsage(c, nil)
		for _, name := range append(c.Names(), "myhostname", "mydomain", "mynetworks", "relay_domains") {
			if e, ok := c.Entry(name); ok && (e.Line == 0 || strings.ContainsAny(e.Name, " \t\n=")) {
				t.Errorf("bad entry %+v", e)
			}
			if v, ok := c.Raw(name); ok {
				c.Expand(v)
			}
		}
	})
}

func FuzzMasterCf(f *testing.F) {
	f.Add("smtp inet n - y 60? 0 smtpd -o a=b -o { c = d e }\n  -v\n")
	f.Add("foo unix - n n - - pipe user=x argv={a b}\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMaster(strings.NewReader(text), "master.cf")
		if err != nil {
			return
		}
		for _, s := range m.Services {
			if s.Line == 0 || s.Program == "" || s.MaxProc < MaxProcDefault {
				t.Errorf("bad service %+v", s)
			}
		}
	})
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"$a", "${a?{b}:{c}}", "${{a} <level {3.6} ? {x} : {y}}", "$$$(a)", "${a:$b}", "${{$a}!={$b}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		values := map[string]string{"a": "1", "b": s, "c": "$a$a$a"}
		out, err := expandWith(s, func(name string) (string, bool) { v, ok := values[name]; return v, ok })
		if err == nil && len(out) > maxExpanded {
			t.Errorf("%d bytes", len(out))
		}
		references(s)
		SplitList(s)
	})
}
