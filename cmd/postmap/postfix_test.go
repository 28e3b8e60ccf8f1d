package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// reference runs the commands of an unpacked Debian Postfix.
type reference struct{ root, conf string }

const mainCF = `compatibility_level = 3.6
mail_owner = daemon
setgid_group = mail
inet_interfaces = 127.0.0.1
myhostname = h.test
`

// newReference finds the reference and makes a configuration for it.
func newReference(t *testing.T) *reference {
	t.Helper()
	root := os.Getenv("POSTHOUSE_POSTFIX_ROOT")
	if root == "" {
		root = "/var/cache/posthouse-test/postfix"
	}
	if _, err := os.Stat(root + "/usr/sbin/postmap"); err != nil {
		t.Skipf("SKIPPED: no reference Postfix in %s (set POSTHOUSE_POSTFIX_ROOT)", root)
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root, since Postfix loads its table types only by a dynamicmaps.cf of root's")
	}
	conf := t.TempDir()
	put(t, conf+"/main.cf", mainCF+"queue_directory = "+conf+"\ndata_directory = "+conf+
		"\nmeta_directory = "+conf+"\nshlib_directory = "+root+"/usr/lib/postfix\n")
	put(t, conf+"/dynamicmaps.cf", "cdb postfix-cdb.so dict_cdb_open mkmap_cdb_open\npcre postfix-pcre.so dict_pcre_open\n")
	put(t, conf+"/master.cf", "")
	return &reference{root, conf}
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// result is what a user sees of a command. Messages are compared apart.
type result struct {
	Out    string
	Status int
}

func (r *reference) run(t *testing.T, dir, in string, args ...string) (result, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.root+"/usr/sbin/"+args[0], append([]string{"-c", r.conf}, args[1:]...)...)
	cmd.Dir = dir
	lib := r.root + "/usr/lib/"
	cmd.Env = []string{"LD_LIBRARY_PATH=" + lib + "postfix:" + lib + "x86_64-linux-gnu:" + r.root + "/lib/x86_64-linux-gnu"}
	cmd.Stdin = strings.NewReader(in)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), cmd.ProcessState.ExitCode()}, errs.String()
}

// ours runs our own command within the test.
func ours(conf, in string, args ...string) (result, string) {
	var out, errs bytes.Buffer
	status := run(args[0], append([]string{"-c", conf}, args[1:]...), strings.NewReader(in), &out, &errs)
	return result{out.String(), status}, errs.String()
}

const mapText = "a b\nA c\n\"x y\" z\nfoo: bar\nnoval\n# c\nm  l1\n# mid\n  l2  \n\"unterm x\n"

const aliasText = `root:  admin
Joe:joe@x.test,  "a b"@c,d   e
"quoted name": |"/bin/x y z"
cmd: "|/bin/x \"y\" z", /file/x, :include:/etc/list
noval:
a@b: c
JOE: dup
paren: (comment) joe (other), fred
`

const message = "Subject: hello\n folded\nX: y\nContent-Type: multipart/mixed; boundary=\"b\"\n\npreamble\n--b\n" +
	"Content-Type: text/plain\nX-Part: 1\n\nbody one\n indented\n--b\nContent-Type: message/rfc822\n\n" +
	"Subject: nested\nTo: x\n\nnested body\n--b\nContent-Type: text/html\n\nlast\n--b--\nepilogue\n"

const rules = `/^a(b+)(c)?$/  got $1 ${2} $(1)x $$
/^x/i  case
!/^z/  notz
if /^z/
/^zz(.*)$/ zz=$1
if !/q/
/^zy/ zy no q
endif
/^z.*q/ has q
endif
`

// posix is expressions whose meaning, or rejection, is easily got wrong.
const posix = `/a)/ paren
/q|*b/ altstar
/(*c)/ parstar
/d{,2}e/ upto
/^*f/ caretstar
/g{1}{2}/ dbl
/h|/ hempty
/k{x}/ kx
/\*m\**/x bre
/^*n/x brestar
/\(o\|p\)\+/x gnu
/(r/ unmatched
/[s/ ubr
/t\/ tb
/(u)\1/ ref
/[[:foo:]]/ badclass
/[z-a]/ badrange
/v{2,1}/ badint
/w\{1/x badbre
/.*y$/ Y
/x\'/ quote
/^a\/b$/ slash
/[/]x/ cls
/a{2}/ two
/^(a|b)*c\.$/ grp
/a{/ brace
/x**/ star
/^\^$/ caret
/\<word\>/ word
/[[:digit:]]+-[a-c]/ dig
/(^|,)z($|,)/ anch
/a.*b/m nl
/^l2$/m line2
/^[^a-z]$/i neg
/\$5/ dollar
/[\n]q/ bsn
/é/ eacute
/+p/ plus
/()e/ empty
`

