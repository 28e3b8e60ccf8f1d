package interop

import (
	"slices"
	"strings"
	"testing"
)

const oddMain = `# comment
mydomain = example.org
myhostname = $(name).${mydomain}
name = mail

smtpd_recipient_restrictions = permit_mynetworks,
# in the middle
   reject_unauth_destination # no comment

	permit
relayhost=
a = 1
`

const oddMaster = `# services
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission -o { mynetworks = a b }
  -o smtpd_helo_required=yes -v
# and more
foo unix - n n 30? 5 pipe flags=DR  user=x argv=/usr/bin/foo -a ${sender}
192.0.2.1:2525 inet n - n - 0 smtpd -vv -oname=x
smtp unix - - n - - smtp
`

// plainPostconf takes out of what postconf says the order and the repetition of
// warnings, as Postfix reads a file several times, and how a place in a file is
// written.
func plainPostconf(text string) string {
	var lines, warnings []string
	flush := func() {
		slices.Sort(warnings)
		lines = append(lines, slices.Compact(warnings)...)
		warnings = nil
	}
	text = plainText(text, []substitution{
		{`no such file or directory`, "No such file or directory"},
		{`usage: .*`, "usage: SYNOPSIS"},
		{`(/main\.cf), line (\d+): `, "$1:$2: "},
		{`(/main\.cf:\d+):\d+: `, "$1: "},
		{`(?m)^.*/main\.cf:1: overriding .*\n`, ""}, // at the second reading
	})
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "postconf: warning: ") {
			warnings = append(warnings, line)
			continue
		}
		flush()
		lines = append(lines, line)
	}
	flush()
	return strings.Join(lines, "\n")
}

// oddArgs are the arguments of a call, and why the outcome differs.
type oddArgs struct{ args, why string }

// arguments splits at blanks, or at | where there are any.
func (o oddArgs) arguments() []string {
	if strings.Contains(o.args, "|") {
		return strings.Split(o.args, "|")
	}
	return strings.Fields(o.args)
}

// asCase makes a case of postconf. A reason that begins with "words: " is about
// the text of an error only.
func (o oddArgs) asCase(name string, files map[string]string) odd {
	c := odd{name: name + o.args, files: files, calls: [][]string{append([]string{"postconf", "-c", "DIR"}, o.arguments()...)}, why: o.why}
	if words, ok := strings.CutPrefix(o.why, "words: "); ok {
		c.why, c.words = "", words
	}
	return c
}

// TestOddPostconf: postconf shows and changes the same with odd arguments.
func TestOddPostconf(t *testing.T) {
	var cases []odd
	files := map[string]string{"main.cf": oddMain, "master.cf": oddMaster}
	for _, o := range slices.Concat(oddShow, oddEdit, oddEditMaster) {
		cases = append(cases, o.asCase("", files))
	}
	compareOdd(t, cases, plainPostconf)
}

