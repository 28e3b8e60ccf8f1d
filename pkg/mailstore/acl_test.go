package mailstore

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSharedFolders(t *testing.T) {
	bobRoot, annRoot := newRoot(t), newRoot(t)
	bob := openWith(t, bobRoot, Options{User: "bob"})
	for _, err := range []error{bob.Create("Team"), bob.Create("Private")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	appendTo(t, bob, "Team", 1, 0)
	ann := openWith(t, annRoot, Options{User: "ann", Trees: []Tree{{Prefix: "shared/bob", Root: bobRoot, Owner: "bob"}}})
	names := func() string {
		list, err := ann.List()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, f := range list {
			if !f.NoSelect {
				out = append(out, f.Name)
			}
		}
		return strings.Join(out, " ")
	}
	const team = "shared/bob/Team"
	if got := names(); got != "INBOX" {
		t.Errorf("without rights: %s", got)
	}
	if _, err := ann.Mailbox(team, true); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("without rights: %v", err)
	}
	if err := ann.Create(team + "/x"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("create without rights: %v", err)
	}
	set := func(mode byte, letters string) {
		t.Helper()
		r, err := ParseRights(letters)
		if err != nil {
			t.Fatal(err)
		}
		if err := bob.SetACL("Team", "ann", mode, r); err != nil {
			t.Fatal(err)
		}
	}
	set(0, "lr")
	if got := names(); got != "INBOX "+team {
		t.Errorf("with lr: %s", got)
	}
	m := selectBox(t, ann, team)
	if !m.ReadOnly() || m.Len() != 1 {
		t.Errorf("read-only %v, %d messages", m.ReadOnly(), m.Len())
	}
	if _, err := ann.ACL(team); !errors.Is(err, ErrNoPermission) {
		t.Errorf("ACL without a: %v", err)
	}
	set('+', "sit")
	m = selectBox(t, ann, team)
	if _, err := m.Store(StoreRequest{UIDs: []uint32{1}, Op: AddFlags, Flags: Seen | Flagged}); err != nil {
		t.Error(err)
	}
	syncBox(t, m)
	if got := show(t, m); got != "1[S ]1" {
		t.Errorf("view %s", got)
	}
	if _, err := m.Expunge([]uint32{1}, true); !errors.Is(err, ErrNoPermission) {
		t.Errorf("expunge: %v", err)
	}
	if a := appendTo(t, ann, team, 2, Seen|Draft, "word"); a.UID != 2 {
		t.Errorf("%+v", a)
	}
	if got := show(t, selectBox(t, bob, "Team")); got != "1[S ]1 2[S ]2" {
		t.Errorf("without w: %s", got)
	}
	set('-', "r")
	if r, err := ann.MyRights(team); err != nil || r.String() != "lsit" {
		t.Errorf("%v, %v", r, err)
	}
	list, err := bob.ACL("Team")
	if err != nil || len(list) != 2 || list[0].Identifier != "bob" || list[0].Rights != RightsAll || list[1].Rights.String() != "lsit" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := bob.SetACL("Team", "bob", 0, RightLookup); err != nil {
		t.Fatal(err)
	}
	if r, _ := bob.MyRights("Team"); r.String() != "la" {
		t.Errorf("the owner has %v", r)
	}
	if err := bob.DeleteACL("Team", "bob"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"anyone", "-ann"} {
		if err := bob.SetACL("Team", id, 0, RightLookup|RightRead); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := ann.MyRights(team); r.String() != "sit" {
		t.Errorf("with a negative entry: %v, %v", r, err)
	}
	if err := bob.Create("Team/Sub"); err != nil {
		t.Fatal(err)
	}
	if list, err := bob.ACL("Team/Sub"); err != nil || len(list) != 4 {
		t.Errorf("inherited: %+v, %v", list, err)
	}
}

func TestMetadata(t *testing.T) {
	root := newRoot(t)
	s := openWith(t, root, Options{User: "ann"})
	if err := s.Create("A"); err != nil {
		t.Fatal(err)
	}
	set := func(name string, pairs ...string) error {
		var list []Annotation
		for i := 0; i < len(pairs); i += 2 {
			a := Annotation{Name: pairs[i], Value: []byte(pairs[i+1])}
			if pairs[i+1] == "NIL" {
				a.Value = nil
			}
			list = append(list, a)
		}
		return s.SetMetadata(name, list)
	}
	get := func(name string) string {
		list, err := s.Metadata(name)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, a := range list {
			out = append(out, a.Name+"="+string(a.Value))
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	for _, err := range []error{
		set("A", "/private/Comment", "x\x00\r\ny", "/shared/comment", ""), set("", "/private/vendor/x/token", "t"),
		set("INBOX", "/shared/a", "1", "/shared/b", "2"), set("INBOX", "/shared/A", "NIL"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if a, b, c := get("A"), get(""), get("INBOX"); a != "/private/comment=x\x00\r\ny /shared/comment=" || b != "/private/vendor/x/token=t" || c != "/shared/b=2" {
		t.Errorf("%q, %q, %q", a, b, c)
	}
	for want, err := range map[error]error{
		ErrMetadataName: set("A", "comment", "x"), ErrMetadataSize: set("A", "/shared/x", strings.Repeat("x", MaxMetadata+1)), ErrNoMailbox: set("none", "/shared/x", "x"),
	} {
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	other := openWith(t, newRoot(t), Options{User: "bob", Trees: []Tree{{Prefix: "ann", Root: root, Owner: "ann"}}})
	if err := s.SetACL("A", "bob", 0, RightLookup|RightRead); err != nil {
		t.Fatal(err)
	}
	if list, err := other.Metadata("ann/A"); err != nil || len(list) != 1 || list[0].Name != "/shared/comment" {
		t.Errorf("somebody else sees %+v, %v", list, err)
	}
	if err := other.SetMetadata("ann/A", []Annotation{{"/shared/comment", nil}}); !errors.Is(err, ErrNoPermission) {
		t.Errorf("somebody else: %v", err)
	}
	if left, _ := filepath.Glob(root + "/.A/posthouse-root.lock"); len(left) > 0 {
		t.Error("a lock of the root in a folder")
	}
}

// TestRenameWithChildren: who renames a folder takes those below it along, and
// needs the right to on each of them, seen or not.
func TestRenameWithChildren(t *testing.T) {
	root, shared := newRoot(t), newRoot(t)
	bob := openWith(t, shared, Options{User: "bob"})
	for _, name := range []string{"INBOX", "Team", "Team/Open", "Team/Closed", "Teamwork"} {
		if err := bob.Create(name); err != nil && !errors.Is(err, ErrExists) {
			t.Fatal(err)
		}
		if err := bob.SetACL(name, "ann", 0, RightsAll); err != nil {
			t.Fatal(err)
		}
	}
	ann := openWith(t, root, Options{User: "ann", Trees: []Tree{{Prefix: "shared", Root: shared, Owner: "bob"}}})
	exists := func(want string, names ...string) {
		t.Helper()
		for _, name := range names {
			if p, err := bob.place(name); err != nil || p.exists() != (want == "there") {
				t.Errorf("%s is not %s (%v)", name, want, err)
			}
		}
	}
	for _, rights := range []Rights{RightsAll &^ RightDeleteMailbox, 0} {
		if err := bob.SetACL("Team/Closed", "ann", 0, rights); err != nil {
			t.Fatal(err)
		}
		if err := ann.Rename("shared/Team", "shared/Taken"); !errors.Is(err, ErrNoPermission) {
			t.Errorf("with %v below it: %v", rights, err)
		}
		exists("there", "Team", "Team/Open", "Team/Closed")
	}
	if err := bob.SetACL("Team/Closed", "ann", 0, RightDeleteMailbox); err != nil {
		t.Fatal(err)
	}
	if err := ann.Rename("shared/Team", "shared/Taken"); err != nil {
		t.Errorf("with the right to: %v", err)
	}
	exists("there", "Taken", "Taken/Open", "Taken/Closed", "Teamwork")
	exists("gone", "Team", "Team/Open", "Team/Closed")
}
