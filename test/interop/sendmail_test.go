package interop

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// outcome is what a run of a command leaves behind.
type outcome struct {
	Status int
	Stdout string
	Stderr string
	Queued string // the records of what it put into maildrop
}

// run runs a prepared command and collects its outcome; what is in maildrop is
// taken out.
func (p *pair) run(t *testing.T, cmd *exec.Cmd, input string) outcome {
	t.Helper()
	var o, e bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &o, &e
	err := cmd.Run()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), p.plain(o.String()), p.plain(e.String()), p.maildrop(t)}
}

// plain takes out of a text what differs between the two by nature.
func (p *pair) plain(text string) string {
	for _, r := range []struct{ expr, to string }{
		{regexp.QuoteMeta(p.theirs.Command("").Path), ""},
		{`\S*/(s?bin|libexec|usr/lib/postfix/sbin)/`, "BIN/"},
		{`\b[0-9A-F]{9,12}\b`, "ID"},
		{`no such file or directory`, "No such file or directory"}, // Go's errors have no capitals
		{`Connect to the Post(fix|house) showq`, "Connect to the SUITE showq"},
		{`ESMTP Post(fix|house)`, "ESMTP SUITE"},
		{`(?m)^((?:sendmail|mailq): (?:invalid|option) .*\n)+`, "$1"}, // Postfix looks twice
	} {
		text = regexp.MustCompile(r.expr).ReplaceAllString(text, r.to)
	}
	for _, dir := range []string{p.theirs.Dir, p.ours.Dir} {
		text = strings.ReplaceAll(text, dir, "DIR")
	}
	return text
}

// maildrop returns the records of the messages in maildrop and removes them.
func (p *pair) maildrop(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	dir := p.ours.Spool("maildrop")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		r := queue.NewRecordReader(f)
		for {
			rec, err := r.Next()
			if err != nil {
				break
			}
			if rec.Type != queue.RecTime {
				fmt.Fprintf(&b, "%c %s\n", rec.Type, rec.Data)
			}
		}
		f.Close()
		os.Remove(f.Name())
	}
	return b.String()
}

// tooBig is beyond the default of message_size_limit.
var tooBig = "Subject: big\n\n" + strings.Repeat(strings.Repeat("x", 79)+"\n", 130_000)

