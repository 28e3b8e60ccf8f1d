package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// reference runs Debian's postconf.
type reference struct{ root string }

// findReference returns the unpacked Postfix, or skips the test, saying so.
func findReference(t *testing.T) *reference {
	t.Helper()
	root := os.Getenv("POSTHOUSE_POSTFIX_ROOT")
	if root == "" {
		root = "/var/cache/posthouse-test/postfix"
	}
	if _, err := os.Stat(filepath.Join(root, "usr/sbin/postconf")); err != nil {
		t.Skipf("SKIPPED: no reference Postfix in %s (set POSTHOUSE_POSTFIX_ROOT)", root)
	}
	return &reference{root}
}

// run returns what the reference prints, and whether it succeeds.
func (r *reference) run(args ...string) (out, errOut string, ok bool) {
	name := filepath.Join(r.root, "usr/sbin/postconf")
	cmd := exec.Command(name, args...)
	var lib []string
	for _, dir := range []string{"usr/lib/postfix", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"} {
		lib = append(lib, filepath.Join(r.root, dir))
	}
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(lib, ":"))
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	return o.String(), strings.ReplaceAll(e.String(), name+": ", "postconf: "), err == nil
}

// ours is the same for this program.
func ours(args ...string) (out, errOut string, ok bool) {
	var o, e bytes.Buffer
	err := run(args, &o, &e)
	if err != nil && !errors.Is(err, errQuiet) {
		e.WriteString("postconf: fatal: " + err.Error() + "\n")
	}
	return o.String(), e.String(), err == nil
}

// messages returns the different lines, sorted: Postfix reads the file several
// times and repeats itself.
func messages(text string) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	// Reading twice, the reference also says that the first definition
	// overrides the last.
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return strings.Contains(line, ", line 1: overriding")
	})
	slices.Sort(lines)
	return slices.Compact(lines)
}

// ownFacts are values in which the two suites differ on purpose.
var ownFacts = regexp.MustCompile(`Postfix|postfix|Posthouse|posthouse|3\.7\.11|0\.1\.0|nis:|debugger_command|20240304|20261121|process_id|html_directory|readme_directory|shlib_directory|manpage_directory|smtpd_forbid|smtp_tls_security_level|sample_directory|process_name`)

const nastyMain = `# comment
mydomain = example.org
myhostname = $(name).${mydomain}
name = mail
mynetworks = 127.0.0.0/8,   10.0.0.0/8, 192.168.0.0/16, 172.16.0.0/12, 1.1.1.1/32, 2.2.2.2/32 {a b c}
smtpd_recipient_restrictions = permit_mynetworks,
# in the middle
   reject_unauth_destination # no comment

	permit
maps = hash:/x
virtual_alias_maps = $maps ${other} ${maps?{yes}:{no}} ${none:fallback} ${maps?simple text}
dovecot_destination_recipient_limit = 1
uucp_destination_recipient_limit = 1
maildrop_time_limit=4
smtpd_restriction_classes = cls
cls = permit
lonely = $maps
a=1
mydestination = ${{$compatibility_level} <level {3.6} ? {old} : {new}} ${{2}<{10}?num:str} ${{b} >= {a} ? {s}}
relayhost=
smtp_tls_policy_maps = ldap:policies
policies_server_host = localhost
body_checks = $$literal
empty_address_recipient = ${{x} == {x}}
relay_domains = ${{x} != {x}}
header_checks = $(maps)$(none)x
`

const nastyMaster = `# services
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission -o { mynetworks = a b }
# between
  -o smtpd_client_restrictions=$mua_client_restrictions
  -o foo=bar -v
  words { hello world }
foo unix - n n 30? 5 pipe flags=DR  user=x argv=/usr/bin/foo   -a  -o b=$foo_x ${sender}
192.0.2.1:2525 inet n - n - 0 smtpd -vv -oname=x
sp unix - n n - 10 spawn user=nobody argv=/bin/true
br unix - n n - 10 pipe user=nobody argv=/bin/echo { a b } {c} x{ y }
a-very-long-service-name unix - - - 1000 7 lmtp
`

