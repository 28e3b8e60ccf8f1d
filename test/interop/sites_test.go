package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// stockMaster is Debian's own master.cf, with our port instead of smtp.
func stockMaster(t *testing.T, mail *testkit.Instance) string {
	t.Helper()
	text := contents(t, filepath.Join(refpostfix.Root(t), "usr/share/postfix/master.cf.dist"))
	re := regexp.MustCompile(`(?m)^smtp +inet `)
	if !re.MatchString(text) {
		t.Fatal("no smtp line in Debian's master.cf")
	}
	return re.ReplaceAllString(text, fmt.Sprintf("127.0.0.1:%d inet ", mail.Port))
}

// places are the parameters by which a configuration meets the test machine.
func places(mail *testkit.Instance) string {
	return fmt.Sprintf(`
queue_directory = %[1]s/spool
data_directory = %[1]s/data
daemon_directory = %[2]s
command_directory = %[2]s
mail_owner = posthouse
tls_owner = posthouse-tls
setgid_group = postdrop
maillog_file = %[1]s/log/mail.log
maillog_file_prefixes = %[1]s
inet_protocols = ipv4
`, mail.Dir, filepath.Join(mustRoot(), "bin"))
}

func mustRoot() string {
	root, _ := testkit.Root()
	return root
}

// oldMaster is a master.cf of Postfix 2.x: FIFOs, chroot by "-", no postlog,
// no anvil, and lines for what is not there.
const oldMaster = `127.0.0.1:%d inet n - - - - smtpd
#127.0.0.1:26 inet n - n - 1 postscreen
pickup fifo n - - 60 1 pickup
cleanup unix n - - - 0 cleanup
qmgr fifo n - - 300 1 qmgr
tlsmgr unix - - - 1000? 1 tlsmgr
rewrite unix - - - - - trivial-rewrite
bounce unix - - - - 0 bounce
defer unix - - - - 0 bounce
trace unix - - - - 0 bounce
verify unix - - - - 1 verify
flush unix n - - 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - - - - smtp
relay unix - - - - - smtp
	-o smtp_fallback_relay=
showq unix n - - - - showq
error unix - - - - - error
discard unix - - - - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - - - - lmtp
scache unix - - - - 1 scache
maildrop unix - n n - - pipe
  flags=DRhu user=vmail argv=/usr/bin/maildrop -d ${recipient}
`

// site is a configuration as people have it.
type site struct {
	name, main string
	master     string // "" is Debian's stock file; %d is the port
	files      map[string]string
	postmap    []string // files that the real postmap makes an index of, whose text is then removed
	check      []string // what check must say
	errors     bool     // check finds errors
	// run sends mail and looks at it; DEAD and SINK of main are known to it.
	run func(t *testing.T, mail *testkit.Instance, arrived func() []string)
}