// sendmailCases are command lines; "MSG" stands for a message on standard
// input where nothing else is said.
var sendmailCases = []struct {
	args  string
	input string
	why   string // differs, and why
}{
	{args: "-f a@a.test -r b@b.test r@c.test"},
	{args: "-r a@a.test -f b@b.test r@c.test"},
	{args: "-f a@a.test -f b@b.test r@c.test"},
	{args: "-f a@a.test r@c.test", input: tooBig, why: "postdrop says it too"},
	{args: "r@c.test", input: tooBig, why: "postdrop says it too"},
	{args: "-bh r@c.test"},
	{args: "-bh"},
	{args: "-bH"},
	{args: "-bH r@c.test"},
	{args: "-q1h"},
	{args: "-q30m r@c.test"},
	{args: "-q"},
	{args: "-q r@c.test"},
	{args: "-qI"},
	{args: "-qIZZZ", why: "root needs no flush service"},
	{args: "-qI0123456789", why: "root needs no flush service"},
	{args: "-qR"},
	{args: "-qRexample.test", why: "only the flush service knows its domains"},
	{args: "-qRexample.test r@c.test"},
	{args: "-qS"},
	{args: "-qSx"},
	{args: "-qf"},
	{args: "-qp"},
	{args: "-qGx"},
	{args: "-q!Ix"},
	{args: "-bm r@c.test"},
	{args: "-bm"},
	{args: ""},
	{args: "-bx r@c.test"},
	{args: "-b"},
	{args: "-bt"},
	{args: "-bD r@c.test"},
	{args: "-ba r@c.test"},
	{args: "-bv"},
	{args: "-bv r@c.test"},
	{args: "-bv r@c.test s@d.test"},
	{args: "-bv -f x@y.test r@c.test"},
	{args: "-bv -N never r@c.test"},
	{args: "-bv -R hdrs r@c.test"},
	{args: "-bv -V id r@c.test"},
	{args: "-bv -v r@c.test"},
	{args: "-bv -t r@c.test"},
	{args: "-v r@c.test"},
	{args: "-v -v r@c.test", why: "what programs say for their programmers"},
	{args: "-v -v -v r@c.test", why: "what programs say for their programmers"},
	{args: "-vv r@c.test", why: "what programs say for their programmers"},
	{args: "-v -f <> r@c.test"},
	{args: "-Xlog r@c.test"},
	{args: "-X log r@c.test"},
	{args: "-XV -f a@b.test r@c.test"},
	{args: "-XV+= -f a@b.test r@c.test"},
	{args: "-XV+ -f a@b.test r@c.test"},
	{args: "-XV+=- -f a@b.test r@c.test"},
	{args: "-XVab -f a@b.test r@c.test"},
	{args: "-XV -f <> r@c.test"},
	{args: "-V -f a@b.test r@c.test"},
	{args: "-n r@c.test"},
	{args: "-n ADDR r@c.test"},
	{args: "-m r@c.test"},
	{args: "-Am r@c.test"},
	{args: "-Ac r@c.test"},
	{args: "-A m r@c.test"},
	{args: "-O DeliveryMode=b r@c.test"},
	{args: "-OErrorMode=m r@c.test"},
	{args: "-O opt r@c.test"},
	{args: "-O Timeout.queuereturn=1h r@c.test"},
	{args: "-oem r@c.test"},
	{args: "-oee r@c.test"},
	{args: "-oA/etc/aliases r@c.test"},
	{args: "-oA r@c.test"},
	{args: "-o7 r@c.test"},
	{args: "-o8 r@c.test"},
	{args: "-odi r@c.test"},
	{args: "-om r@c.test"},
	{args: "-o i r@c.test", input: "a\n.\nb\n"},
	{args: "-oi r@c.test", input: "a\n.\nb\n"},
	{args: "-oixyz r@c.test", input: "a\n.\nb\n"},
	{args: "-i r@c.test", input: "a\n.\nb\n"},
	{args: "r@c.test", input: "a\n.\nb\n"},
	{args: "-em r@c.test"},
	{args: "-e m r@c.test"},
	{args: "-h 3 r@c.test"},
	{args: "-h3 r@c.test"},
	{args: "-p SMTP:host r@c.test"},
	{args: "-pSMTP r@c.test"},
	{args: "-x r@c.test"},
	{args: "-c r@c.test"},
	{args: "-d r@c.test"},
	{args: "-d0.1 r@c.test"},
	{args: "-D /dev/null r@c.test"},
	{args: "-B8BITMIME r@c.test"},
	{args: "-B 7BIT r@c.test"},
	{args: "-B 7bit r@c.test", why: "RFC 6152 keywords have no case"},
	{args: "-Bjunk r@c.test"},
	{args: "-N never r@c.test"},
	{args: "-N success,delay,failure r@c.test"},
	{args: "-N SUCCESS r@c.test"},
	{args: "-N never,success r@c.test"},
	{args: "-N junk r@c.test"},
	{args: "-N success,junk r@c.test"},
	{args: "-Nsuccess -Nnever r@c.test"},
	{args: "-R full r@c.test"},
	{args: "-R hdrs r@c.test"},
	{args: "-R HDRS r@c.test"},
	{args: "-R junk r@c.test"},
	{args: "-V envid r@c.test"},
	{args: "-V " + strings.Repeat("x", 100) + " r@c.test"},
	{args: "-V " + strings.Repeat("x", 101) + " r@c.test"},
	{args: "-V en+40vid r@c.test"},
	{args: "-V en=vid r@c.test"},
	{args: "-F Full r@c.test"},
	{args: "-F Full -F Other r@c.test"},
	{args: "-G r@c.test"},
	{args: "-U r@c.test"},
	{args: "-L tag r@c.test"},
	{args: "-Ltag r@c.test"},
	{args: "-L tag -Bjunk r@c.test"},
	{args: "-t", input: "To: a@b.test\nCc: c@d.test\nBcc: e@f.test\n\nx\n"},
	{args: "-t x@y.test", input: "To: a@b.test\nCc: c@d.test\n\nx\n"},
	{args: "-t", input: "Subject: none\n\nTo: a@b.test\n"},
	{args: "-t", input: ""},
	{args: "-t -bm", input: "To: a@b.test\n\nx\n"},
	{args: "-t -bs", input: "QUIT\r\n"},
	{args: "-t -bp"},
	{args: "-t -bi"},
	{args: "-t -q"},
	{args: "-ti -f a@b.test", input: "To: a@b.test\n\n.\nx\n"},
	{args: "-bp"},
	{args: "-bp r@c.test"},
	{args: "-bi"},
	{args: "-bi r@c.test"},
	{args: "-bi -oA/nonexistent"},
	{args: "-I"},
	{args: "-I r@c.test"},
	{args: "-bs r@c.test"},
	{args: "-bs", input: "HELO x\r\nQUIT\r\n"},
	{args: "-bl r@c.test"},
	{args: "-bd r@c.test"},
	{args: "-Z r@c.test"},
	{args: "-f"},
	{args: "-f <> r@c.test"},
	{args: "-f a,b r@c.test"},
	{args: "-f <a@b.test> r@c.test"},
	{args: "-f Name<a@b.test> r@c.test"},
	{args: "-f a(x)@b.test r@c.test"},
	{args: "-f @ r@c.test"},
	{args: "-f () r@c.test", why: "nothing is not the null sender"},
	{args: "-fa@b.test -- r@c.test"},
	{args: "-- -r@c.test"},
	{args: "- r@c.test"},
	{args: "r@c.test -f x"},
	{args: "a@b.test,c@d.test"},
	{args: "()", why: "an empty recipient is none"},
	{args: "<>", why: "an empty recipient is none"},
	{args: "-V+= -f a@b.test r@c.test"},
	{args: "-Vab -f a@b.test r@c.test"},
	{args: "-Vabc r@c.test"},
	{args: "-V"},
	{args: "-s r@c.test"},
	{args: "-T3 r@c.test"},
	{args: "-E r@c.test"},
	{args: "-bh -bm r@c.test"},
	{args: "-bm -q1h r@c.test"},
	{args: "-v -B8BITMIME -XV -f a@b.test r@c.test"},
	{args: "-bd -q1h r@c.test"},
	{args: "-bp -qIABC"},
	{args: "-qRx -bp"},
	{args: "-qIABC r@c.test"},
	{args: "-qIABC -qRx.test", why: "only the flush service knows its domains"},
	{args: "-bi -q"},
	{args: "-bm -bp"},
	{args: "-bp -bm r@c.test"},
	{args: "-bv -t -N never"},
	{args: "-bvx r@c.test"},
	{args: "-bpx"},
	{args: "-XV -bp"},
	{args: "-tv", input: "To: a@b.test\n\nx\n"},
	{args: "-f <> r@c.test ()", why: "an empty recipient is none"},
	{args: "-N never, r@c.test"},
	{args: "-B BINARYMIME r@c.test"},
	{args: "-F a,b r@c.test"},
	{args: "-C DIR/etc/main.cf r@c.test"},
	{args: "-C DIR/etc/sendmail.cf r@c.test"},
	{args: "-C DIR/etc r@c.test"},
	{args: "-C /etc/mail/sendmail.cf r@c.test"},
	{args: "-C /nonexistent r@c.test"},
	{args: "-CDIR/etc/other.cf r@c.test"},
}