var oddShow = []oddArgs{
	{args: "-n mydomain nosuch"}, {args: "nosuch"}, {args: "-d nosuch"}, {args: "-h nosuch mydomain"}, {args: "-H nosuch mydomain"}, {args: "my*"}, {args: "mydomain/x"}, {args: "-x nosuch"},
	{args: "-C user"}, {args: "-C builtin nosuch"}, {args: "-C user,service"}, {args: "-C user,"}, {args: "-C| user"}, {args: "-C all mydomain"}, {args: "-C user mydomain"},
	{args: "-C User", why: "the classes are written in small letters, as the manual has them"},
	{args: "-C ,", why: "no class is none of them, or all: here all"},
	{args: "-o a=2 a"}, {args: "-o nosuch=1 nosuch"}, {args: "-o nosuch=1 -n nosuch"}, {args: "-o mydomain= -x myhostname"}, {args: "-o mydomain=$x -x myhostname"},
	{args: "-o mydomain=${x -x myhostname", why: "ours names the parameter"}, {args: "-o mydomain=$mydomain -x myhostname", why: "ours names the parameter"},
	{args: "-o config_directory=/x config_directory"}, {args: "-nh"}, {args: "-nH"}, {args: "-nx"}, {args: "-nf"}, {args: "-nfh"}, {args: "-nfH"}, {args: "-nhx"}, {args: "-n -o a=3"},

	{args: "-M nosuch"}, {args: "-M */*"}, {args: "-M smtp/*"}, {args: "-M */inet"}, {args: "-M smtp/unix foo/unix"}, {args: "-M smtp/unix/x"}, {args: "-M /"}, {args: "-M smtp/"}, {args: "-M /unix"}, {args: "-M *"}, {args: "-M submission/unix"},
	{args: "-M foo foo"}, {args: "-M submission foo/unix nosuch/unix"}, {args: "-M 192.0.2.1:2525/inet"}, {args: "-Mf *"}, {args: "-Mx"}, {args: "-Mo a=2 foo"}, {args: "-M s*"},
	{args: "-F nosuch"}, {args: "-F */*/*"}, {args: "-F foo/unix/wakeup"}, {args: "-F foo/unix/wakeup/x"}, {args: "-F foo/unix/argv"}, {args: "-F */*/nosuch"}, {args: "-F foo//chroot"}, {args: "-F foo/unix/"}, {args: "-F foo/unix/service nosuch/unix/type"},
	{args: "-F smtp/unix/type foo/unix/wakeup foo/unix/chroot"}, {args: "-F */unix/type */*/chroot"},
	{args: "-Fh foo/unix/command", why: "there is a blank between program and arguments"}, {args: "-FH foo/unix/command"}, {args: "-Fx foo/unix/command"}, {args: "-Ff submission/inet/command"}, {args: "-F foo/unix/process_limit foo/unix/process_limit"},
	{args: "-P nosuch"}, {args: "-P */*/*"}, {args: "-P submission/inet/mynetworks"}, {args: "-P */*/nosuch"}, {args: "-P */inet/name"}, {args: "-P submission//mynetworks"}, {args: "-P a/b/c/d"}, {args: "-Ph submission"}, {args: "-PH submission"}, {args: "-Px submission"}, {args: "-Pf submission"}, {args: "-P foo"},
	{args: "-P submission/inet/ a"}, {args: "-P [a-z]*/inet/*"}, {args: "-P sub*/inet"}, {args: "-P submission/inet/my*"}, {args: "-P submission/inet/syslog_name submission/inet/mynetworks"}, {args: "-P */*/name submission"},

	{args: "-hH"}, {args: "-dn"}, {args: "-nd"}, {args: "-de x=y"}, {args: "-M -F"}, {args: "-M -P"}, {args: "-F -P"}, {args: "-P -p"}, {args: "-Mp"}, {args: "-MFP"}, {args: "-e"},
	{args: "-X", why: "words: it is a name that is missing"}, {args: "-#", why: "words: it is a name that is missing"},
	{args: "-Xe a"}, {args: "-X# a"}, {args: "-e# a"}, {args: "-eX a=b"}, {args: "-n x=y"}, {args: "-d x=y"}, {args: "-h x=y"}, {args: "-H x=y"}, {args: "-x x=y"}, {args: "-f x=y"}, {args: "-C user x=y"}, {args: "-o a=b x=y"}, {args: "-Xf a"}, {args: "-Xx a"}, {args: "-#h a"}, {args: "-Xo a=2 a"},
	{args: "-A"}, {args: "-l"}, {args: "-a -n"}, {args: "-l -h"}, {args: "-l mydomain"}, {args: "-T"}, {args: "-T x"}, {args: "-am"}, {args: "-bt"}, {args: "-tT x"}, {args: "-z"}, {args: "-nz"}, {args: "-nC"}, {args: "-no"}, {args: "-no ="}, {args: "-no a"}, {args: "-o"}, {args: "-o = a"}, {args: "-nc DIR"},
	{args: "-c nosuch"}, {args: "-c nosuch -d mydomain"}, {args: "-c nosuch -e a=b", why: "words: it is main.cf that is missing"}, {args: "-c DIR/main.cf"}, {args: "-c DIR/main.cf -n"}, {args: "-c DIR/main.cf -e a=b", why: "words: it is main.cf that is missing"}, {args: "-c"}, {args: "-c /nonexistent -M", why: "words: main.cf is looked at first"},
	{args: "--help"}, {args: "-"}, {args: "- -"}, {args: "-- -n"}, {args: "-n --"}, {args: "mydomain -n"}, {args: "-hhh mydomain"}, {args: "-nnn mydomain"}, {args: "-xdh myhostname"}, {args: "-dx myhostname"}, {args: "-dxh mynetworks_style"},
}

const (
	whyNames   = "a name has no blanks"
	whyTwice   = "once is enough; Postfix dies of it"
	whyWrong   = "what master could not read is not written"
	whyBraces  = "a value with blanks goes into braces"
	whyComment = "a comment stays above the entry that it is about"
	whySlash   = "a service name may have slashes"
	whyField   = "words: what is wrong with the field"
)

