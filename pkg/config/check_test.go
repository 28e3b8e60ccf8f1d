package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// check runs Check on texts and returns the findings without directory.
func check(t *testing.T, main, master string) []string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"main.cf": main, "master.cf": master} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	problems, err := Check(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, p := range problems {
		list = append(list, strings.ReplaceAll(p.String(), dir+"/", ""))
	}
	return list
}

func TestCheck(t *testing.T) {
	const master = "smtp inet n - n - - smtpd\ndovecot unix - n n - - pipe flags=R user=x argv=/bin/cat\n"
	for _, test := range []struct{ name, main, master, want string }{
		{"misspelt", "a = 1\nmydestinaton = x\n", master, `main.cf:2:1: warning: unknown parameter "mydestinaton", ignored; did you mean "mydestination"?`},
		{"unknown", "zzz_qqq_xxx = 1\n", master, `main.cf:1:1: warning: unknown parameter "zzz_qqq_xxx", ignored`},
		{"bad value", "\n\nbiff = perhaps\n", master, `main.cf:3:8: error: biff = perhaps: bad boolean value: want yes or no`},
		{"bad default", "compatibility_level = x\n", master, `error: the default of`},
		{"undefined", "mydestination = $nobody\n", master, `main.cf: warning: a value refers to the parameter "nobody", which is not defined`},
		{"no effect", "tls_random_source = dev:/dev/urandom\n", master, `main.cf:1:1: note: tls_random_source has no effect here: No effect`},
		{"syntax", "mydomain\n", master, `error: main.cf:1:1: missing '='`},
		{"master", "mydomain = a.b\n", "smtp inet n\n", `error: master.cf:1: 3 columns, want 8`},
		{"override", "", "smtp inet n - n - - smtpd -o biff=perhaps\n", `master.cf:1: error: service smtp: biff = perhaps: bad boolean`},
		{"override name", "", "smtp inet n - n - - smtpd -o mynetwork=x\n", `did you mean "mynetworks"?`},
		{"comment", "mydomain = a.b # c\n", master, `main.cf:1:12: warning: mydomain: text after # is part of the value`},
		{"transport range", "dovecot_destination_recipient_limit = x\n", master, `main.cf:1:39: error: dovecot_destination_recipient_limit = x: bad numerical value`},
	} {
		t.Run(test.name, func(t *testing.T) {
			all := strings.Join(check(t, test.main, test.master), "\n")
			if !strings.Contains(all, test.want) {
				t.Errorf("got:\n%s\nwant: %s", all, test.want)
			}
		})
	}
}

// TestCheckOnce holds that an error is reported where it is, and not again at
// each parameter that refers to it.
func TestCheckOnce(t *testing.T) {
	const master = "smtp inet n - n - - smtpd\n"
	for _, test := range []struct{ name, main, want string }{
		{"value", "default_process_limit = 12x\n", "main.cf:1:25: error: default_process_limit = 12x: bad numerical value"},
		{"syntax", "alias_database = $alias_maps\nalias_maps = hash:${x\n", `main.cf:2:14: error: alias_maps = hash:${x: truncated macro reference: "${x"`},
		{"own name", "mydomain = $mine\nmine = ${x\n", `main.cf:2:8: error: mine: truncated macro reference: "${x"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := strings.Join(check(t, test.main, master), "\n"); got != test.want {
				t.Errorf("got:\n%s\nwant: %s", got, test.want)
			}
		})
	}
	// Parameters that refer to each other are all told, as each is to blame.
	got := strings.Join(check(t, "mydomain = $a\na = $b\nb = $a\n", master), "\n")
	if !strings.Contains(got, "main.cf:2:5: error: a: ") || !strings.Contains(got, "main.cf:3:5: error: b: ") || strings.Contains(got, "mydomain") {
		t.Errorf("a circle:\n%s", got)
	}
}

// TestCheckSilent holds that what sites do every day is not reported.
func TestCheckSilent(t *testing.T) {
	got := check(t, "mua = permit\nsmtpd_restriction_classes = cls\ncls = permit\ndovecot_destination_recipient_limit = 1\n"+
		"virtual_alias_maps = ldap:people\npeople_server_host = localhost\n",
		"smtp inet n - n - - smtpd -o smtpd_relay_restrictions=$mua\ndovecot unix - n n - - pipe flags=R user=x argv=/bin/cat\n")
	for _, line := range got {
		if strings.Contains(line, "unknown") || strings.Contains(line, "not defined") {
			t.Errorf("reported: %s", line)
		}
	}
}

func TestProblemWithoutPlace(t *testing.T) {
	if got := (Problem{Severity: Error, Text: "master.cf:4: 6 columns"}).String(); got != "error: master.cf:4: 6 columns" {
		t.Errorf("got %q", got)
	}
}