var sites = []site{
	{name: "null client with a relayhost",
		main: "myorigin = example.test\nrelayhost = [127.0.0.1]:SINK\ninet_interfaces = loopback-only\nmydestination =\nmynetworks = 127.0.0.0/8\n",
		run: func(t *testing.T, mail *testkit.Instance, arrived func() []string) {
			mail.Send(t, "Subject: null client\n\nx\n", "-f", "root", "far@away.test")
			mail.WaitLog(t, `to=<far@away\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*status=sent`)
			has(t, "at the relay", strings.Join(arrived(), ""), "X-Mail-Args: <root@example.test>")
		}},
	{name: "virtual mailboxes in Berkeley DB files",
		main: "mydestination = localhost\nvirtual_mailbox_domains = hash:ETC/vdomains\nvirtual_mailbox_maps = hash:ETC/vmailbox\nvirtual_alias_maps = hash:ETC/valias\n" +
			"virtual_mailbox_base = DIR/mail\nvirtual_uid_maps = static:UID\nvirtual_gid_maps = static:GID\nvirtual_minimum_uid = 1\n",
		files: map[string]string{"vdomains": "vhost.test x\nother.test x\n", "vmailbox": "ann@vhost.test vhost.test/ann/\nbob@other.test other.test/bob/\n",
			"valias": "info@vhost.test ann@vhost.test, bob@other.test\n@other.test bob@other.test\n"},
		postmap: []string{"vdomains", "vmailbox", "valias"},
		run: func(t *testing.T, mail *testkit.Instance, _ func() []string) {
			s := testkit.Dial(t, mail.Addr())
			s.Cmd("250", "EHLO client.test")
			s.Message("a@remote.test", "info@vhost.test", "Subject: x\n\nx\n")
			s.Message("a@remote.test", "any@other.test", "Subject: x\n\nx\n")
			s.Cmd("250", "MAIL FROM:<a@remote.test>")
			s.Cmd("550 5.1.1", "RCPT TO:<nosuch@vhost.test>")
			mail.WaitLog(t, `to=<ann@vhost\.test>, orig_to=<info@vhost\.test>, relay=virtual, .*status=sent`)
			mail.WaitLog(t, `to=<bob@other\.test>, orig_to=<any@other\.test>, relay=virtual, .*status=sent`)
		}},
	{name: "local accounts with an alias database",
		main:  "mydestination = $myhostname, localhost\nalias_maps = hash:ETC/aliases\nalias_database = hash:ETC/aliases\nmail_spool_directory = DIR/var-mail\nrecipient_delimiter = +\n",
		files: map[string]string{"aliases": "postmaster: root\nroot: phsite\nteam: phsite, far@away.test\n"},
		run: func(t *testing.T, mail *testkit.Instance, _ func() []string) {
			mail.Send(t, "Subject: x\n\nx\n", "-f", "a@remote.test", "postmaster")
			mail.WaitLog(t, `to=<phsite@mail\.example\.test>, orig_to=<postmaster>, relay=local, .*status=sent \(delivered to mailbox\)`)
			has(t, "mailbox", contents(t, filepath.Join(mail.Dir, "var-mail/phsite")), "Delivered-To: postmaster@")
		}},
	{name: "checks of headers and bodies",
		main: "mydestination = localhost\nheader_checks = pcre:ETC/header.pcre\nmime_header_checks = regexp:ETC/mime.re\nbody_checks = regexp:ETC/body.re\ntransport_maps = inline:{away.test=discard:}\n",
		files: map[string]string{"header.pcre": "/^Subject:.*(?i)viagra/ REJECT no thanks\n/^X-Drop:/ DISCARD\n/^X-Secret:/ IGNORE\n", "body.re": "/eicar/ REJECT virus\n",
			"mime.re": "/name=\"?[^ \"]*\\.exe/ REJECT no programs\n"},
		run: func(t *testing.T, mail *testkit.Instance, _ func() []string) {
			for text, want := range map[string]string{"Subject: buy VIAGRA\n\nx\n": "550 5.7.1 no thanks", "Subject: x\n\neicar\n": "550 5.7.1 virus",
				"Content-Type: application/x; name=\"a.exe\"\n\nx\n": "550 5.7.1 no programs", "X-Drop: x\n\nx\n": "250 2.0.0 Ok: queued as"} {
				s := testkit.Dial(t, mail.Addr())
				s.Cmd("250", "EHLO client.test")
				s.Cmd("250", "MAIL FROM:<a@remote.test>")
				s.Cmd("250", "RCPT TO:<far@away.test>")
				s.Cmd("354", "DATA")
				s.Cmd(want, "%s\r\n.", strings.ReplaceAll(text, "\n", "\r\n"))
			}
			mail.WaitLog(t, `cleanup\[\d+\]: \w+: discard: header X-Drop: x from localhost\[127\.0\.0\.1\]; from=<a@remote\.test> to=<far@away\.test>`)
		}},
	{name: "routes by transport_maps and options of one service",
		main: "mydestination = localhost\nmynetworks = 127.0.0.1\ntransport_maps = hash:ETC/transport\n",
		master: "127.0.0.1:%d inet n - y - - smtpd\n  -o smtpd_banner=special\n  -o smtpd_relay_restrictions=permit_mynetworks,reject\n  -o { smtpd_client_restrictions = permit_mynetworks, reject }\n  -o syslog_name=postfix/special\n" +
			"slow unix - - n - 1 smtp -o syslog_name=postfix/slow\n",
		files: map[string]string{"transport": "gone.test error:5.1.2 closed for good\n.wild.test slow:[127.0.0.1]:SINK\naway.test smtp:[127.0.0.1]:SINK\n"},
		run: func(t *testing.T, mail *testkit.Instance, _ func() []string) {
			s := testkit.Dial(t, mail.Addr())
			s.Cmd("250", "EHLO client.test")
			s.Message("a@remote.test", "x@sub.wild.test,y@away.test", "Subject: x\n\nx\n")
			s.Cmd("250", "MAIL FROM:<a@remote.test>")
			s.Cmd("550 5.1.2 <x@gone.test>: Recipient address rejected: closed for good", "RCPT TO:<x@gone.test>")
			mail.WaitLog(t, `postfix/slow/smtp\[\d+\]: \w+: to=<x@sub\.wild\.test>, .*status=sent`)
			mail.WaitLog(t, `postfix/smtp\[\d+\]: \w+: to=<y@away\.test>, .*status=sent`)
			mail.WaitLog(t, `postfix/special/smtpd\[\d+\]: connect from`)
		}},
	{name: "master.cf of Postfix 2", master: oldMaster,
		main:  "mydestination = localhost\ntransport_maps = inline:{away.test=smtp:[127.0.0.1]:SINK, dropped.test=maildrop:}\n",
		check: []string{"scache", "master.cf:"},
		run: func(t *testing.T, mail *testkit.Instance, _ func() []string) {
			mail.Send(t, "Subject: x\n\nx\n", "-f", "a@remote.test", "far@away.test")
			mail.WaitLog(t, `to=<far@away\.test>, .*status=sent`)
			mail.Send(t, "Subject: x\n\nx\n", "-f", "a@remote.test", "x@dropped.test")
			// As with Postfix, mail for a program that does not start waits.
			mail.WaitLog(t, `master\[\d+\]: warning: .*/pipe: bad command startup`)
			if n := len(mail.Queue(t, "incoming", "active", "deferred")); n != 1 {
				t.Errorf("%d messages are in the queue, want 1", n)
			}
		}},
	{name: "mistakes", main: "mydestination = localhost\nsmtpd_recipent_restrictions = permit_mynetworks, reject\nmessage_size_limit = lots\n", errors: true,
		check: []string{`main.cf:LINE(smtpd_recip)`, "did you mean \"smtpd_recipient_restrictions\"", "main.cf:LINE(message_size)"}},
}

