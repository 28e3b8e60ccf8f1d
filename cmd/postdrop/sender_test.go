package main

import (
	"bytes"
	"os"
	"os/user"
	"strings"
	"testing"
)

func TestSenderRules(t *testing.T) {
	r := &senderRules{login: "joe", patterns: []string{"joe", "joe@here.test", "@joes.test", "<>"}, nullKey: "<>", delims: "+"}
	for sender, ok := range map[string]bool{
		"joe": true, "JOE@Here.Test": true, "joe+list@here.test": true, "joe+x": true, "any@joes.test": true, "": true,
		"jane": false, "joe@there.test": false, "joe@sub.joes.test": false, "joe-x@here.test": false, "<>": false, "@joes.test": true,
	} {
		if got := r.refuse(sender) == ""; got != ok {
			t.Errorf("%q: allowed %v", sender, got)
		}
	}
	r.patterns = []string{"*"}
	if why := r.refuse("any@where.test"); why != "" {
		t.Error(why)
	}
	r.patterns = nil
	if why := r.refuse("joe"); !strings.Contains(why, "user joe is not allowed to send as <joe>") {
		t.Errorf("%q", why)
	}
}

// TestReadSenderRules: the key is the login name, or the uid where there is none.
func TestReadSenderRules(t *testing.T) {
	p := params{LoginSenders: []string{"inline:{{root=root, @root.test}, {uid:4294967=lost@here.test}}"}, NullSender: "<>"}
	if u, err := user.LookupId("0"); err != nil || u.Username != "root" {
		t.Skip("SKIPPED: uid 0 is not root")
	}
	root, err := readSenderRules(p, t.TempDir(), 0)
	if err != nil || root.refuse("x@root.test") != "" || root.refuse("x@other.test") == "" {
		t.Errorf("%+v, %v", root, err)
	}
	lost, err := readSenderRules(p, t.TempDir(), 4294967)
	if err != nil || lost.refuse("lost@here.test") != "" || lost.refuse("root") == "" {
		t.Errorf("%+v, %v", lost, err)
	}
	p.LoginSenders = []string{"fail:x"}
	if _, err := readSenderRules(p, t.TempDir(), os.Getuid()); err == nil {
		t.Error("a table that fails permits all")
	}
}

// TestDeniedSender: nothing of a message with another's address is kept.
func TestDeniedSender(t *testing.T) {
	w := writer(t)
	defer w.Abort()
	c := &copier{w: w, warn: t.Logf, rules: &senderRules{login: "joe", patterns: []string{"joe"}}}
	if err := c.copy(bytes.NewReader(records("Sjane@here.test", "Rc@d", "M", "Nx", "X", "E")), 2048); err != nil || c.denied == "" {
		t.Errorf("%v, denied %q", err, c.denied)
	}
}