// instance writes a configuration directory.
func instance(t *testing.T, main, master string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"main.cf": main, "master.cf": master} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLikeReference(t *testing.T) {
	ref := findReference(t)
	sample := func(name string) string {
		text, err := os.ReadFile(filepath.Join(ref.root, "usr/share/postfix", name))
		if err != nil {
			t.Skipf("SKIPPED: %v", err)
		}
		return string(text)
	}
	configs := []struct{ name, main, master string }{
		{"debian", sample("main.cf.debian"), sample("master.cf.dist")},
		{"dist", sample("main.cf.dist"), sample("master.cf.dist")},
		{"nasty", nastyMain, nastyMaster},
		{"duplicate", "mydomain = a\nmydomain = b\nmydomain=b\n", nastyMaster},
		{"no value", "mydomain\n", nastyMaster},
		{"no name", " x\n=1\n", nastyMaster},
		{"truncated", "mydomain = ${x\n", nastyMaster},
		{"loop", "mydomain = $myhostname\nmyhostname = $mydomain\n", nastyMaster},
		{"bad name", "mydomain = ${a-b}\nx = 1\n", nastyMaster},
		{"bad operator", "mydomain = ${{a} ~ {b}}\n", nastyMaster},
		{"leading space", "  mydomain = a\n  b\nmyhostname = c\n", nastyMaster},
	}
	commands := []string{"-n", "-nf", "-nx", "-nh", "-nH", "-x mydomain", "mydomain nosuch uucp_destination_recipient_limit",
		"-C user", "-C service", "-M", "-Mf", "-Mx", "-M foo", "-M submission/inet nosuch", "-F", "-Ff", "-F foo/unix/chroot",
		"-F */*/wakeup", "-Fh foo/unix/chroot", "-P", "-Px", "-PH", "-P submission/*/mynetworks", "-o mydomain=q.r -n", "-l", "-n -d",
		"-M -F", "-Mh", "-C foo", "-e nothing", "-M -e x=y", "-X a=b", "-Pe x=1", "-Fe foo/unix/zork=1", "-Me foo/unix=foo"}
	for i, c := range configs {
		for j, command := range commands {
			if i > 3 && j > 2 {
				continue
			}
			t.Run(c.name+"/"+command, func(t *testing.T) {
				// The reference sleeps before it gives up.
				t.Parallel()
				dir := instance(t, c.main, c.master)
				args := append([]string{"-c", dir}, strings.Fields(command)...)
				out, errOut, ok := ref.run(args...)
				gotOut, gotErr, gotOK := ours(args...)
				if !ok && i > 3 {
					// The reference does not even show a file that does
					// not expand; ours does, so that it can be repaired.
					return
				}
				if diff := cmp.Diff(visible(out), visible(gotOut)); diff != "" {
					t.Errorf("output differs (-reference +ours):\n%s", diff)
				}
				if ok != gotOK {
					t.Errorf("success: reference %v, ours %v\n%s\n%s", ok, gotOK, errOut, gotErr)
				}
				if diff := cmp.Diff(messages(errOut), messages(gotErr)); diff != "" && ok {
					t.Errorf("messages differ (-reference +ours):\n%s", diff)
				} else if diff != "" {
					t.Logf("messages of the failure differ (-reference +ours):\n%s", diff)
				}
			})
		}
	}
}

// visible returns the lines that must be the same.
func visible(text string) []string {
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		if !ownFacts.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestDefaultsLikeReference compares the built-in defaults. Ours may be more,
// those of newer versions.
func TestDefaultsLikeReference(t *testing.T) {
	ref := findReference(t)
	dir := instance(t, "", nastyMaster)
	want, _, _ := ref.run("-c", dir, "-d")
	out, _, _ := ours("-c", dir, "-d")
	got := map[string]bool{}
	for _, line := range strings.Split(out, "\n") {
		got[line] = true
	}
	for _, line := range visible(want) {
		if !got[line] {
			t.Errorf("not among our defaults: %s", line)
		}
	}
}

// TestEditLikeReference compares files after changes.
func TestEditLikeReference(t *testing.T) {
	ref := findReference(t)
	for _, args := range [][]string{
		{"-e", "mydomain=z", "zz=1", "relayhost="}, {"mydomain=new value"}, {"-e", " sp  =  q  r "},
		{"-X", "mydomain"}, {"-#", "mydomain", "lonely"}, {"-X", "smtpd_recipient_restrictions"},
		{"-#", "smtpd_recipient_restrictions"}, {"-e", "smtpd_recipient_restrictions = permit"}, {"-e", "a=2", "a=3"},
		{"-X", "nosuch"},
		{"-Me", "submission/inet=submission inet n - n - 0 smtpd -o {x = y z}"}, {"-Me", "new/unix=new unix - - n - 0 lmtp"},
		{"-MX", "submission/inet"}, {"-M#", "submission/inet"}, {"-Fe", "foo/unix/chroot=y"}, {"-PX", "192.0.2.1:2525/inet/name"},
		{"-Fe", "foo/unix/command=pipe flags=X argv=foo"}, {"-Pe", "192.0.2.1:2525/inet/name=z"}, {"-Pe", "sp/unix/new=z"},
		{"-Pe", "nope/inet/x=n"}, {"-Pe", "br/unix/x=a"}, {"-Fe", "br/unix/chroot=y"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			a, b := instance(t, nastyMain, nastyMaster), instance(t, nastyMain, nastyMaster)
			for _, dir := range []string{a, b} {
				// The reference looks the user up.
				f, err := os.OpenFile(filepath.Join(dir, "main.cf"), os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				f.WriteString("mail_owner = daemon\nsetgid_group = mail\ndefault_privs = nobody\n")
				f.Close()
			}
			_, errA, okA := ref.run(append([]string{"-c", a}, args...)...)
			_, errB, okB := ours(append([]string{"-c", b}, args...)...)
			if okA != okB {
				t.Errorf("success: reference %v, ours %v\n%s%s", okA, okB, errA, errB)
			}
			for _, name := range []string{"main.cf", "master.cf"} {
				want, _ := os.ReadFile(filepath.Join(a, name))
				got, _ := os.ReadFile(filepath.Join(b, name))
				if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
					t.Errorf("%s differs (-reference +ours):\n%s", name, diff)
				}
			}
		})
	}
}
