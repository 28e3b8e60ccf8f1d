package interop

import (
	"strings"
	"testing"
)

// oddMail is a call of sendmail. A blank separates arguments, or | where there
// is one or the line begins with "| "; without input, it is a small message.
type oddMail struct {
	args, input, why, mainCf string
}

// plainMailTool takes out of what commands say about messages what differs by
// nature.
func plainMailTool(text string) string {
	return plainText(text, []substitution{
		{`\b[0-9A-F]{9,12}\b`, "ID"},
		{`no such file or directory`, "No such file or directory"},
		{`not a directory`, "Not a directory"},
		{`usage: .*`, "usage: SYNOPSIS"},
		{`(?m)^(\w{3} [ \d]\d [\d:]{8}) \S+ (postfix/\w+)\[\d+\]`, "DATE $2"},
		{`Post(fix|house)`, "SUITE"},
		{`(?m)^((?:sendmail|mailq): (?:invalid|option) .*\n)+`, "$1"}, // Postfix looks twice
	})
}

func (o oddMail) asCase() odd {
	c := odd{name: o.args, site: true, input: o.input, why: o.why, files: map[string]string{"main.cf": o.mainCf}}
	if args, ok := strings.CutPrefix(o.args, "| "); ok {
		c.calls = [][]string{append([]string{"sendmail"}, strings.Split(args, "|")...)}
	} else {
		c.calls = [][]string{append([]string{"sendmail"}, oddArgs{args: o.args}.arguments()...)}
	}
	if words, ok := strings.CutPrefix(o.why, "words: "); ok {
		c.why, c.words = "", words
	}
	if c.input == "" {
		c.input = "Subject: x\n\nbody\n"
	} else {
		c.name += " " + c.input[:min(len(c.input), 40)]
	}
	return c
}

// TestOddSendmail: sendmail makes the same file with odd command lines.
func TestOddSendmail(t *testing.T) { compareMails(t, oddMails) }

// TestOddMessages: and of odd messages.
func TestOddMessages(t *testing.T) { compareMails(t, oddMessages) }

func compareMails(t *testing.T, mails []oddMail) {
	t.Helper()
	var cases []odd
	for _, o := range mails {
		cases = append(cases, o.asCase())
	}
	compareOdd(t, cases, plainMailTool)
}

const (
	whyAngle   = "an angle bracket too many is no part of an address"
	whyRoute   = "trivial-rewrite(8) strips a route in any form"
	whyControl = "a control character is refused"
	whyNobody  = "an empty recipient is none"
)