var oddEdit = []oddArgs{
	{args: "-e mydomain"}, {args: "-e mydomain="}, {args: "-e =x"}, {args: "-e| = x"}, {args: "-e|"}, {args: "-e| "}, {args: "-e|a b=c"}, {args: "-e|a b = c"}, {args: "-e|new=a  b\tc"}, {args: "-e|new = a\nb"}, {args: "-e|new\n=a"}, {args: "-e|#new=a"}, {args: "-e| #new=a"}, {args: "-e new=#a"}, {args: "-e new==a"}, {args: "-e new=$"}, {args: "-e new=${"},
	{args: "-e a=2 a=3"}, {args: "-e a=2 a=2"}, {args: "-e n=1 m"}, {args: "-e n=1 =m"}, {args: "-e a/b=c"}, {args: "-e a-b=c"}, {args: "-e name.x=c"}, {args: "-e|mydomain\t=\tx\t"}, {args: "-e|new={ a b }"}, {args: "-e smtpd_recipient_restrictions="}, {args: "-e config_directory=/x"}, {args: "-e é=ü"}, {args: "-e|a=\r"}, {args: "-e|a=b\r\n"},
	{args: "a=2 b"}, {args: "b a=2"}, {args: "a=2 -n"}, {args: "mydomain a=2"},
	{args: "-X a"}, {args: "-X a a", why: whyTwice}, {args: "-X a nosuch"}, {args: "-X nosuch"}, {args: "-X|"}, {args: "-X| a"}, {args: "-X a="}, {args: "-X a=1"}, {args: "-X|a b", why: whyNames}, {args: "-X #a"}, {args: "-X|a\n"}, {args: "-X smtpd_recipient_restrictions a mydomain"}, {args: "-X config_directory"}, {args: "-X my*"}, {args: "-X a/b"}, {args: "-X -n"}, {args: "-X -- a"},
	{args: "-# a"}, {args: "-# a a", why: whyTwice}, {args: "-# nosuch"}, {args: "-#|"}, {args: "-# a=1"}, {args: "-#|a b", why: whyNames}, {args: "-# smtpd_recipient_restrictions"}, {args: "-# mydomain name"}, {args: "-# #"}, {args: "-# relayhost"},
}

