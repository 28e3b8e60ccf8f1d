package imap

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/refdovecot"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestDovecot holds the same conversations with Debian's Dovecot, with the
// plugins that make it like us where it can be.
func TestDovecot(t *testing.T) {
	refdovecot.Need(t)
	eachScript(t, startDovecot)
}

const dovecotConfig = `
namespace inbox {
  separator = /
}
mail_plugins = quota acl zlib
protocol imap {
  mail_plugins = quota acl zlib imap_quota imap_acl imap_zlib
  imap_metadata = yes
}
mail_attribute_dict = file:%h/dovecot-attributes
imap_idle_notify_interval = 29m
plugin {
  acl = vfile
  quota = maildir:User quota
}
`

// dovecot is a peer.
type dovecot struct {
	t       *testing.T
	home    string
	extra   []string
	quota   string
	running *refdovecot.Instance
	n       int
}

func startDovecot(t *testing.T, s *script) peer {
	home, err := os.MkdirTemp("", "im")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	uid, gid := testkit.BoxOwner(t)
	d := &dovecot{t: t, home: home}
	for _, dir := range []string{"", "Maildir", "Maildir/cur", "Maildir/new", "Maildir/tmp"} {
		os.MkdirAll(filepath.Join(home, dir), 0o700)
		os.Chown(filepath.Join(home, dir), uid, gid)
	}
	for _, line := range s.lines {
		if value, ok := strings.CutPrefix(line, "dovecot-set "); ok {
			d.extra = append(d.extra, value)
		}
	}
	return d
}

func (d *dovecot) name() string { return "dovecot" }

func (d *dovecot) set(name, value string) {
	if name == "quota" {
		d.quota = value
	}
}