// TestSendmailOptions runs both sendmail programs with the same command lines.
func TestSendmailOptions(t *testing.T) {
	p := newPair(t, "local_recipient_maps =")
	for _, tt := range sendmailCases {
		t.Run(tt.args, func(t *testing.T) {
			input := tt.input
			if input == "" && tt.args != "-t" {
				input = "Subject: x\n\nbody\n"
			}
			want := p.run(t, p.theirSendmail(tt.args), input)
			got := p.run(t, p.ourSendmail(tt.args), input)
			diff := cmp.Diff(want, got)
			if diff != "" && tt.why == "" {
				t.Errorf("(-theirs +ours):\n%s", diff)
			}
			if diff == "" && tt.why != "" {
				t.Errorf("no difference, although %s", tt.why)
			}
		})
	}
}

// TestTooLarge: a message, file or record that is too large ends both sendmail
// programs with the same status and last words.
func TestTooLarge(t *testing.T) {
	p := newPair(t)
	long := strings.Repeat("a", 3000)
	for _, tt := range []struct {
		name, input string
		args        []string
		limit       string // in blocks, of files
	}{
		{name: "message", input: tooBig, args: []string{"-f", "a@b.test", "r@c.test"}},
		{name: "file", input: tooBig[:1_000_000], args: []string{"-f", "a@b.test", "r@c.test"}, limit: "100"},
		{name: "no file at all", input: "x\n", args: []string{"-f", "a@b.test", "r@c.test"}, limit: "0"},
		{name: "recipient", input: "x\n", args: []string{"-f", "a@b.test", long + "@c.test"}},
		{name: "recipient in a header", input: "To: " + long + "@c.test\n\nx\n", args: []string{"-t"}},
		{name: "name", input: "x\n", args: []string{"-F", long, "r@c.test"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var ends []string
			for _, s := range p.sides(t) {
				cmd := s.command("sendmail", tt.args...)
				if tt.limit != "" {
					cmd.Args = slices.Concat([]string{"sh", "-c", "ulimit -f " + tt.limit + `; exec "$@"`, "sh", cmd.Path}, cmd.Args[1:])
					cmd.Path = "/bin/sh"
				}
				o := p.run(t, cmd, tt.input)
				lines := strings.Split(strings.TrimSpace(o.Stderr), "\n")
				ends = append(ends, fmt.Sprint(o.Status, lines[len(lines)-1], o.Stdout, o.Queued))
			}
			if ends[0] != ends[1] || !strings.Contains(ends[0], "sendmail: fatal: ") {
				t.Errorf("ends with %s, where Postfix's ends with %s", ends[1], ends[0])
			}
		})
	}
}