// TestSites: configurations of Postfix sites run here unchanged, and check says
// with file and line what cannot.
func TestSites(t *testing.T) {
	testkit.NeedRoot(t)
	refpostfix.Root(t)
	for _, tc := range sites {
		t.Run(tc.name, func(t *testing.T) { tc.test(t) })
	}
}

func (tc site) test(t *testing.T) {
	mail := testkit.New(t)
	var arrived func() []string
	main := "compatibility_level = 3.6\nmyhostname = mail.example.test\nmydomain = example.test\nmynetworks = 127.0.0.0/8\nalias_maps = hash:ETC/aliases\nalias_database = hash:ETC/aliases\n" + tc.main
	text := strings.NewReplacer("ETC", filepath.Clean(mail.Etc("")), "DIR", mail.Dir, "UID", "65534", "GID", "65534")
	if all := fmt.Sprint(tc.main, tc.files); strings.Contains(all, "SINK") {
		var port int
		port, arrived = sink(t)
		text = strings.NewReplacer("ETC", filepath.Clean(mail.Etc("")), "DIR", mail.Dir, "SINK", fmt.Sprint(port))
	}
	master := stockMaster(t, mail)
	if tc.master != "" {
		master = fmt.Sprintf(tc.master, mail.Port)
		if !strings.Contains(master, "qmgr ") {
			// The first line replaces that of Debian's file.
			_, rest, _ := strings.Cut(stockMaster(t, mail), "smtpd\n")
			master += rest
		}
	}
	mail.Write(t, "master.cf", master)
	mail.Write(t, "main.cf", text.Replace(main)+places(mail))
	for name, content := range tc.files {
		mail.Write(t, name, text.Replace(content))
	}
	accounts(t, mail)
	for _, name := range tc.postmap {
		berkeley(t, mail, name)
	}
	tc.findings(t, mail)
	if tc.run != nil {
		mail.Start(t)
		tc.run(t, mail, arrived)
	}
}

// accounts makes what the sites' mailboxes belong to.
func accounts(t *testing.T, mail *testkit.Instance) {
	t.Helper()
	testkit.NewAccount(t, mail.Dir, "phsite")
	spool := filepath.Join(mail.Dir, "var-mail")
	os.Mkdir(spool, 0o775)
	os.Chown(spool, 0, 8)
	os.Chmod(spool, 0o775|os.ModeSetgid)
	exec.Command("chown", "-R", "65534:65534", filepath.Join(mail.Dir, "mail")).Run()
}

// berkeley lets Debian's postmap index a table as Berkeley DB and removes the
// text.
func berkeley(t *testing.T, mail *testkit.Instance, name string) {
	t.Helper()
	cmd := refpostfix.Tool(t, "postmap", "hash:"+mail.Etc(name))
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "main.cf"), []byte("compatibility_level = 3.6\nmail_owner = daemon\nsetgid_group = mail\ninet_interfaces = 127.0.0.1\n"), 0o644)
	cmd.Env = append(cmd.Env, "MAIL_CONFIG="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("Postfix's postmap: %v\n%s", err, out)
	}
	os.Remove(mail.Etc(name))
}

func (tc site) findings(t *testing.T, mail *testkit.Instance) {
	t.Helper()
	out, err := mail.Command("posthouse", "check").CombinedOutput()
	// The commands of a source tree are not set-gid.
	findings := regexp.MustCompile("(?m)^error: .*set-permissions.*\n").ReplaceAllString(string(out), "")
	if strings.Contains(findings, "error: ") != tc.errors {
		t.Errorf("posthouse check: %v, errors expected: %v\n%s", err, tc.errors, out)
	}
	main := contents(t, mail.Etc("main.cf"))
	line := regexp.MustCompile(`LINE\((.*)\)`)
	for _, want := range tc.check {
		if m := line.FindStringSubmatch(want); m != nil {
			before, _, _ := strings.Cut(main, m[1])
			want = strings.Replace(want, m[0], fmt.Sprint(1+strings.Count(before, "\n")), 1)
		}
		has(t, "posthouse check", string(out), want)
	}
}