// oddMails are about the command line.
var oddMails = []oddMail{
	// Addresses.
	{args: "-f|a b|r@c.test"}, {args: "-f|a b@c.test|r@c.test"}, {args: `-f|"a b"@c.test|r@c.test`}, {args: `-f|"a b|r@c.test`}, {args: `-f|a"b@c.test|r@c.test`}, {args: "-f|a@b.test,c@d.test|r@c.test"}, {args: "-f|g: a@b.test;|r@c.test"}, {args: "-f|(c) a@b.test (d)|r@c.test"}, {args: "-f|<a@b.test|r@c.test", why: whyAngle}, {args: "-f|a@b.test>|r@c.test"}, {args: "-f|<<a@b.test>>|r@c.test", why: whyAngle}, {args: "-f|N <a@b.test> M|r@c.test", why: "what is beside the address is not looked at"}, {args: "-f|<@x,@y:a@b.test>|r@c.test", why: whyRoute}, {args: "-f|@x:a@b.test|r@c.test", why: whyRoute},
	{args: "-f|a@@b.test|r@c.test"}, {args: "-f|a@|r@c.test"}, {args: "-f|@b.test|r@c.test"}, {args: "-f|a@b@c.test|r@c.test"}, {args: "-f|a@[1.2.3.4]|r@c.test"}, {args: "-f|a@[1.2.3.4|r@c.test", why: "what is missing stays missing"}, {args: "-f|a.@b.test|r@c.test"}, {args: "-f|.a@b.test|r@c.test"}, {args: "-f|a..b@c.test|r@c.test"}, {args: "-f|a%b@c.test|r@c.test"}, {args: "-f|b!a|r@c.test"}, {args: "-f|a@b.test.|r@c.test"}, {args: "-f|\xc3\xa4@b.test|r@c.test"}, {args: "-f|\xe4@b.test|r@c.test"}, {args: "-f|a\\@b@c.test|r@c.test"}, {args: "-f|a\\|r@c.test"}, {args: "-f|-x|r@c.test"}, {args: "-f|,|r@c.test", why: "nothing is not the null sender"}, {args: "-f|;|r@c.test", why: "nothing is not the null sender"}, {args: "-f|:|r@c.test", why: "nothing is not the null sender"}, {args: `-f|""|r@c.test`}, {args: `-f|""@c.test|r@c.test`}, {args: "-f| |r@c.test"}, {args: "-f||r@c.test"}, {args: "-f| <> |r@c.test"}, {args: "-f|<>x|r@c.test", why: "nothing is not the null sender"}, {args: "-f|" + strings.Repeat("x", 300) + "@c.test|r@c.test"}, {args: "-f|a\tb@c.test|r@c.test", why: whyControl},
	{args: "a b"}, {args: "a|b c@d.test"}, {args: `"a b"@c.test`}, {args: `| "a b`}, {args: "| g: a@b.test, c@d.test;"}, {args: "| g: ;", why: whyNobody}, {args: "| g: ;|a@b.test", why: whyNobody}, {args: "(c)a@b.test(d)"}, {args: "<a@b.test", why: whyAngle}, {args: "a@b.test>"}, {args: "| N <a@b.test>, M <c@d.test>"}, {args: "<@x,@y:a@b.test>", why: whyRoute}, {args: "a@@b.test"}, {args: "a@"}, {args: "@b.test"}, {args: "a@b@c.test"}, {args: "a@[1.2.3.4]"}, {args: "a@[1.2.3.4", why: "what is missing stays missing"}, {args: "a..b@c.test"}, {args: "\xc3\xa4@b.test"}, {args: "\xe4@b.test"}, {args: "a\\@b@c.test"}, {args: "| a\\"}, {args: "| ,", why: whyNobody}, {args: "| a,,b,"}, {args: "| ;", why: whyNobody}, {args: "| :", why: whyNobody}, {args: `| ""`, why: whyNobody}, {args: `| ""@c.test`}, {args: "|  |a", why: whyNobody}, {args: "| |a", why: whyNobody}, {args: "| a|a|A@b.test|a@B.test"}, {args: strings.Repeat("x", 3000) + "@c.test", why: "postdrop(1) says what is too long"}, {args: "| a@b.test c@d.test"}, {args: "| a;b"}, {args: "a|b@c.test>"}, {args: "| <<a@b.test>>", why: whyAngle}, {args: "| a@b.test>, c"}, {args: "| a\nb", why: whyControl}, {args: "| a,\n\tb,\r\nc\n", why: whyControl}, {args: "| a\x01b", why: whyControl}, {args: "| a\x7fb", why: whyControl}, {args: "a>b"}, {args: "/tmp/x"}, {args: ":include:/tmp/x", why: "what is before a colon is the name of a group, whether or not it ends with a semicolon"}, {args: "| a\\,b"}, {args: "| \\a"},

	// Options.
	{args: "-F|A \"B\" C|-f|a@b.test|r@c.test"}, {args: "-F||r@c.test"}, {args: "-F|\xc3\xa4\xe4|r@c.test"}, {args: "-F|a@b (c) <d>|r@c.test"}, {args: "-F|" + strings.Repeat("n", 3000) + "|r@c.test", why: "postdrop(1) says what is too long"}, {args: "-FX|-f|<>|r@c.test"}, {args: "-F|-x|r@c.test"},
	{args: "-F|a\nb|r@c.test", why: whyControl}, {args: "-F|a\tb|r@c.test", why: "a blank is written as one"}, {args: "-V|a\nb|r@c.test", why: whyControl}, {args: "-f|a@b.test\n|r@c.test", why: whyControl}, {args: "-f|a@b.test\nc|r@c.test", why: whyControl}, {args: "-V|\xc3\xa4|r@c.test"},
	{args: "-N|success, failure|r@c.test"}, {args: "-N|success failure|r@c.test"}, {args: "-N||r@c.test"}, {args: "-N|,|r@c.test"}, {args: "-N never -N success r@c.test"}, {args: "-N success -N junk r@c.test"}, {args: "-Nsuccess,success r@c.test"}, {args: "-N SuCcEsS,DELAY a b c"}, {args: "-R full -R hdrs r@c.test"}, {args: "-R full -R junk r@c.test"}, {args: "-R| |r@c.test"}, {args: "-R||r@c.test"}, {args: "-R fullx r@c.test"},
	{args: "-V a -V b r@c.test"}, {args: "-V|a b|r@c.test"}, {args: "-V|\xc3\xa4\xe4|r@c.test"}, {args: "-V||r@c.test"}, {args: "-V|+=|-f|a@b.test|r@c.test"}, {args: "-V|xx|-f|a@b.test|r@c.test"}, {args: "-V|x|r@c.test"}, {args: "-V envid -XV -f a@b.test r@c.test"}, {args: "-XV -XV+- -f a@b.test r@c.test"}, {args: "-XV -f a@b.test r@c.test s@d.test"}, {args: "-XV -f @ r@c.test"}, {args: "-X|V |-f|a@b.test|r@c.test"}, {args: "-XVx -f a@b.test r@c.test"},
	{args: "-B7BIT -B8BITMIME r@c.test"}, {args: "-B8BITMIME -B7BIT r@c.test"}, {args: "-B||r@c.test"}, {args: "-B|8BITMIME |r@c.test"}, {args: "-B8BIT r@c.test"}, {args: "-G -G r@c.test"}, {args: "-i -i r@c.test", input: ".\n.\n"}, {args: "-oi -i r@c.test", input: "a\n.\n"}, {args: "-o||r@c.test"}, {args: "-o i r@c.test", input: "a\n.\nb\n"}, {args: "-oxi r@c.test", input: "a\n.\nb\n"}, {args: "-oi- r@c.test", input: "a\n.\nb\n"}, {args: "-ie r@c.test"}, {args: "-im r@c.test", input: "a\n.\nb\n"}, {args: "-iv r@c.test"}, {args: "-ivf a@b.test r@c.test", input: "a\n.\nb\n"}, {args: "-itf a@b.test", input: "To: a\n\n.\nb\n"},
	{args: "-tf a@b.test", input: "To: a\n\n.\nb\n"}, {args: "-ft a@b.test"}, {args: "-bmi r@c.test", input: "a\n.\nb\n"}, {args: "-bm -t", input: "To: a\n\nb\n"}, {args: "-b m r@c.test"}, {args: "-b||r@c.test"}, {args: "-q||r@c.test"}, {args: "-q 1h"}, {args: "-q0"}, {args: "-qx"}, {args: "-q=x"}, {args: "-q= r@c.test", why: "words: a queue run has no recipient"}, {args: "-qI| |"}, {args: "-q-"}, {args: "-qIx -qIy", why: "root needs no flush service"}, {args: "-q -q1h"}, {args: "-q1h -bm r@c.test", why: "the last one counts; Postfix loses the message"}, {args: "-bm -bv r@c.test"}, {args: "-bv -bm r@c.test"}, {args: "-bv|a b", why: "each recipient has a line"}, {args: "-bv|\"a b\"@c.test,d", why: "each recipient has a line"}, {args: "-bv -f <> r@c.test"}, {args: "-bv -F Name -XV -f a@b.test r@c.test"}, {args: "-bv -i r@c.test"}, {args: "-bv -Bjunk r@c.test"},
	{args: "-O r@c.test"}, {args: "-O|x|-O|y|r@c.test"}, {args: "-e x r@c.test"}, {args: "-h|x|r@c.test"}, {args: "-L||r@c.test"}, {args: "-A||r@c.test"}, {args: "-C||r@c.test", why: "an empty name is none"}, {args: "-C|DIR/etc|-C|/nonexistent|r@c.test"}, {args: "-C|DIR/etc/|r@c.test"}, {args: "-C|DIR/log|r@c.test"}, {args: "-C|etc|r@c.test", why: "Postfix looks for it in the queue directory"}, {args: "--|-f|x"}, {args: "--"}, {args: "--|--|r@c.test"}, {args: "-"}, {args: "-|-"}, {args: "r@c.test|--|s@c.test"}, {args: "--help"}, {args: "-?"}, {args: "-f|a|--|-t"}, {args: "-W|r@c.test"}, {args: "-tt", input: "To: a\n\nb\n"}, {args: "-f"}, {args: "-F"}, {args: "-X"}, {args: "-q|-f"}, {args: "-N"}, {args: "-xf|a@b.test|r@c.test"},
}

