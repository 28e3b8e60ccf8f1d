package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOptionsLikeReference compares options alone, together, and where they do
// not go together.
func TestOptionsLikeReference(t *testing.T) {
	ref := findReference(t)
	for _, command := range []string{
		"-d mydomain", "-dx mydomain", "-dh relayhost", "-dH relayhost", "-hx myhostname", "-hH name", "-hn name a",
		"-fx body_checks", "-fh smtpd_recipient_restrictions", "-C user -n", "-C service -x", "-C user -H",
		"-p mydomain", "-pn name", "-F foo", "-F foo/unix/nosuch", "-FH foo", "-Fx foo/unix/command", "-Pf", "-Ph",
		"-P foo", "-P */*/nosuch", "-MH", "-M -o name=y -x", "-o nope", "-o =x", "-d -n", "-a -m", "-X", "-#", "-e",
		"-Me", "-Fe", "-Pe", "-PX", "-MX", "-M#", "-X a/b", "-# a=b", "-Z", "-c", "-C", "-o", "-FX foo/unix/chroot",
		"-P# foo/unix/x", "-Mf sp", "-Mx foo/unix", "-M a/b/c", "-F /unix", "-M */unix", "-F */inet/service", "-l",
		"name=x y=z", "name a=b", "-d name=x", "-n name=x", "-M x=y", "-eX a=b", "-X# a", "-Mn", "-Md", "-Fd", "-Pn",
		"-nx a b c", "-fH name", "-o a=2 a", "-o a=2 -o a=3 -x a", "-e a=b =c", "-e =c", "-e #a=b", "-X #",
		"-hd mydomain", "-T x", "-T", "-b -t", "-t -n", "-j", "-t /nonexistent", "-e a", "smtp_helo_name -x", "-x smtp_helo_name smtpd_banner", "-- name",
		"mydomain,name", "NAME",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			a, b := instance(t, nastyMain, nastyMaster), instance(t, nastyMain, nastyMaster)
			out, errOut, ok := ref.run(append([]string{"-c", a}, strings.Fields(command)...)...)
			gotOut, gotErr, gotOK := ours(append([]string{"-c", b}, strings.Fields(command)...)...)
			errOut, gotErr = strings.ReplaceAll(errOut, a, "DIR"), strings.ReplaceAll(gotErr, b, "DIR")
			if diff := cmp.Diff(visible(out), visible(gotOut)); diff != "" {
				t.Errorf("output differs (-reference +ours):\n%s", diff)
			}
			if ok != gotOK {
				t.Errorf("success: reference %v, ours %v\n%s\n%s", ok, gotOK, errOut, gotErr)
			}
			if diff := cmp.Diff(messages(errOut), messages(gotErr)); diff != "" && ok {
				t.Errorf("messages differ (-reference +ours):\n%s", diff)
			}
		})
	}
}

// TestPairsLikeReference: which modes refuse which other options.
func TestPairsLikeReference(t *testing.T) {
	ref := findReference(t)
	for _, mode := range []string{"-m", "-b", "-T x"} {
		for _, option := range []string{"-d", "-e", "-f", "-h", "-H", "-n", "-p", "-x", "-X", "-#", "-o a=b", "-F", "-P", "-a"} {
			t.Run(mode+" "+option, func(t *testing.T) {
				t.Parallel()
				dir := instance(t, "mail_owner = daemon\nsetgid_group = mail\nname = mail\n", nastyMaster)
				args := append([]string{"-c", dir}, strings.Fields(mode+" "+option)...)
				_, errOut, ok := ref.run(args...)
				_, gotErr, gotOK := ours(args...)
				refused := func(text string) bool {
					return strings.Contains(text, "do not specify") || strings.Contains(text, "specify one of")
				}
				if refused(errOut) != refused(gotErr) {
					t.Errorf("reference %v %s\nours %v %s", ok, errOut, gotOK, gotErr)
				}
			})
		}
	}
}

// ownTemplates has each template, two with mistakes; what is built in differs.
const ownTemplates = `# of the site
failure_template = <<EOF
Charset: utf-8
From: Host <post@$myhostname>
Subject: Rück
Subject: Back
Postmaster-Subject: Copy

This is $myhostname, für $$5.

  After $maximal_queue_lifetime_days days or $delay_warning_time_hours hours.

EOF
delay_template = <<X Y
From: a@b.test
Subject: Later


Wait
EOF
X Y

success_template = <<EOF
From: a@b.test
Subject: Fine
No header here: EOF

text
EOF
verify_template = <<EOF
From: a@b.test
Subject: Report

$maximal_queue_lifetime_weeks weeks
EOF
other_template = <<EOF
text
EOF
`

