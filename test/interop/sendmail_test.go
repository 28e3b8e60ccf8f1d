package interop

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
		{`(?m)^(sendmail: (invalid|option) .*\n)+`, "$1"}, // Postfix looks twice
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
