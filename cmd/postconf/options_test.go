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
		"-hd mydomain", "-t", "-b", "-e a", "smtp_helo_name -x", "-x smtp_helo_name smtpd_banner", "-- name",
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