// TestTemplatesLikeReference compares -t and -b where all templates are the
// site's.
func TestTemplatesLikeReference(t *testing.T) {
	ref := findReference(t)
	sbin := ref.root + "/usr/lib/postfix/sbin"
	settings := "daemon_directory = " + sbin + "\nshlib_directory = " + ref.root + "/usr/lib/postfix\nmail_owner = daemon\nsetgid_group = mail\n" +
		"queue_directory = /tmp\nexport_environment = LD_LIBRARY_PATH MAIL_CONFIG\nimport_environment = LD_LIBRARY_PATH MAIL_CONFIG\n" +
		"maillog_file = /dev/stdout\nmyhostname = m.test\nmaximal_queue_lifetime = 15d\ndelay_warning_time = 5399s\n"
	dir := instance(t, settings, "")
	templates := strings.ReplaceAll(ownTemplates, "Subject: Rück\n", "")
	if err := os.WriteFile(dir+"/bounce.cf", []byte(templates), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, option := range []string{"-t", "-b"} {
		want, errOut, ok := ref.run("-c", dir, option, dir+"/bounce.cf")
		got, gotErr, gotOK := ours("-c", dir, option, dir+"/bounce.cf")
		if !ok || !gotOK {
			t.Fatalf("%s: %v %s; ours %v %s", option, ok, errOut, gotOK, gotErr)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-reference +ours):\n%s", option, diff)
		}
		for _, text := range []string{errOut, gotErr} {
			if !strings.Contains(text, "unknown template name: other_template -- ignoring this template") {
				t.Errorf("%s: %s", option, text)
			}
		}
	}
}

// TestBuiltinTemplates: what is built in can be shown, and is a file of
// templates.
func TestBuiltinTemplates(t *testing.T) {
	dir := instance(t, "myhostname = m.test\n", "")
	shown, errOut, ok := ours("-c", dir, "-t")
	if !ok || errOut != "" || strings.Count(shown, "_template = <<EOF\n") != 4 || !strings.Contains(shown, "$myhostname") {
		t.Fatalf("%v %s%s", ok, errOut, shown)
	}
	if err := os.WriteFile(dir+"/bounce.cf", []byte(shown), 0o644); err != nil {
		t.Fatal(err)
	}
	want, _, _ := ours("-c", dir, "-b")
	got, errOut, ok := ours("-c", dir, "-b", dir+"/bounce.cf")
	if !ok || errOut != "" || got != want || !strings.Contains(got, "m.test") {
		t.Errorf("%v %s%s", ok, errOut, cmp.Diff(want, got))
	}
}

// TestTLS: -T names the library and what keys it takes.
func TestTLS(t *testing.T) {
	for mode, want := range map[string]string{"compile-version": "crypto/tls of go", "run-version": "crypto/tls of go", "public-key-algorithms": "ecdsa\ned25519\nrsa\n"} {
		if got, errOut, ok := ours("-T", mode); !ok || errOut != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %v %q %q", mode, ok, got, errOut)
		}
	}
}

// TestLists: what the reference lists, ours has too, but for NIS, which Linux
// has lost, and memcache.
func TestLists(t *testing.T) {
	ref := findReference(t)
	dir := instance(t, "mail_owner = daemon\nsetgid_group = mail\n", "")
	for option, least := range map[string]int{"-m": 10, "-l": 2, "-a": 2, "-A": 1} {
		want, errOut, ok := ref.run("-c", dir, option)
		got, gotErr, gotOK := ours("-c", dir, option)
		if !ok || !gotOK || gotErr != "" {
			t.Fatalf("%s: %s %s", option, errOut, gotErr)
		}
		names := strings.Fields(got)
		if len(names) < least {
			t.Errorf("%s: only %q", option, names)
		}
		for _, name := range strings.Fields(want) {
			if name != "nis" && name != "memcache" && !slices.Contains(names, name) {
				t.Errorf("%s: no %s in %q", option, name, names)
			}
		}
	}
}

// TestDefaultsWithoutFile: what is built in is shown where there is no main.cf
// yet.
func TestDefaultsWithoutFile(t *testing.T) {
	dir := instance(t, "relayhost = set\n", nastyMaster)
	if err := os.Remove(dir + "/main.cf"); err != nil {
		t.Fatal(err)
	}
	out, errOut, ok := ours("-c", dir, "-d", "relayhost", "message_size_limit")
	if !ok || errOut != "" || out != "relayhost =\nmessage_size_limit = 10240000\n" {
		t.Errorf("%v %q %q", ok, out, errOut)
	}
	if _, errOut, ok := ours("-c", dir, "relayhost"); ok || !strings.Contains(errOut, "main.cf") {
		t.Errorf("%v %q", ok, errOut)
	}
}
