package interop

import (
	"strings"
	"testing"
)

// oddFile is a configuration file, and why the outcome of calls differs, by
// option.
type oddFile struct {
	text  string
	about map[string]string
}

// reason returns why a call differs.
func (f oddFile) reason(call string) string { return f.about[call[:strings.IndexAny(call+" ", " |")]] }

// TestOddMainCf: postconf shows and changes the same in a main.cf with mistakes.
func TestOddMainCf(t *testing.T) {
	var cases []odd
	for _, f := range oddMainFiles {
		files := map[string]string{"main.cf": f.text, "master.cf": oddMaster}
		for _, args := range []string{"-n", "-x mydomain relayhost", "-e mydomain=x", "-# mydomain relayhost", "-X mydomain relayhost"} {
			cases = append(cases, oddArgs{args, f.reason(args)}.asCase(f.text+" ", files))
		}
	}
	compareOdd(t, cases, plainPostconf)
}

const (
	whyShown   = "it is shown, so that it can be put right"
	whyNamed   = "the parameter is named"
	whyDollar  = "$$ is no reference"
	whyLetters = "letters of all languages are shown"
	whyNull    = "a null byte is a mistake that is told, and no line's end"
	whyWords   = "words: it is told what is wrong, and on which line"
	whyMain    = "what main.cf says is shown nevertheless"
	whyWord    = "a word in braces stays what it is: empty, or with braces of its own"
	whyRefused = "what master would not take is not shown or written as if it did"
)

var oddMainFiles = []oddFile{
	{text: ""}, {text: "\n"}, {text: "# only\n"}, {text: "mydomain\n"}, {text: "mydomain x\n"}, {text: "=x\n"}, {text: " = x\n"}, {text: "mydomain = a"}, {text: "mydomain = a\n\n\n"}, {text: "mydomain = a\n b\n"}, {text: "mydomain = a\n# c\n b\n"}, {text: "mydomain = a\n\n b\n"}, {text: "mydomain = a\n   \n b\n"}, {text: "mydomain =\n a\n b\n"}, {text: "mydomain\n = a\n"}, {text: " mydomain = a\n"}, {text: " mydomain = a\nrelayhost = b\n"}, {text: "mydomain = a\n\t# c\nrelayhost = b\n"},
	{text: "mydomain = a\nmydomain = b\n"}, {text: "mydomain = a\nmydomain = a\n"}, {text: "mydomain = a\nrelayhost = x\nmydomain = b\nmydomain = c\n"}, {text: "mydomain = a\n b\nmydomain = c\n d\n"}, {text: "my domain = a\n"}, {text: "mydomain = a # b\n"}, {text: "mydomain = #b\n"}, {text: "mydomain == a\n"}, {text: "mydomain=a=b\n"}, {text: "mydomain = a\r\nrelayhost = b\r\n"}, {text: "mydomain = \xe4\xff\n"}, {"m\xc3\xa4 = a\n", map[string]string{"-n": whyLetters, "-x": whyLetters}}, {text: "my-domain = a\n"}, {text: "mydomain.x = a\n"}, {text: "MYDOMAIN = a\n"},
	{"mydomain = $relayhost\nrelayhost = $mydomain\n", badValue}, {"mydomain = $mydomain\n", badValue}, {text: "mydomain = $nosuch\n"}, {"mydomain = $\n", badValue}, {"mydomain = $$x\n", map[string]string{"-n": whyDollar, "-x": whyDollar}}, {"mydomain = $-x\n", badValue}, {"mydomain = a$ b\n", badValue}, {"mydomain = ${}\n", badValue}, {"mydomain = $()\n", badValue}, {"mydomain = ${x\n", badValue}, {"mydomain = $(x\n", badValue}, {text: "mydomain = ${x}}\n"}, {"mydomain = ${{x}\n", badValue}, {text: "mydomain = ${x?y}\n"}, {"mydomain = ${x?{y}\n", badValue}, {text: "mydomain = ${x:{y}}\n"}, {text: "mydomain = ${x?{y}:z}\n"}, {"mydomain = ${x?{y}{z}}\n", badValue},
	{text: "mydomain = ${{a} == {a} ? {b} : {c}}\n"}, {text: "mydomain = ${{a}=={a}?b:c}\n"}, {"mydomain = ${{a} = {a} ? {b}}\n", badValue}, {text: "mydomain = ${{a} == {a}}\n"}, {"mydomain = ${a b}\n", badValue}, {text: "mydomain = ${ relayhost }\nrelayhost = r\n"}, {"mydomain = $(relayhost}\n", badValue}, {"mydomain = ${relayhost)\n", badValue}, {text: "mydomain = $relayhost-x ${relayhost}x $relayhost.x\nrelayhost = r\n"}, {text: "mydomain = ${relayhost?$relayhost}${relayhost:none}\n"}, {text: "mydomain = ${x?{${y?{z}}}}\nx = 1\ny = 2\n"}, {text: "mydomain = ${{1} < {10} ? {n} : {s}} ${{1a} < {10} ? {n} : {s}}\n"}, {text: "mydomain = ${{3.6} >=level {3} ? {n} : {s}}\n"}, {"mydomain = ${{x} >=level {3} ? {n} : {s}}\n", badValue},
	{text: "mydomain = a\nunknown_thing = b\n"}, {text: "smtp_tls_security_level = nosuch\n"}, {text: "message_size_limit = x\n"}, {text: "queue_run_delay = 3x\n"}, {text: "unused = $mydomain\n"}, {text: "used = x\nmydomain = $used\n"}, {text: "mynetworks = 300.1.1.1\n"}, {"inet_interfaces = nosuch.invalid\n", map[string]string{"-n": whyShown, "-x": whyShown}}, {text: "mail_owner = nosuchuser\n"}, {"compatibility_level = x\n", map[string]string{"-n": whyShown, "-x": whyShown}}, {text: "foo_destination_recipient_limit = 2\nnosuch_destination_recipient_limit = 2\n"}, {text: "relayhost = " + strings.Repeat("x", 3000) + "\n"}, {text: "mydomain = " + strings.Repeat("x ", 300) + "\n"}, {text: "mydomain = a \\\n b\n"}, {text: "relayhost = \"a b\"\n"}, {text: "relayhost = {a} {b c}\n"}, {"mydomain = a\x00b\n", map[string]string{"-n": whyNull, "-x": whyNull, "-#": whyNull}}, {"mydomain = a\n\x00\n", map[string]string{"-n": whyWords, "-x": whyWords, "-e": whyNull, "-#": whyNull, "-X": whyNull}},
}