// oddMessages are about what is on standard input.
var oddMessages = []oddMail{
	{args: "r", input: "\n"}, {args: "r", input: "\n\n\n"}, {args: "r", input: "no newline", why: "the last line gets an end"}, {args: "r", input: "."}, {args: "r", input: ".\n"}, {args: "r", input: "..\n"}, {args: "r", input: ".\r\nb\n"}, {args: "r", input: "a\r\n.\r\nb\r\n"}, {args: "r", input: "a\r\n.\nb\n"}, {args: "r", input: "a\n.\r\nb\n"}, {args: "r", input: "a\n. \nb\n"}, {args: "r", input: "a\n.", why: ""}, {args: "r", input: "a\n.b\n"}, {args: "r", input: "a\r\nb\r\n"}, {args: "r", input: "a\r\nb\nc\r\n"}, {args: "r", input: "a\nb\r\nc\n"}, {args: "r", input: "a\rb\rc", why: "the last line gets an end"}, {args: "r", input: "a\r\r\nb\r\r\n"}, {args: "r", input: "\r\n\r\n"}, {args: "r", input: "a\r", why: "the last line gets an end"},
	{args: "r", input: "From x y z\nSubject: a\n\nb\n"}, {args: "r", input: ">From x y z\nSubject: a\n\nb\n"}, {args: "r", input: "From x\nFrom y\n>From z\n>>From a\nSubject: a\n\nFrom b\n"}, {args: "r", input: "From: x\n\nb\n"}, {args: "r", input: "From\nSubject: a\n\nb\n"}, {args: "r", input: "FROM x\n\nb\n"}, {args: "r", input: "\nFrom x\n"}, {args: "r", input: "From x\n"}, {args: "r", input: "From x", why: "a mailbox's separator goes, however long, with or without an end"}, {args: "r", input: "From " + strings.Repeat("x", 5000) + "\nSubject: a\n\nb\n", why: "a mailbox's separator goes, however long, with or without an end"},
	{args: "r", input: "a\x00b\n"}, {args: "r", input: "\x00\n"}, {args: "r", input: "Subject: \x00\n\n\x00\x01\x02\xff\n"}, {args: "r", input: "\x0c\n\x1a\n"}, {args: "r", input: strings.Repeat("x", 2047) + "\n"}, {args: "r", input: strings.Repeat("x", 2048) + "\n"}, {args: "r", input: strings.Repeat("x", 2049) + "\n"}, {args: "r", input: strings.Repeat("x", 2047) + ".\n"}, {args: "r", input: strings.Repeat("x", 2048) + ".\n.\ny\n"}, {args: "r", input: strings.Repeat("x", 2047) + "\r\nb\n", why: "a line of any length ends with CR LF"}, {args: "r", input: strings.Repeat("x", 2048) + "\r\nb\n"}, {args: "r", input: strings.Repeat("x", 2049) + "\r\nb\n"}, {args: "r", input: strings.Repeat("x", 100000), why: "the last line gets an end"}, {args: "r", input: "Subject: " + strings.Repeat("x", 100000) + "\n\nb\n"}, {args: "r", input: strings.Repeat("a\n", 5000)},

	{args: "r", mainCf: "sendmail_fix_line_endings = strict", input: "a\r\nb\r\n"},
	{args: "r", mainCf: "sendmail_fix_line_endings = strict", input: "a\nb\r\n"},
	{args: "r", mainCf: "sendmail_fix_line_endings = strict", input: "a\r\nb\nc\r\r\n"},
	{args: "r", mainCf: "sendmail_fix_line_endings = strict", input: "a\r\n.\r\nb\r\n"},
	{args: "r", mainCf: "sendmail_fix_line_endings = strict", input: "a\n.\r\nb\r\n"},
	{args: "r", mainCf: "sendmail_fix_line_endings = never", input: "a\r\nb\r\n"},
	{args: "r", mainCf: "sendmail_fix_line_endings = never", input: "a\nb\r\n"},
	{args: "r", mainCf: "sendmail_fix_line_endings = never", input: "a\r\nb\nc\r\r\n"},
	{args: "r", mainCf: "sendmail_fix_line_endings = never", input: "a\r\n.\r\nb\r\n"},
	{args: "r", mainCf: "sendmail_fix_line_endings = never", input: "a\n.\r\nb\r\n"},

	// Recipients from headers.
	{args: "-t", input: "To: a\nTo: b\ncc: c\nBCC: d\n\nx\n"}, {args: "-t", input: "To : a\n\nx\n", why: "it is cleanup(8) that mends headers"}, {args: "-t", input: "To\t: a\n\nx\n", why: "it is cleanup(8) that mends headers"}, {args: "-t", input: "To:a\n\nx\n"}, {args: "-t", input: "To:\n a,\n\tb\n c\n\nx\n"}, {args: "-t", input: "To:\n\nx\n"}, {args: "-t", input: "To: ,\n\nx\n"}, {args: "-t", input: "To: g: a, b;, c\n\nx\n"}, {args: "-t", input: "To: undisclosed-recipients:;\nBcc: a\n\nx\n"}, {args: "-t", input: "To: undisclosed-recipients:;\n\nx\n"}, {args: "-t", input: "To: \"A, B\" <a@b.test>, C (D, E) <c@d.test>\n\nx\n"}, {args: "-t", input: "To: <a@b.test\n\nx\n", why: whyAngle}, {args: "-t", input: "To: a b c\n\nx\n"}, {args: "-t", input: "To: \"a\n\nx\n"}, {args: "-t", input: "To: (a\nCc: b\n\nx\n"}, {args: "-t", input: "To: <>\n\nx\n"}, {args: "-t", input: "To: @\n\nx\n"}, {args: "-t", input: "To: a;b\n\nx\n"}, {args: "-t", input: "To: a@b.test c@d.test\n\nx\n"},
	{args: "-t", input: "Resent-To: a\nTo: b\n\nx\n"}, {args: "-t", input: "To: b\nResent-Cc: a\nResent-Bcc: c\nCc: d\n\nx\n"}, {args: "-t", input: "Resent-From: x\nTo: b\n\nx\n"}, {args: "-t", input: "Resent-To:\nTo: b\n\nx\n"}, {args: "-t", input: "Resent-To: a\nResent-Date: b\nReceived: c\nResent-To: d\n\nx\n"}, {args: "-t x y", input: "Resent-To: a\nTo: b\n\nx\n"}, {args: "-t x", input: "Subject: a\n\nTo: b\n"}, {args: "-t", input: "Apparently-To: a\n\nx\n"}, {args: "-t", input: "X-To: a\n\nx\n"}, {args: "-t", input: "To: a\nnot a header\nCc: b\n\nx\n", why: "it is cleanup(8) that mends headers"}, {args: "-t", input: "not a header\nTo: b\n\nx\n"}, {args: "-t", input: " folded\nTo: b\n\nx\n"}, {args: "-t", input: "From x\nTo: b\n\nx\n"}, {args: "-t", input: ">From x\nTo: b\n\nx\n"}, {args: "-t", input: "To: a\nFrom x\nCc: b\n\nx\n", why: "it is cleanup(8) that mends headers"}, {args: "-t", input: "To: a\n.\nCc: b\n\nx\n"}, {args: "-t", input: "To: a\r\nCc: b\r\n\r\nx\r\n"}, {args: "-t", input: "To: a\rCc: b\n\nx\n", why: "what is before a colon is the name of a group, whether or not it ends with a semicolon"}, {args: "-t", input: "To: a\x00b, c\n\nx\n", why: whyControl}, {args: "-t", input: "T\xc3\xb6: a\nTo: \xc3\xa4@b.test\n\nx\n"}, {args: "-t", input: "To: a\\,b@c.test\n\nx\n"}, {args: "-t", input: "To: =?utf-8?q?a=2Cb?= <a@b.test>\n\nx\n"}, {args: "-t", input: "To: a"}, {args: "-t", input: "To: a, a, A\nCc: a\n\nx\n"}, {args: "-t -f a@b.test a", input: "To: a\n\nx\n"}, {args: "-t", input: "To: " + strings.Repeat("x@y.test, ", 3000) + "z\n\nx\n"}, {args: "-t", input: "To: " + strings.Repeat("x", 5000) + "@y.test\n\nx\n", why: "postdrop(1) says what is too long"}, {args: "-t", input: "Subject: a\n\n"}, {args: "-t", input: ":a\nTo: b\n\nx\n"}, {args: "-t", input: "To: a\n \nCc: b\n\nx\n"}, {args: "-t", input: "To: a\n\t\n\nx\n"}, {args: "-tN success,delay -R hdrs -V e", input: "To: a, b\n\nx\n"}, {args: "-tG", input: "To: a\n\nx\n"}, {args: "-tXV -f a@b.test", input: "To: a\n\nx\n", why: "joined or not, an option means the same"},
}