var oddEditMaster = []oddArgs{
	{args: "-Me|foo/unix=foo unix - - - - - lmtp"}, {args: "-Me|foo/unix = foo unix - - - - - lmtp  -o  x=y   z"}, {args: "-Me|foo/unix=bar unix - - - - - lmtp"}, {args: "-Me|foo/unix=foo inet n - - - - lmtp"}, {args: "-Me|foo/unix=foo unix - - - -", why: whyField}, {args: "-Me foo/unix=", why: whyField}, {args: "-Me foo/unix"}, {args: "-Me|foo=foo unix - - - - - lmtp"}, {args: "-Me|/unix=foo unix - - - - - lmtp"}, {args: "-Me|foo/=foo unix - - - - - lmtp"},
	{args: "-Me|foo/x/unix=foo/x unix - - - - - lmtp", why: whySlash}, {args: "-Me|*/unix=foo unix - - - - - lmtp", why: "Postfix lets one entry take the place of all"}, {args: "-Me|new/unix=new unix - - - - - lmtp|new/unix=new unix - - n - - lmtp", why: "the last counts, as with -e"}, {args: "-Me =x"}, {args: "-Me|"}, {args: "-Me|new/unix=new unix - - - - - lmtp\n -o x=y"},
	{args: "-Me|foo/unix=foo unix x - - - - lmtp", why: whyField}, {args: "-Me|new/nosuch=new nosuch - - - - - lmtp", why: whyField}, {args: "-Me|new/unix=new unix - - - - - lmtp { a", why: whyWrong}, {args: "-Me|new/unix=new unix - - - - - lmtp -o", why: whyWrong}, {args: "-Me|#new/unix=new unix - - - - - lmtp"}, {args: "-M|foo/unix=foo unix - - - - - lmtp"}, {args: "-M foo/unix=x", why: whyField}, {args: "-Me|submission/inet=submission inet n - n - - smtpd -o { a = b c } -o d=e,f argument -o g=h"},
	{args: "-MX foo/unix"}, {args: "-MX foo"}, {args: "-MX nosuch/unix"}, {args: "-MX */unix"}, {args: "-MX */*"}, {args: "-MX foo/unix foo/unix"}, {args: "-MX foo/unix=x"}, {args: "-MX foo/unix/x", why: whySlash}, {args: "-MX /"}, {args: "-MX|"}, {args: "-MX foo/*"}, {args: "-MX f*/unix"}, {args: "-MX submission/inet smtp/unix"},
	{args: "-M# foo/unix"}, {args: "-M# submission/inet"}, {args: "-M# nosuch/unix"}, {args: "-M# */inet"}, {args: "-M# foo/unix smtp/unix nosuch/inet"}, {args: "-M# foo"},
	{args: "-Fe foo/unix/chroot=y"}, {args: "-Fe foo/unix/chroot=x", why: whyField}, {args: "-Fe foo/unix/chroot=", why: whyWrong}, {args: "-Fe foo/unix/chroot"}, {args: "-Fe foo/unix/nosuch=y"}, {args: "-Fe foo/unix=y"}, {args: "-Fe|foo/unix/chroot=y n"}, {args: "-Fe */unix/chroot=y"}, {args: "-Fe */*/chroot=y", why: whyComment}, {args: "-Fe nosuch/unix/chroot=y"}, {args: "-Fe foo/unix/service=bar"}, {args: "-Fe foo/unix/type=inet"}, {args: "-Fe foo/unix/type=nosuch", why: whyField}, {args: "-Fe foo/unix/wakeup=x", why: whyField}, {args: "-Fe foo/unix/wakeup=60?"}, {args: "-Fe foo/unix/process_limit=-1", why: whyField}, {args: "-Fe foo/unix/process_limit=x", why: whyField}, {args: "-Fe|foo/unix/command=lmtp  -o  a=b"}, {args: "-Fe foo/unix/command=", why: "Postfix dies of it"}, {args: "-Fe foo/unix/command=-x", why: whyWrong}, {args: "-Fe foo/unix/*=y"},
	{args: "-Fe foo/unix/private=y foo/unix/chroot=y"}, {args: "-Fe foo/unix/chroot=y foo/unix/chroot=n"}, {args: "-Fe|foo/unix/chroot = y "}, {args: "-Fe| foo/unix/chroot=y"}, {args: "-Fe foo/unix/x/chroot=y", why: whySlash}, {args: "-F foo/unix/chroot=y"}, {args: "-FX foo/unix/chroot"}, {args: "-F# foo/unix/chroot"},
	{args: "-Pe foo/unix/a=b"}, {args: "-Pe foo/unix/a="}, {args: "-Pe foo/unix/a"}, {args: "-Pe foo/unix=b"}, {args: "-Pe|foo/unix/a=b c", why: whyBraces}, {args: "-Pe|foo/unix/a = b,c"}, {args: "-Pe foo/unix/a=b foo/unix/a=c"}, {args: "-Pe|foo/unix/a={b c}", why: whyBraces}, {args: "-Pe foo/unix/a=b}c"}, {args: "-Pe foo/unix/a={b", why: whyWrong}, {args: "-Pe submission/inet/mynetworks=x", why: whyComment}, {args: "-Pe submission/inet/mynetworks=", why: whyComment}, {args: "-Pe */inet/new=x", why: whyComment}, {args: "-Pe */*/new=x", why: whyComment}, {args: "-Pe nosuch/inet/new=x"}, {args: "-Pe submission/inet/*=x"}, {args: "-Pe|submission/inet/a b=x"}, {args: "-Pe submission/inet/a/b=x", why: whySlash}, {args: "-P submission/inet/new=x", why: whyComment}, {args: "-Pe smtp/unix/x=$y"}, {args: "-Pe =x"}, {args: "-Pe|"},
	{args: "-PX submission/inet/mynetworks", why: whyComment}, {args: "-PX submission/inet/nosuch", why: whyComment}, {args: "-PX nosuch/inet/x"}, {args: "-PX submission/inet"}, {args: "-PX submission/inet/*"}, {args: "-PX */*/*"}, {args: "-PX */inet/name", why: whyComment}, {args: "-PX submission/inet/mynetworks submission/inet/mynetworks", why: whyComment}, {args: "-PX submission/inet/mynetworks=x"}, {args: "-PX submission/inet/mynetworks submission/inet/syslog_name", why: whyComment}, {args: "-PX|"}, {args: "-P# submission/inet/mynetworks"},
}