// Files with mistakes of one kind.
var (
	badValue   = map[string]string{"-n": whyShown, "-x": whyNamed}
	badForBoth = map[string]string{"-Mf": whyWords, "-n": whyMain, "-P": whyWords, "-Fe": whyWords, "-Pe": whyWords, "-PX": whyWords}
	hidden     = map[string]string{"-Mf": whyRefused, "-n": whyMain, "-P": whyRefused}
	commented  = map[string]string{"-Fe": whyComment, "-Pe": whyComment, "-PX": whyComment}
	onceOnly   = map[string]string{"-Pe": "one setting takes the place of several"}
	braces     = map[string]string{"-Mf": whyWord, "-Fe": whyWord, "-Pe": whyWord, "-PX": whyWord}
	badForUs   = map[string]string{"-Mf": whyRefused, "-n": whyMain, "-P": whyRefused, "-Fe": whyRefused, "-Pe": whyRefused, "-PX": whyRefused}
)

// TestOddMasterCf is the same with master.cf.
func TestOddMasterCf(t *testing.T) {
	var cases []odd
	for _, f := range oddMasterFiles {
		files := map[string]string{"main.cf": oddMain, "master.cf": f.text}
		for _, args := range []string{"-Mf", "-n", "-P", "-Fe|x/unix/chroot=y", "-Pe|x/unix/a=b", "-PX|x/unix/a", "-MX|x/unix", "-M#|x/unix", "-Me|x/unix=x unix - - - - - smtp"} {
			cases = append(cases, oddArgs{args, f.reason(args)}.asCase(f.text+" ", files))
		}
	}
	compareOdd(t, cases, plainPostconf)
}

var oddMasterFiles = []oddFile{
	{text: ""}, {text: "# c\n"}, {"x\n", map[string]string{"-Mf": whyWords, "-n": whyMain, "-P": whyWords, "-Fe": whyWords, "-Pe": whyWords, "-PX": whyWords, "-MX": whyWords, "-M#": whyWords, "-Me": whyWords}}, {"x unix - - -\n", badForBoth}, {text: "x unix - - n - - smtp"}, {"x unix - - n - - smtp\n\n", commented}, {text: "x unix - - n - - smtp\nx unix - - n - - lmtp\n"}, {text: " x unix - - n - - smtp\n"}, {"x unix - - n - - smtp\n -o a=b\n# c\n\n -o c=d\n", commented}, {"x unix - - n - - smtp -o a=b -o a=c\n", onceOnly}, {"x unix - - n - - smtp -o a = b\n", badForUs}, {"x unix - - n - - smtp -o { a = b\n", badForUs}, {"x unix - - n - - smtp -o {a=b}c\n", badForUs}, {"x unix - - n - - smtp -o\n", badForUs}, {"x unix - - n - - smtp -o a\n", badForUs}, {"x unix - - n - - smtp -o =b\n", badForUs},
	{"x nosuch - - n - - smtp\n", map[string]string{"-Mf": whyWords, "-P": whyWords, "-n": whyMain}}, {"x unix Y - n - - smtp\n", badForBoth}, {"x inet y - n - - smtp\n", hidden}, {text: "x unix - - n - - smtp\r\n"}, {text: "x unix - - n - - smtp # c\n"}, {"x unix - - n x - smtp\n", badForBoth}, {"x unix - - n - x smtp\n", badForBoth}, {"x unix - - n - - -x\n", badForUs}, {"x unix - - n - - smtp {} { }\n", braces}, {"x unix - - n - - smtp -oa=b -voa=b -v -D -o a=$b\n", onceOnly}, {text: "x/y unix - - n - - smtp\nx unix - - n - - smtp\n"}, {"../x unix - - n - - smtp\n", hidden}, {"x unix - - n - - smtp -o a={b c} -o {a={b c}} -o {a = b c}\n", onceOnly}, {text: "x unix - - n - - smtp -o a=b,c -o d=,\n"}, {"x unix - - n - - pipe flags=R user=x argv=/a { b c } {d} {{e}} e{f\n", braces}, {text: "x   unix\t-\t-\tn\t-\t-\tsmtp   -v\n"},
	{"x unix - - n - - smtp\ny unix - - -\n", map[string]string{"-Mf": whyWords, "-n": whyMain, "-P": whyWords}}, {"y nosuch - - -\nx unix - - n - - smtp\n", map[string]string{"-Mf": whyWords, "-n": whyMain, "-P": whyWords}}, {"x unix - - n - - smtp\ny unix - - n - - smtp -o {\n", hidden},
}