func (p *pair) theirSendmail(args string) *exec.Cmd {
	words := strings.Fields(strings.ReplaceAll(args, "DIR", p.theirs.Dir))
	cmd := p.theirs.Command("/usr/sbin/sendmail", words...)
	cmd.Env = append(cmd.Env, "MAIL_CONFIG="+filepath.Join(p.theirs.Dir, "etc"))
	cmd.Dir = "/"
	return cmd
}

func (p *pair) ourSendmail(args string) *exec.Cmd {
	words := strings.Fields(strings.ReplaceAll(args, "DIR", p.ours.Dir))
	return p.ours.Command("sendmail", words...)
}

// TestUsage: commands that are called in a wrong way say and return the same.
func TestUsage(t *testing.T) {
	p := newPair(t)
	// postsuper, which gives up root's rights, writes the log itself.
	if err := os.Chmod(p.theirs.Dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ command, args string }{
		{"postqueue", "-Z"}, {"postqueue", ""}, {"postqueue", "-i"}, {"postqueue", "-f -f"}, {"postqueue", "--help"},
		{"postsuper", "-Z"}, {"postsuper", "-d"}, {"postsuper", "-c relative -p"}, {"postsuper", "-p nosuchqueue"}, {"postsuper", "-d junk!"},
		{"postsuper", "-d 0123456789"}, {"postsuper", "-d -"}, {"postsuper", "-h 0123456789"}, {"postsuper", "-h -"}, {"postsuper", "-r -"},
		{"postsuper", "-d ALL"}, {"postsuper", "-d ALL deferred"}, {"postsuper", "-d all"}, {"postsuper", "-H ALL"}, {"postsuper", "-s"}, {"postsuper", "-p"}, {"postsuper", ""},
		{"postsuper", "-e ALL"}, {"postsuper", "-f ALL"}, {"postsuper", "-d ALL hold incoming"}, {"postsuper", "-S"},
		{"postcat", "-Z"}, {"postcat", "-q"}, {"postcat", "-q 0123456789"}, {"postcat", "-q junk!"}, {"postcat", "/nonexistent"}, {"postcat", "-s"},
		{"postcat", "-s x /dev/null"}, {"postcat", "-s -1 /dev/null"}, {"postcat", "/dev/null"}, {"postcat", "/etc/passwd"},
		{"postmap", "-Z"}, {"postmap", ""}, {"postmap", "-q"}, {"postmap", "-q x -d y"}, {"postmap", "-s -q x"}, {"postmap", "-b -q x"}, {"postmap", "-m -q - static:y"},
		{"postmap", "-q x nosuch:x"}, {"postmap", "-q x static:y"}, {"postmap", "-q x inline:{x=y}"}, {"postmap", "-q z inline:{x=y}"},
		{"postmap", "-s static:x"}, {"postmap", "/nonexistent"}, {"postmap", "-q x cidr:/nonexistent"},
		{"postmap", "-q x regexp:/nonexistent"}, {"postmap", "-q root unix:passwd.byname"},
		{"postmap", "-q x unix:nosuch"}, {"postmap", "-q - static:y"}, {"postmap", "-i static:y"}, {"postmap", "-n -q x static:y"}, {"postmap", "-q x"},
		{"postmap", "-q x static:"}, {"postmap", "-q x inline:"}, {"postmap", "-d a static:x"}, {"postmap", "-q a pcre:/nonexistent"},
		{"postmap", "-q a unionmap:{static:a,inline:{a=c}}"}, {"postmap", "-q b unionmap:{inline:{a=c}}"}, {"postmap", "-q a pipemap:{static:a,inline:{a=c}}"}, {"postmap", "-q a randmap:{x}"},
		{"postmap", "-q daemon unix:group.byname"}, {"postmap", "-q nosuch unix:group.byname"}, {"postmap", "-s unix:passwd.byname"}, {"postmap", "-q A inline:{a=1}"},
		{"postalias", "-Z"}, {"postalias", ""}, {"postalias", "-b x"}, {"postalias", "/nonexistent"}, {"postalias", "-q x static:y"},
		{"postlog", "-Z"}, {"postlog", "-p"}, {"postlog", "-p warn text words"}, {"postlog", "-p info -t tag text"}, {"postlog", "-i text"},
		{"postdrop", "-Z"}, {"postdrop", "-c"},
		{"mailq", ""}, {"mailq", "-q"}, {"mailq", "-Z"}, {"newaliases", ""},
	} {
		t.Run(tt.command+" "+tt.args, func(t *testing.T) {
			var got []outcome
			for _, s := range p.sides(t) {
				cmd := s.command(tt.command, strings.Fields(tt.args)...)
				if tt.command == "mailq" || tt.command == "newaliases" {
					cmd = s.command("sendmail", strings.Fields(tt.args)...)
					cmd.Args[0] = tt.command
				}
				out := p.run(t, cmd, "")
				out.Stderr = strings.ReplaceAll(strings.ReplaceAll(out.Stderr, "BIN/", ""), "fatal: "+openTable.FindString(out.Stderr), "fatal: ")
				out.Stderr = synopsis.ReplaceAllString(out.Stderr, "usage: SYNOPSIS")
				got = append(got, out)
			}
			if d := cmp.Diff(got[0], got[1]); d != "" {
				t.Errorf("(-theirs +ours):\n%s", d)
			}
		})
	}
}

// openTable is how our errors begin where a table is not opened.
var openTable = regexp.MustCompile(`open table [^ ]*: `)

// synopsis is what follows "usage:"; ours may have more.
var synopsis = regexp.MustCompile(`usage: .*`)