const subjects = "a)\nb\nqb\n*b\nc\n*c\ne\nddde\nf\n*f\ngg\nggg\nh\nkx\nk{x}\n*m\n*n\nn\nop\nuu\nu\ny\nx\nxx\nzz\n" +
	"a/b\n/x\n]x\naa\nabac.\na{\n^\na word b\nsword\n12-b\n,z,\nyz\nA\n7\n$5\n\\q\n\u00c9\n\u00e9\n+p\na\tb\nx*\nABAC.\n"

// session is run by both in directories of their own. Each step works on what
// the ones before it left.
var session = []struct {
	in   string
	args []string
}{
	{"", []string{"postmap", "map"}},
	{"", []string{"postmap", "-q", "A", "map"}},
	{"", []string{"postmap", "-f", "-q", "A", "map"}},
	{"", []string{"postmap", "-q", "nope", "map"}},
	{"a\nA\n\nnope\nfoo:\n", []string{"postmap", "-q", "-", "map"}},
	{"", []string{"postmap", "-s", "map"}},
	{"", []string{"postmap", "-d", "a", "map"}},
	{"", []string{"postmap", "-d", "a", "map"}},
	{"new val\nm dup\n", []string{"postmap", "-i", "map"}},
	{"m two\n", []string{"postmap", "-i", "-r", "map"}},
	{"m three\n", []string{"postmap", "-iw", "map"}},
	{"", []string{"postmap", "-s", "hash:map"}},
	{"new\nzz\n", []string{"postmap", "-d", "-", "map"}},
	{"k v\n", []string{"postmap", "-i", "hash:fresh"}},
	{"", []string{"postmap", "-q", "k", "fresh"}},
	{"", []string{"postmap", "-q", "a", "absent"}},
	{"", []string{"postmap", "absent"}},
	{"", []string{"postmap", "-d", "a", "absent"}},
	{"", []string{"postmap", "-F", "files"}},
	{"", []string{"postmap", "-s", "files"}},
	{"", []string{"postmap", "-F", "-s", "files"}},
	{"", []string{"postmap", "-F", "-q", "k", "files"}},
	{"", []string{"postmap", "bytes"}},
	{"", []string{"postmap", "-s", "bytes"}},
	{"", []string{"postmap", "-u", "bytes"}},
	{"", []string{"postmap", "-q", "k\xff", "bytes"}},
	{"", []string{"postmap", "-u", "-q", "k\xff", "bytes"}},
	{"", []string{"postmap"}},
	{"", []string{"postmap", "-z"}},
	{"", []string{"postmap", "-q", "a", "-d", "b", "map"}},
	{"", []string{"postmap", "-q", "a", "-s", "map"}},
	{"", []string{"postmap", "-hq", "a", "map"}},
	{"", []string{"postmap", "-m", "map"}},
	{"", []string{"postmap", "regexp:rules"}},
	{"", []string{"postmap", "-s", "static:a"}},
	{"", []string{"postmap", "foo:map"}},
	{message, []string{"postmap", "-hq", "-", "regexp:{{/.*/ X}}"}},
	{message, []string{"postmap", "-bq", "-", "regexp:{{/.*/ X}}"}},
	{message, []string{"postmap", "-hmq", "-", "regexp:{{/.*/ X}}"}},
	{message, []string{"postmap", "-bmq", "-", "regexp:{{/.*/ X}}"}},
	{message, []string{"postmap", "-hbmq", "-", "regexp:{{/.*/ X}}"}},
	{"abbc\nxX\nzz1\nzyq\nzy\nfoo\n", []string{"postmap", "-q", "-", "regexp:rules"}},
	{"abbc\nxX\nzz1\nzyq\nzy\nfoo\n", []string{"postmap", "-q", "-", "pcre:rules"}},
	{subjects, []string{"postmap", "-q", "-", "regexp:posix"}},
	{subjects, []string{"postmap", "-q", "-", "pcre:posix"}},
	{"", []string{"postmap", "-q", "a", "inline:{a=1,A=2}"}},
	{"", []string{"postmap", "-q", "a", "pipemap:{static:a,inline:{a=c}}"}},
	{"", []string{"postalias", "aliases"}},
	{"", []string{"postalias", "-s", "aliases"}},
	{"", []string{"postalias", "-q", "Joe", "hash:aliases"}},
	{"", []string{"postalias", "-q", "nope", "aliases"}},
	{"x: y\n", []string{"postalias", "-i", "aliases"}},
	{"", []string{"postalias", "-q", "x", "aliases"}},
	{"", []string{"postalias", "-d", "x", "aliases"}},
	{"", []string{"postalias"}},
}

