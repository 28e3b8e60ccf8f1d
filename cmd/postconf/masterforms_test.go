package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMasterFormsLikeReference gives the forms that a master.cf may have, and
// some that it may not, to both.
func TestMasterFormsLikeReference(t *testing.T) {
	ref := findReference(t)
	for _, text := range []string{
		"x unix - - n 60? 0 smtpd -o mynetworks=v", "x unix - - n 60 100 smtpd -o { mynetworks = a b } -oa=x",
		"x unix - - n - - smtpd\n  -o mynetworks=v\n# c\n\n  -o\n  myhostname=v", "x unix-dgram n - n - 1 postlogd", "x pass - - n - - smtpd",
		"x fifo n - n 60 1 pickup", "[::1]:25 inet n - n - - smtpd", "[127.0.0.1]:smtp inet n - n - - smtpd", "127.0.0.1:25 inet n - n - - smtpd",
		"x unix - - n - - smtpd -vo mynetworks=v", "x unix - - n - - smtpd -- -o mynetworks=v",
		"x unix - - n - - smtpd -o mynetworks={ a b }", "x unix - - n - - smtpd -o {mynetworks={ a b }}", "x unix - - n - - smtpd { -o } mynetworks=v",
		"x unix - - n - - pipe user=x argv=/a { b c } -o d=e", "x unix - - n - - pipe\n user=x\n argv=/a -o ${sender}\n\t{ -f ${sender} x }",
		"x unix - - n - - smtpd -o mynetworks=v -o mynetworks=w", "x unix - - n - - smtpd -o mynetworks=",

		"x unix - - n - -", "x", "x tcp - - n - - smtpd", "x UNIX - - n - - smtpd", "x unix Y - n - - smtpd", "x unix - yes n - - smtpd",
		"x unix - - x - - smtpd", "x unix - - n 5? - smtpd", "x unix - - n -5 - smtpd", "x unix - - n 5z - smtpd", "x unix - - n - -1 smtpd",
		"x unix - - n - 1.5 smtpd", "x unix - - n - 1x smtpd", "  x unix - - n - - smtpd", "#x\n\n   # y\nx unix - - n - - smtpd",

		"x unix - - n - - smtpd -o mynetworks=${x?{a b}:{c d}} -o myhostname=y", "x unix - - n - - pipe argv=/a x{ y",
	} {
		for _, option := range []string{"-M", "-F", "-P"} {
			t.Run(option+" "+text, func(t *testing.T) {
				t.Parallel()
				dir := instance(t, "", text+"\n")
				want, errOut, ok := ref.run("-c", dir, option)
				got, gotErr, gotOK := ours("-c", dir, option)
				if ok != gotOK {
					t.Fatalf("success: reference %v, ours %v\n%s\n%s", ok, gotOK, errOut, gotErr)
				}
				if !ok && !strings.Contains(gotErr, "master.cf:1: ") {
					t.Errorf("the message has no place: %s", gotErr)
				}
				if diff := cmp.Diff(want, got); ok && diff != "" {
					t.Errorf("(-reference +ours):\n%s", diff)
				}
			})
		}
	}
}

// TestMasterNonsense: what the reference shows without a word, though no daemon
// could start with it, has a place and a reason here.
func TestMasterNonsense(t *testing.T) {
	for text, reason := range map[string]string{
		"smtpd -o =v":         "missing attribute name",
		"smtpd -o mynetworks": "missing '=' after attribute name",
		"smtpd -o":            "option -o needs name=value",
		"smtpd -vo":           "option -o needs name=value",
		"smtpd { a":           "missing '}'",
		"smtpd {a}b":          "syntax error after '}'",
		"smtpd -o {}":         "missing attribute name",
		"smtpd -o {a}":        "missing '=' after attribute name",
		"a=b":                 `field "command": bad value`,
		"-o":                  `field "command": bad value`,
	} {
		dir := instance(t, "", "# first\na unix - - n - - smtpd\nx unix - - n - - "+text+"\n")
		if out, errOut, ok := ours("-c", dir, "-M"); ok || out != "" || !strings.Contains(errOut, "master.cf:3: ") || !strings.Contains(errOut, reason) {
			t.Errorf("%q: %v %s%s", text, ok, out, errOut)
		}
	}
}
