package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// shell runs a command line as an administrator types it, with the commands of
// the suite in the PATH.
func shell(t *testing.T, mail *testkit.Instance, line string) (string, error) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "umask 077; cd "+mail.Etc("")+"; "+line)
	bin := filepath.Dir(mail.Command("userdb").Path)
	cmd.Env = append(os.Environ(), "MAIL_CONFIG="+mail.Etc(""), "PATH="+bin+":/usr/bin:/bin")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func must(t *testing.T, mail *testkit.Instance, line string) string {
	t.Helper()
	out, err := shell(t, mail, line)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

// refused runs a line that must fail with a text.
func refused(t *testing.T, mail *testkit.Instance, line, want string) {
	t.Helper()
	if out, err := shell(t, mail, line); err == nil || !strings.Contains(out, want) {
		t.Errorf("%s: %v, want a failure with %q\n%s", line, err, want, out)
	}
}

// courierSite is an instance whose main.cf names the tables that Courier's
// files make.
func courierSite(t *testing.T) *testkit.Instance {
	t.Helper()
	mail := testkit.New(t)
	mail.Set(t, "mydestination = $myhostname, localhost, $config_directory/locals",
		"virtual_mailbox_domains = hash:$config_directory/hosteddomains.map",
		"domain_alias_maps = hash:$config_directory/hosteddomains.map",
		"relay_domains = hash:$config_directory/esmtpacceptmailfor.dir.map",
		"virtual_mailbox_maps = authd:mailbox",
		"virtual_alias_maps = hash:$config_directory/vdomains.map, authd:alias",
		"virtual_minimum_uid = 1", "recipient_delimiter = +", "smtpd_tls_security_level = none",
		"default_transport = discard:", "relay_transport = discard:")
	return mail
}

// TestCourierSite is the walk of an administrator through the set-up of a site
// of Courier's, with the commands that they know.
func TestCourierSite(t *testing.T) {
	mail := courierSite(t)
	uid, gid := testkit.BoxOwner(t)
	boxes := filepath.Join(mail.Dir, "mail")

	// Domains.
	must(t, mail, `printf 'local.test\n' > locals; chmod 644 locals`)
	must(t, mail, `mkdir -p esmtpacceptmailfor.dir; printf 'relay.test\n' > esmtpacceptmailfor.dir/all; makeacceptmailfor`)
	must(t, mail, `printf '# ours\nexample.com\nexample.net\texample.com\nexample.org\n' > hosteddomains; makehosteddomains`)
	refused(t, mail, `printf 'x.test\ty.test\n' >> hosteddomains; makehosteddomains`, "/hosteddomains:5: y.test is not a hosted domain")
	must(t, mail, `sed -i '$d' hosteddomains; makehosteddomains`)

	// Users: a directory of files for domains, passwords through a pipe.
	must(t, mail, `rm -rf userdb; mkdir userdb`)
	must(t, mail, fmt.Sprintf(`userdb example.com/you@example.com set uid=%d gid=%d home=%s/example.com/you mail=%s/example.com/you/Maildir`, uid, gid, boxes, boxes))
	must(t, mail, `echo secret | userdbpw | userdb example.com/you@example.com set systempw`)
	must(t, mail, `echo secret | userdbpw -hmac-md5 | userdb example.com/you@example.com set hmac-md5pw`)
	must(t, mail, `echo imaponly | userdbpw -md5 | userdb example.com/you@example.com set imappw`)
	must(t, mail, fmt.Sprintf(`userdb -f userdb/example.org any@example.org set uid=%d gid=%d home=%s/example.org/any aliases=@example.org`, uid, gid, boxes))
	must(t, mail, `printf 'sam:x:4242:4242:Sam,,,:/home/sam:/bin/sh\n' > passwd; printf 'sam:!:1\n' > shadow
		pw2userdb --passwd=passwd --shadow=shadow --domain=example.com > userdb/system`)
	if got := must(t, mail, `userdb -show example.com you@example.com | cut -d= -f1 | sort | tr '\n' ' '`); got != "gid hmac-md5pw home imappw mail systempw uid " {
		t.Errorf("fields: %s", got)
	}
	must(t, mail, `makeuserdb`)
	if got := must(t, mail, `stat -c %a userdb.dat userdbshadow.dat`); got != "644\n600\n" {
		t.Errorf("modes of the index: %s", got)
	}
	refused(t, mail, `chmod 750 userdb; makeuserdb`, "may not have group or world permissions")
	must(t, mail, `chmod 700 userdb`)

	// Aliases in a directory.
	must(t, mail, `mkdir vdomains; printf 'sales@example.com: you@example.com,\n\tboss@relay.test\n' > vdomains/example.com
		printf 'wrong@example.com: nobody@example.com\n' > vdomains/more; makealiases -src=vdomains`)
	must(t, mail, fmt.Sprintf("mkdir -p %s/example.com %s/example.org; chown %d:%d %s/example.com %s/example.org", boxes, boxes, uid, gid, boxes, boxes))
	mail.Start(t)
	refused(t, mail, `makealiases -src=vdomains -chk`, "<nobody@example.com>: 550 5.1.1")
	must(t, mail, `rm vdomains/more; makealiases -src=vdomains -chk && makealiases -src=vdomains`)

	// Does it work?
	out := must(t, mail, `authtest you@example.com secret`)
	for _, want := range []string{"Authentication succeeded.", fmt.Sprintf("Authenticated: you@example.com  (uid %d, gid %d)", uid, gid), "Maildir: " + boxes + "/example.com/you/Maildir"} {
		if !strings.Contains(out, want) {
			t.Errorf("authtest lacks %q:\n%s", want, out)
		}
	}
	must(t, mail, `authtest -s imap you@example.com imaponly`)
	refused(t, mail, `authtest -s imap you@example.com secret`, "Authentication FAILED: Operation not permitted")
	refused(t, mail, `authtest nobody@example.com`, "Authentication FAILED")
	refused(t, mail, `authtest sam@example.com x`, "Authentication FAILED")
	must(t, mail, `authtest you@example.com secret better && authtest you@example.com better`)
	courierMail(t, mail)
}

// courierMail sends to addresses of each kind.
func courierMail(t *testing.T, mail *testkit.Instance) {
	t.Helper()
	s := testkit.Dial(t, mail.Addr())
	s.Cmd("250", "HELO c.test")
	s.Cmd("250", "MAIL FROM:<sender@elsewhere.test>")
	s.Cmd("550 5.1.1", "RCPT TO:<nobody@example.com>")
	s.Cmd("550 5.1.1", "RCPT TO:<nobody@example.net>")
	s.Cmd("250", "RCPT TO:<you@example.net>")
	s.Cmd("250", "RCPT TO:<sales@example.com>")
	s.Cmd("250", "RCPT TO:<whoever@example.org>")
	s.Cmd("250", "RCPT TO:<x@relay.test>")
	s.Cmd("354", "DATA")
	s.Cmd("250", "Subject: site\r\n\r\nhello\r\n.")
	mail.WaitLog(t, `to=<you@example.com>, orig_to=<you@example.net>, relay=virtual,.*status=sent`)
	mail.WaitLog(t, `to=<any@example.org>, orig_to=<whoever@example.org>, relay=virtual,.*status=sent`)
	mail.WaitLog(t, `to=<boss@relay.test>, orig_to=<sales@example.com>, relay=none,.*status=sent`)
	mail.WaitLog(t, `to=<x@relay.test>, relay=none,.*status=sent`)
	if found, _ := filepath.Glob(filepath.Join(mail.Dir, "mail/example.com/you/Maildir/new/*")); len(found) == 0 {
		t.Error("nothing in the Maildir of you@example.com")
	}
	// A new domain and a new user count at once, without another command.
	must(t, mail, `userdb example.com/new@example.com set uid=5000 gid=5000 home=/nonexistent/new`)
	s.Cmd("250", "MAIL FROM:<sender@elsewhere.test>")
	s.Cmd("250", "RCPT TO:<root@local.test>")
	s.Cmd("250", "RCPT TO:<new@example.com>")
	must(t, mail, `userdb example.com/new@example.com del`)
	s.Cmd("550 5.1.1", "RCPT TO:<new@example.com>")
	s.Cmd("221", "QUIT")
}
