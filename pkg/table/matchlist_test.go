package table

import (
	"context"
	"path/filepath"
	"testing"
)

func TestDomainList(t *testing.T) {
	file := filepath.Join(t.TempDir(), "list")
	write(t, file, "# comment\nfile.example other.example\n!not.example\n")
	tests := []struct {
		list, name string
		parent     bool
		want       bool
	}{
		{"example.com", "Example.COM", false, true},
		{"example.com", "a.example.com", false, false},
		{"example.com", "a.example.com", true, true},
		{"example.com", "badexample.com", true, false},
		{".example.com", "a.example.com", false, true},
		{".example.com", "example.com", false, false},
		{"!a.example.com, .example.com", "a.example.com", false, false},
		{"!a.example.com, .example.com", "b.example.com", false, true},
		{file, "other.example", false, true},
		{"!" + file, "file.example", false, false},
		{file, "none.example", false, false},
		{"inline:{example.com=x}", "a.example.com", true, true},
		{"inline:{example.com=x}", "a.example.com", false, false},
		{"inline:{.example.com=x}", "b.a.example.com", false, true},
		{"regexp:{{/^example.com$/ x}}", "a.example.com", true, false},
		{"static:x", "anything", false, true},
		{"", "example.com", false, false},
	}
	for _, tt := range tests {
		l, err := NewDomainList([]string{tt.list}, ListOptions{MatchParent: tt.parent})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := l.Match(context.Background(), tt.name); got != tt.want || err != nil {
			t.Errorf("%s in %q (parent %v): %v %v", tt.name, tt.list, tt.parent, got, err)
		}
		l.Close()
	}
}

func TestHostList(t *testing.T) {
	tests := []struct {
		list, name, addr string
		want, fails      bool
	}{
		{"127.0.0.0/8 [::1]/128 [2001:db8::]/32", "x", "127.1.2.3", true, false},
		{"127.0.0.0/8 [::1]/128 [2001:db8::]/32", "x", "2001:db8::5", true, false},
		{"127.0.0.0/8 [::1]/128 [2001:db8::]/32", "x", "::1", true, false},
		{"127.0.0.0/8", "x", "128.0.0.1", false, false},
		{"!10.0.0.1, 10.0.0.0/8", "x", "10.0.0.1", false, false},
		{"!10.0.0.1, 10.0.0.0/8", "x", "10.0.0.2", true, false},
		{"mail.example.com", "mail.example.com", "10.0.0.1", true, false},
		{"[10.0.0.1]", "x", "10.0.0.1", true, false},
		{"2001:db8::/32", "x", "2001:db8::1", true, false},
		{"10.0.0.1/8", "x", "10.0.0.1", false, true},
		{"10.0.0.0/33", "x", "10.0.0.1", false, true},
		{"cidr:{{10.0.0.0/8 ok}}", "x", "10.0.0.1", true, false},
		{"fail:x", "x", "10.0.0.1", false, true},
		{"10.0.0.0/8", "unknown", "not an address", false, false},
	}
	for _, tt := range tests {
		l, err := NewHostList([]string{tt.list}, ListOptions{Name: "mynetworks"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Match(context.Background(), tt.name, tt.addr)
		if got != tt.want || (err != nil) != tt.fails {
			t.Errorf("%s[%s] in %q: %v %v", tt.name, tt.addr, tt.list, got, err)
		}
		l.Close()
	}
}

func TestListErrors(t *testing.T) {
	for _, list := range []string{"!", "/nonexistent", "foo:x", "{a"} {
		if l, err := NewStringList([]string{list}, ListOptions{}); err == nil {
			t.Errorf("%q accepted", list)
			l.Close()
		}
	}
	loop := filepath.Join(t.TempDir(), "loop")
	write(t, loop, loop+"\n")
	if _, err := NewStringList([]string{loop}, ListOptions{}); err == nil {
		t.Error("loop of files accepted")
	}
}