func (d *dovecot) deliver(text string) {
	d.t.Helper()
	uid, gid := testkit.BoxOwner(d.t)
	d.n++
	name := fmt.Sprintf("%d.M%dP1.host", 1700000000+d.n, d.n)
	tmp := filepath.Join(d.home, "Maildir/tmp", name)
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	at := time.Unix(int64(1700000000+d.n), 0)
	os.Chtimes(tmp, at, at)
	os.Chown(tmp, uid, gid)
	if err := os.Rename(tmp, filepath.Join(d.home, "Maildir/new", name)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *dovecot) dial() net.Conn {
	d.t.Helper()
	if d.running == nil {
		uid, gid := testkit.BoxOwner(d.t)
		extra := dovecotConfig + strings.Join(d.extra, "\n")
		if d.quota != "" {
			extra += fmt.Sprintf("\nplugin {\n  quota_rule = %s\n}\n", maildirQuota(d.quota))
		}
		d.running = refdovecot.Start(d.t, refdovecot.Options{UID: uid, GID: gid, Extra: extra, Users: map[string]refdovecot.User{
			"you@example.test": {Password: "secret", Home: d.home, MailDir: filepath.Join(d.home, "Maildir")}}})
	}
	c, err := net.Dial("tcp", d.running.IMAP)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	for one := []byte{0}; one[0] != '\n'; { // the greeting, and not a byte more
		if _, err := c.Read(one); err != nil {
			d.t.Fatalf("%v\n%s", err, d.running.Log())
		}
	}
	fmt.Fprint(c, "L LOGIN you@example.test secret\r\n")
	return c
}

// maildirQuota writes a quota of ours in Dovecot's way.
func maildirQuota(text string) string {
	rule := "*"
	for _, part := range strings.Split(text, ",") {
		if n, ok := strings.CutSuffix(part, "S"); ok {
			rule += ":storage=" + n + "B"
		} else if n, ok := strings.CutSuffix(part, "C"); ok {
			rule += ":messages=" + n
		}
	}
	return rule
}

var (
	timing     = regexp.MustCompile(` \(\d+\.\d+ \+ \d+\.\d+( \+ \d+\.\d+)? secs\)`)
	recent     = regexp.MustCompile(`^\\?\* (\\d\+?|\d+) RECENT$`)
	statusLine = regexp.MustCompile(`^(\S+ (?:OK|NO|BAD|BYE|PREAUTH)) ?(\[[^\]]*\])?.*$`)
	listLine   = regexp.MustCompile(`^(\* (?:LIST|LSUB) )\(([^)]*)\)(.*)$`)
	fetchLine  = regexp.MustCompile(`^(\* \d+ FETCH )\((.*)\)$`)
	flagList   = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	fieldList  = regexp.MustCompile(`BODY\[[^\]]*\]`)
	esearch    = regexp.MustCompile(`^(\* ESEARCH \([^)]*\)(?: UID)?) (.*)$`)
)

// ignored reports whether a line, or what is expected of one, is not compared.
func (d *dialog) ignored(line string) bool { return d.name() == "dovecot" && recent.MatchString(line) }

// same compares a line with what was expected.
func (d *dialog) same(got, want string) bool {
	return got == want || d.name() == "dovecot" && shape(got, want) == shape(want, want)
}

// match compares a line with an expression.
func (d *dialog) match(re *regexp.Regexp, got string) []string {
	m := re.FindStringSubmatch(got)
	if m != nil || d.name() != "dovecot" {
		return m
	}
	if f := fetchLine.FindStringSubmatch(got); f != nil {
		for _, order := range permutations(items(f[2])) {
			if m := re.FindStringSubmatch(f[1] + "(" + strings.Join(order, " ") + ")"); m != nil {
				return m
			}
		}
	}
	if s := statusLine.FindStringSubmatch(got); s != nil && s[2] == "" && strings.HasPrefix(re.String(), "^(?:"+s[1]+" ") {
		return make([]string, 1+re.NumSubexp())
	}
	return nil
}

// permutations returns all orders of up to five words.
func permutations(words []string) (all [][]string) {
	if len(words) < 2 || len(words) > 5 {
		return [][]string{words}
	}
	for i, w := range words {
		for _, rest := range permutations(slices.Delete(slices.Clone(words), i, i+1)) {
			all = append(all, append([]string{w}, rest...))
		}
	}
	return all
}

// unordered counts the lines that Dovecot sends in an order of its own.
func (d *dialog) unordered(lines []string) (n int) {
	for d.name() == "dovecot" && n < len(lines) && len(lines[n]) > 9 && lines[n][1:9] == "< * LIST" && lines[n][0] == lines[0][0] {
		n++
	}
	return n
}

func (d *dialog) anyOrder(lines []string) {
	d.t.Helper()
	var got, want []string
	for _, line := range lines {
		want = append(want, shape(line[3:], line[3:]))
		line := d.read(d.conn(line[:1]))
		got = append(got, shape(line, line))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		d.fail("got %q, want %q", got, want)
	}
}

// shape takes out of a line what has no meaning, as it is to be compared with
// want.
func shape(line, want string) string {
	if strings.HasPrefix(line, "+") {
		return "+"
	}
	if m := statusLine.FindStringSubmatch(line); m != nil {
		w := statusLine.FindStringSubmatch(want)
		if w == nil || w[2] == "" {
			return m[1]
		}
		return m[1] + " " + m[2]
	}
	if m := listLine.FindStringSubmatch(line); m != nil {
		return m[1] + sorted(strings.Fields(m[2])) + m[3]
	}
	if m := esearch.FindStringSubmatch(line); m != nil {
		return m[1] + sorted(items(m[2]))
	}
	line = flagList.ReplaceAllStringFunc(line, func(s string) string {
		return "FLAGS " + sorted(strings.Fields(s[len("FLAGS ("):len(s)-1]))
	})
	line = fieldList.ReplaceAllStringFunc(line, strings.ToUpper)
	if m := fetchLine.FindStringSubmatch(line); m != nil {
		return m[1] + sorted(items(m[2]))
	}
	return strings.TrimRight(line, " ")
}

func sorted(words []string) string {
	slices.Sort(words)
	return "(" + strings.Join(words, " ") + ")"
}

// items splits what is in the parentheses of a FETCH response: names with their
// values.
func items(text string) (out []string) {
	depth, quoted, value, from := 0, false, false, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' && (i == 0 || text[i-1] != '\\'):
			quoted = !quoted
		case quoted:
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			depth--
		case c == ' ' && depth == 0:
			if value {
				out = append(out, text[from:i])
				from = i + 1
			}
			value = !value
		}
	}
	return append(out, text[from:])
}
