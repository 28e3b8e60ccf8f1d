package interop

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
)

const oddAliases = `# comment
root: you
you: bob,
  carl
"quoted name": x
dup: a
dup: b
novalue:
no colon here
: noname
  indented: x
pipe: "|/bin/cat"
include: :include:/nonexistent
`

// TestOddNewaliases: newaliases, mailq and sendmail -bi say and make the same
// with odd alias files and settings.
func TestOddNewaliases(t *testing.T) {
	plugin := fmt.Sprintf("cdb %s/usr/lib/postfix/postfix-cdb.so dict_cdb_open mkmap_cdb_open\n", refpostfix.Root(t))
	var cases []odd
	for _, l := range []struct{ database, args, why string }{
		{"", "newaliases", ""}, {"cdb:DIR/aliases", "newaliases", ""}, {"cdb:DIR/aliases, cdb:DIR/more", "newaliases", ""}, {"cdb:DIR/aliases cdb:DIR/nosuch", "newaliases", ""}, {"cdb:DIR/nosuch cdb:DIR/aliases", "newaliases", ""},
		{"cdb:DIR/nosuch", "newaliases", ""}, {"cdb:DIR/empty", "newaliases", ""}, {"cdb:DIR", "newaliases", "a directory is no file of aliases"}, {"DIR/aliases", "newaliases", ""}, {"nosuch:DIR/aliases", "newaliases", "there is no package for it"}, {"static:x", "newaliases", ""}, {"regexp:DIR/aliases", "newaliases", ""}, {"cdb:", "newaliases", ""}, {"cdb:relative", "newaliases", ""}, {"cdb:DIR/broken", "newaliases", ""}, {"cdb:DIR/long", "newaliases", ""}, {"cdb:DIR/nul", "newaliases", ""}, {"cdb:DIR/crlf", "newaliases", ""},
		{"cdb:DIR/aliases", "newaliases x", ""}, {"cdb:DIR/aliases", "newaliases -x", ""}, {"cdb:DIR/aliases", "newaliases --help", ""}, {"cdb:DIR/aliases", "newaliases -oA", ""}, {"cdb:DIR/nosuch", "newaliases -oAcdb:DIR/aliases", ""}, {"cdb:DIR/aliases", "newaliases -oAcdb:DIR/nosuch", ""}, {"cdb:DIR/aliases", "newaliases -oADIR/aliases", ""}, {"cdb:DIR/aliases", "newaliases -bp", ""}, {"cdb:DIR/aliases", "newaliases -f a@b.test", ""}, {"cdb:DIR/aliases", "newaliases -t", ""}, {"cdb:DIR/aliases", "newaliases -C DIR/nosuch", ""}, {"cdb:DIR/aliases", "newaliases -C DIR/etc", ""}, {"cdb:DIR/aliases", "newaliases --", ""}, {"cdb:DIR/aliases", "newaliases -- -x", ""},
		{"cdb:DIR/aliases", "sendmail -bi", ""}, {"cdb:DIR/aliases", "sendmail -I", ""}, {"cdb:DIR/aliases", "sendmail -bi -q", ""}, {"cdb:DIR/aliases", "sendmail -I -bp", ""}, {"cdb:DIR/aliases", "sendmail -bi -oAcdb:DIR/more", ""}, {"cdb:DIR/aliases", "sendmail -bi -oAcdb:DIR/more -oAcdb:DIR/empty", ""},
		{"", "mailq", ""}, {"", "mailq x", ""}, {"", "mailq -q", ""}, {"", "mailq -bp", ""}, {"", "mailq -bi", ""}, {"", "mailq -f", ""}, {"", "mailq -Ac", ""}, {"", "mailq -C DIR/nosuch", ""}, {"", "mailq -qI", ""}, {"", "mailq -qRx", ""},
	} {
		cases = append(cases, odd{name: l.args + " " + l.database, site: true, why: l.why, calls: [][]string{strings.Fields(l.args)},
			files: map[string]string{"main.cf": "default_database_type = cdb\nalias_database = " + l.database + "\n", "etc/dynamicmaps.cf": plugin, "aliases": oddAliases, "more": "a: b\n", "empty": "", "broken": "\"open: x\n",
				"long": "x: " + strings.Repeat("someone@example.test, ", 3000) + "y\n", "nul": "a: b\x00c\n", "crlf": "a: b\r\nc: d\r\n"}})
	}
	cases = append(cases, odd{name: "locked", site: true, locked: true, calls: [][]string{{"mailq"}}, words: "it is told what cannot be read"})
	compareOdd(t, cases, plainQueueTool)
}

