package maildir

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

func write(text string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, text); return err }
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDeliverMakesMaildir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "example.test", "you")
	d := &Deliverer{FS: new(safefile.FS), Host: "a/b:c"}
	name, err := d.Deliver(dir, write("hello\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^new/\d+\.V[0-9a-f]+I[0-9a-f]+M\d+\.a\\057b\\072c,S=6,W=7$`).MatchString(name) {
		t.Errorf("name %q", name)
	}
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(got) != "hello\n" {
		t.Errorf("content %q, %v", got, err)
	}
	if left := files(t, filepath.Join(dir, "tmp")); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
	if n := d.FS.Counters(); n.FileSyncs != 1 {
		t.Errorf("file syncs: %+v", n)
	}
}

// TestFailuresLeaveNothing fails each operation in turn: there is an error,
// and neither tmp nor new has a file.
func TestFailuresLeaveNothing(t *testing.T) {
	broken := errors.New("broken")
	for _, op := range []safefile.Op{safefile.OpCreate, safefile.OpSync, safefile.OpClose, safefile.OpRename, safefile.OpSyncDir} {
		t.Run(string(op), func(t *testing.T) {
			dir := t.TempDir()
			if err := (&Deliverer{FS: new(safefile.FS)}).Make(dir); err != nil {
				t.Fatal(err)
			}
			fs := &safefile.FS{Fault: func(o safefile.Op, _ string) error {
				if o == op {
					return broken
				}
				return nil
			}}
			d := &Deliverer{FS: fs, Host: "h"}
			if _, err := d.Deliver(dir, write("x\n")); !errors.Is(err, broken) {
				t.Errorf("error %v", err)
			}
			for _, sub := range []string{"tmp", "new"} {
				if left := files(t, filepath.Join(dir, sub)); len(left) != 0 {
					t.Errorf("left in %s: %v", sub, left)
				}
			}
		})
	}
}

func TestRefusesLinkedParts(t *testing.T) {
	for _, sub := range []string{"new", "tmp"} {
		t.Run(sub, func(t *testing.T) {
			dir, other := t.TempDir(), t.TempDir()
			d := &Deliverer{FS: new(safefile.FS), Host: "h"}
			if err := d.Make(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(dir, sub)); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(other, filepath.Join(dir, sub)); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Deliver(dir, write("x\n")); !errors.Is(err, safefile.ErrUnsafe) {
				t.Errorf("error %v", err)
			}
			if left := files(t, other); len(left) != 0 {
				t.Errorf("written through the link: %v", left)
			}
		})
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("1.x.h,S=5,W=6:2,FS")
	f.Fuzz(func(t *testing.T, name string) {
		n := ParseName(name)
		if n.Plain && n.Info != "" && n.Base+":2,"+n.Info != name {
			t.Errorf("%q is %+v", name, n)
		}
		if s, w := Sizes(n.Base); s < -1 || w < -1 || Seconds(n.Base) < 0 {
			t.Errorf("%q: %d, %d", name, s, w)
		}
	})
}
