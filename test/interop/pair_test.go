package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// pair is Posthouse and Debian's Postfix with one queue directory, of which
// one at a time may run.
type pair struct {
	ours   *testkit.Instance
	theirs *refpostfix.Instance
}

// newPair makes both, with the same lines in both main.cf.
func newPair(t *testing.T, settings ...string) *pair {
	t.Helper()
	testkit.NeedRoot(t)
	refpostfix.Root(t)
	ours := testkit.New(t, testkit.Users("you", "ann", "bob"))
	theirs := refpostfix.New(t, `
mynetworks = 127.0.0.0/8
export_environment = TZ MAIL_CONFIG LANG LD_LIBRARY_PATH
myhostname = mail.example.test
mydomain = example.test
myorigin = $myhostname
mydestination = $myhostname, localhost
`)
	replace(t, filepath.Join(theirs.Dir, "etc/main.cf"), "queue_directory", filepath.Clean(ours.Spool("")), "mail_owner", "posthouse", "setgid_group", "postdrop")
	spool := filepath.Join(theirs.Dir, "spool")
	os.RemoveAll(spool)
	if err := os.Symlink(filepath.Clean(ours.Spool("")), spool); err != nil {
		t.Fatal(err)
	}
	chownLike(t, filepath.Join(theirs.Dir, "data"), filepath.Join(ours.Dir, "data"))
	ours.Set(t, settings...)
	theirs.Set(t, settings...)
	return &pair{ours: ours, theirs: theirs}
}

// replace gives settings in a main.cf other values.
func replace(t *testing.T, path string, namesAndValues ...string) {
	t.Helper()
	text := contents(t, path)
	for i := 0; i < len(namesAndValues); i += 2 {
		re := regexp.MustCompile("(?m)^" + namesAndValues[i] + " = .*$")
		text = re.ReplaceAllLiteralString(text, namesAndValues[i]+" = "+namesAndValues[i+1])
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// chownLike gives path the owner of another file.
func chownLike(t *testing.T, path, like string) {
	t.Helper()
	out, err := exec.Command("chown", "--reference="+like, path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
}

// tool runs a command of Debian's Postfix with its own configuration.
func (p *pair) tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := p.try(name, args...)
	if err != nil {
		t.Fatalf("Postfix's %s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func (p *pair) try(name string, args ...string) (string, error) {
	out, err := p.theirs.Command("/usr/sbin/"+name, append([]string{"-c", filepath.Join(p.theirs.Dir, "etc")}, args...)...).CombinedOutput()
	return string(out), err
}

// sendmail hands a message to Postfix's sendmail.
func (p *pair) sendmail(t *testing.T, text string, args ...string) {
	t.Helper()
	cmd := p.theirs.Command("/usr/sbin/sendmail", append([]string{"-C", filepath.Join(p.theirs.Dir, "etc")}, args...)...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("Postfix's sendmail: %v\n%s", err, out)
	}
}

// waitTheirs waits for a line in Postfix's log.
func (p *pair) waitTheirs(t *testing.T, expr string) []string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + expr)
	var m []string
	defer func() {
		if m == nil {
			t.Logf("Postfix's log:\n%s", p.theirs.Log())
		}
	}()
	testkit.Wait(t, "line in Postfix's log: "+expr, func() bool {
		m = re.FindStringSubmatch(p.theirs.Log())
		return m != nil
	})
	return m
}

// places returns "queue/id" of all messages and logs in the queue directory.
func (p *pair) places(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, q := range []string{"maildrop", "incoming", "active", "deferred", "hold", "corrupt", "bounce", "defer", "trace"} {
		filepath.WalkDir(p.ours.Spool(q), func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				list = append(list, q+"/"+d.Name())
			}
			return nil
		})
	}
	return list
}

// has fails the test for each text that is missing.
func has(t *testing.T, what, text string, wants ...string) {
	t.Helper()
	for _, w := range wants {
		if !strings.Contains(text, w) {
			t.Errorf("%s: no %q in\n%s", what, w, text)
		}
	}
}