// oddDialogues are what is sent to sendmail -bs at once.
var oddDialogues = []string{
	"", "\r\n", "QUIT", "QUIT\n", "HELO a\nQUIT\n", "EHLO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@example.test>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n",
	"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<nosuch>\r\nRCPT TO:<c@example.test>\r\nDATA\r\n.\r\nQUIT\r\n", "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@example.test>\r\nDATA\r\nx\r\n..\r\n.\r\nQUIT\r\n", "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@example.test>\r\nDATA\r\nno end\r\n", "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@example.test>\r\nDATA\r\n",
	"RCPT TO:<c@example.test>\r\nDATA\r\nQUIT\r\n", "EHLO a\r\nNOOP\r\nRSET\r\nVRFY you@example.test\r\nHELP\r\nQUIT\r\n", "STARTTLS\r\nAUTH PLAIN x\r\nETRN example.test\r\nQUIT\r\n", "JUNK\r\nJUNK x\r\nQUIT\r\n", "GET / HTTP/1.0\r\n\r\n", strings.Repeat("JUNK\r\n", 30) + "QUIT\r\n",
	"HELO a\r\nMAIL FROM:<a@b.test>\r\nMAIL FROM:<c@b.test>\r\nRCPT TO:<c@example.test>\r\nRSET\r\nDATA\r\nQUIT\r\n", "HELO a\r\nMAIL FROM:<a@b.test> SIZE=99999999999\r\nMAIL FROM:<a@b.test> BODY=JUNK\r\nMAIL FROM:<a@b.test> JUNK\r\nQUIT\r\n",
	"HELO a\nMAIL FROM:<a@b.test>\nRCPT TO:<c@example.test>\nDATA\nbare\n.\nQUIT\n", "HELO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@example.test>\r\nDATA\r\na\r\n.\r\nMAIL FROM:<d@b.test>\r\nRCPT TO:<e@example.test>\r\nDATA\r\nb\r\n.\r\nQUIT\r\nNOOP\r\n",
}

// TestOddStandAlone: sendmail -bs answers the same to commands that come all at
// once.
func TestOddStandAlone(t *testing.T) {
	p := newPair(t, "smtpd_error_sleep_time = 0", "local_recipient_maps =", "virtual_mailbox_domains = example.test", "virtual_transport = discard:", "local_transport = discard:")
	results := map[string][]string{}
	for _, s := range p.sides(t) {
		s.start()
		said := make([]string, len(oddDialogues))
		var wg sync.WaitGroup
		for i, input := range oddDialogues {
			wg.Go(func() {
				cmd := s.command("sendmail", "-bs")
				cmd.Dir = "/"
				var o, e bytes.Buffer
				cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &o, &e
				cmd.WaitDelay = time.Minute
				err := cmd.Run()
				said[i] = p.plain(fmt.Sprintf("%v\n%s--\n%s", err, o.String(), e.String()))
			})
		}
		wg.Wait()
		s.stop()
		results[s.name] = said
	}
	for i, input := range oddDialogues {
		t.Run(input[:min(len(input), 80)], func(t *testing.T) {
			if d := cmp.Diff(strings.Split(results["theirs"][i], "\n"), strings.Split(results["ours"][i], "\n")); d != "" {
				t.Errorf("(-theirs +ours):\n%s", d)
			}
		})
	}
}

// TestOddUsers: what others than root may ask postqueue, without a mail system.
func TestOddUsers(t *testing.T) {
	files, modes := oddQueue(t)
	var cases []odd
	for _, settings := range []string{"", "authorized_mailq_users = root", "authorized_mailq_users = !nobody, static:all", "authorized_flush_users = root", "authorized_mailq_users = inline:{nobody=x}\nauthorized_flush_users =", "authorized_mailq_users = nosuch:x", "authorized_mailq_users = /nonexistent"} {
		with := map[string]string{"main.cf": settings + "\n"}
		maps.Copy(with, files)
		for _, args := range []string{"-p", "-j", "-f", "-i 7F225984A7C", "-i junk!", "-s example.test", "-s junk!", "-v -p", "-x"} {
			c := odd{name: settings + " " + args, site: true, nobody: true, modes: modes, files: with, calls: [][]string{append([]string{"postqueue"}, strings.Fields(args)...)}}
			switch {
			case strings.HasPrefix(settings, "authorized_mailq_users = nosuch:x"), strings.HasSuffix(settings, "/nonexistent"):
				if strings.Contains(args, "-p") || args == "-j" {
					c.words = "how a list is told of that cannot be opened"
				}
			}
			if args == "-s example.test" && !strings.Contains(settings, "authorized_flush_users") {
				c.why = "only the flush service knows its sites"
			}
			cases = append(cases, c)
		}
	}
	compareOdd(t, cases, plainQueueTool)
}