func workDir(t *testing.T) string {
	dir := t.TempDir()
	put(t, dir+"/map", mapText)
	put(t, dir+"/aliases", aliasText)
	put(t, dir+"/rules", rules)
	put(t, dir+"/posix", posix)
	put(t, dir+"/files", "k map\n")
	put(t, dir+"/bytes", "k\xff v\nk2 v\xff\nk3 v\n")
	return dir
}

// answer is what the reference said to one step of the session.
type answer struct {
	result
	errs string
}

// ask runs the session with the reference. Steps that share a file stay in
// order; the groups run at once, since Postfix sleeps whenever it made a
// file.
func (r *reference) ask(t *testing.T) []answer {
	answers := make([]answer, len(session))
	groups := map[string][]int{}
	for i, s := range session {
		last := s.args[len(s.args)-1]
		groups[last[strings.LastIndex(last, ":")+1:]] = append(groups[last[strings.LastIndex(last, ":")+1:]], i)
	}
	dir := workDir(t)
	var wait sync.WaitGroup
	for _, steps := range groups {
		wait.Go(func() {
			for _, i := range steps {
				answers[i].result, answers[i].errs = r.run(t, dir, session[i].in, session[i].args...)
			}
		})
	}
	wait.Wait()
	return answers
}

// Both commands print the same and end with the same status. The order of
// listings is that of the index and differs.
func TestLikePostfix(t *testing.T) {
	ref := newReference(t)
	answers := ref.ask(t)
	t.Chdir(workDir(t))
	for i, s := range session {
		t.Run(strings.Join(s.args, " "), func(t *testing.T) {
			want, wantErr := answers[i].result, answers[i].errs
			got, gotErr := ours(ref.conf, s.in, s.args...)
			if slices.Contains(s.args, "-s") {
				got.Out, want.Out = sorted(got.Out), sorted(want.Out)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-postfix +ours):\n%s\npostfix: %s\nours: %s", diff, wantErr, gotErr)
			}
			// The number of messages is the same; their texts name files
			// that differ.
			if strings.Count(wantErr, "warning:") != strings.Count(gotErr, "warning:") && !strings.Contains(gotErr, "option") {
				t.Errorf("warnings differ\npostfix: %s\nours: %s", wantErr, gotErr)
			}
		})
	}
}

func sorted(s string) string {
	var lines []string
	for _, l := range strings.Split(s, "\n") {
		if !strings.HasPrefix(l, "YP_LAST_MODIFIED") {
			lines = append(lines, l)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Each side reads the index files of the other.
func TestIndexExchange(t *testing.T) {
	ref := newReference(t)
	dir := t.TempDir()
	var text strings.Builder
	for i := range 3000 {
		text.WriteString("user" + strings.Repeat("x", i%50) + "@d" + strings.Repeat("y", i%7) + " v" + strings.Repeat("z", i%300) + "\n")
	}
	for _, kind := range []string{"hash", "btree", "cdb"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			exchange(t, ref, kind, text.String())
		})
	}
	path := filepath.Join(dir, "ours")
	put(t, path, text.String())
	if r, errs := ours(ref.conf, "", "postmap", "-w", "hash:"+path); r.Status != 0 {
		t.Fatal(errs)
	}
	got, errs := ref.run(t, dir, "userxx@dyy\nnope\n", "postmap", "-q", "-", "cdb:"+path)
	if got.Status != 0 || strings.Count(got.Out, "\n") != 1 {
		t.Errorf("Postfix reads our index: %+v %s", got, errs)
	}
}

// exchange lets us read an index that Postfix made.
func exchange(t *testing.T, ref *reference, kind, text string) {
	dir := t.TempDir()
	path := filepath.Join(dir, kind)
	put(t, path, text)
	ref.run(t, dir, "", "postmap", "-w", kind+":"+path)
	got, errs := ours(ref.conf, "userxx@dyy\nnope\n", "postmap", "-q", "-", kind+":"+path)
	want, _ := ref.run(t, dir, "userxx@dyy\nnope\n", "postmap", "-q", "-", kind+":"+path)
	if want.Status != 0 {
		t.Fatal("the reference finds nothing")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-postfix +ours):\n%s%s", diff, errs)
	}
	if kind == "cdb" {
		return // Postfix cannot list it
	}
	theirs, _ := ref.run(t, dir, "", "postmap", "-s", kind+":"+path)
	list, _ := ours(ref.conf, "", "postmap", "-s", kind+":"+path)
	if theirs.Out != list.Out {
		t.Error("listings differ")
	}
}
