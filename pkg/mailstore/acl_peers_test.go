package mailstore

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPeersACL: who could read a folder at Dovecot or Courier can here, until
// somebody changes the rights; the earlier server's file stays as it was.
func TestPeersACL(t *testing.T) {
	root, shared := newRoot(t), newRoot(t)
	bob := openWith(t, shared, Options{User: "bob"})
	files := map[string]string{
		"Dovecot": "owner lrwstipekxa\nuser=ann lrs :unknown\n\"user=a b\" l\ngroup=staff lr\n-user=eve lr\nauthenticated l\nnonsense\nuser=zed ?\n",
		"Closed":  "owner lrwstipekxa\nuser=ann lrs\nanyone lr\n-group=students lr\n",
		"Courier": "owner aceilrstwx\nuser=ann lrsc\nadministrators aceilrstwx\nanyone l\n",
	}
	for name, text := range files {
		if err := bob.Create(name); err != nil {
			t.Fatal(err)
		}
		file := map[string]string{"Courier": fileCourierACL}[name]
		if file == "" {
			file = fileDovecotACL
		}
		if err := os.WriteFile(filepath.Join(shared, "."+name, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	as := func(user string) *Store {
		return openWith(t, root, Options{User: user, Trees: []Tree{{Prefix: "shared", Root: shared, Owner: "bob"}}})
	}
	for _, tc := range []struct{ user, folder, want string }{
		{"ann", "Dovecot", "lrs"}, {"a b", "Dovecot", "l"}, {"dan", "Dovecot", "l"}, {"eve", "Dovecot", ""}, {"zed", "Dovecot", "l"},
		{"ann", "Courier", "lrskx"}, {"ann", "Closed", ""}, {"dan", "Closed", ""}, {"dan", "Courier", "l"},
	} {
		r, err := as(tc.user).MyRights("shared/" + tc.folder)
		if r.String() != tc.want || (err != nil) != (tc.want == "") {
			t.Errorf("%s has %q in %s, want %q (%v)", tc.user, r, tc.folder, tc.want, err)
		}
	}
	if r, err := bob.MyRights("Dovecot"); r != RightsAll || err != nil {
		t.Errorf("the owner has %v, %v", r, err)
	}
	if err := bob.SetACL("Dovecot", "ann", '+', RightWrite); err != nil {
		t.Fatal(err)
	}
	if r, _ := as("ann").MyRights("shared/Dovecot"); r.String() != "lrsw" {
		t.Errorf("after a change ann has %v", r)
	}
	if r, _ := as("a b").MyRights("shared/Dovecot"); r.String() != "l" {
		t.Errorf("after a change the others have %v", r)
	}
	text, err := os.ReadFile(filepath.Join(shared, ".Dovecot", fileDovecotACL))
	if err != nil || string(text) != files["Dovecot"] {
		t.Errorf("Dovecot's file: %q, %v", text, err)
	}
}

// FuzzPeerACL reads lines of any content.
func FuzzPeerACL(f *testing.F) {
	for _, s := range []string{"owner lr", "-user=x lrs :y", `"user=a b" l`, "anyone", `"`, "-", "user= l"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if e, ok := parsePeerACL(line); ok && (e.Identifier == "" || e.Rights&^RightsAll != 0) {
			t.Errorf("%q gives %+v", line, e)
		}
	})
}
