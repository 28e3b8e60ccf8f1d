package interop

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// oddQueue returns the files of a queue with messages in all places.
func oddQueue(t *testing.T) (map[string]string, map[string]os.FileMode) {
	t.Helper()
	files := map[string]string{}
	for path, sample := range map[string]string{
		"deferred/7/7F225984A7C": "deferred-dsn", "defer/7/7F225984A7C": "defer-log", "hold/DAE73984280": "hold-expired", "active/A5711984292": "bounce-message",
		"maildrop/8F9EB984329": "maildrop", "incoming/DB4A99842A2": "deferred-utf8", "deferred/C/C4A43984058": "deferred-long-line",
		"bounce/A5711984292": "defer-log", "trace/7F225984A7C": "defer-log", "incoming/DB4A99842FF": "deferred-utf8", "corrupt/DB4A9984200": "deferred-utf8",
		"saved/DB4A9984201": "deferred-utf8", "LONG": "deferred-utf8", "hold/DB4A9984202": "deferred-utf8",
	} {
		text, err := os.ReadFile(filepath.Join("../../pkg/queue/testdata/postfix", sample))
		if err != nil {
			t.Fatal(err)
		}
		if path == "LONG" {
			path = queue.Open("", queue.Options{HashDepth: 1, HashNames: []string{"deferred"}}).Path("deferred", "4h0kNk0vhRzBBDB")
		}
		files["spool/"+path] = string(text)
	}
	modes := map[string]os.FileMode{"spool/incoming/DB4A99842FF": 0o600, "spool/corrupt/DB4A9984200": 0o400, "spool/hold/DAE73984280": 0o700 | queue.ModeExpire,
		"spool/defer/7/7F225984A7C": 0o600, "spool/bounce/A5711984292": 0o600, "spool/trace/7F225984A7C": 0o600, "spool/maildrop/8F9EB984329": 0o744}
	return files, modes
}

// oddLine is a command line with input, in a queue of its own.
type oddLine struct{ args, input, why string }

// compareQueue runs lines of a command, each with a queue of its own.
func compareQueue(t *testing.T, command string, lines []oddLine, more map[string]string) {
	t.Helper()
	files, modes := oddQueue(t)
	maps.Copy(files, more)
	var cases []odd
	for _, l := range lines {
		c := odd{name: l.args, site: true, files: files, modes: modes, input: l.input, why: l.why}
		if words, ok := strings.CutPrefix(l.why, "words: "); ok {
			c.why, c.words = "", words
		}
		for _, call := range strings.Split(l.args, " && ") {
			c.calls = append(c.calls, append([]string{command}, oddArgs{args: call}.arguments()...))
		}
		cases = append(cases, c)
	}
	compareOdd(t, cases, plainQueueTool)
}

// plainQueueTool takes out of what the commands say what differs by nature, such
// as the order in which a directory lists its files.
func plainQueueTool(text string) string {
	blocks := strings.Split(plainText(text, []substitution{
		{`no such file or directory`, "No such file or directory"},
		{`usage: .*`, "usage: SYNOPSIS"},
		{`(?m)^(\w{3} [ \d]\d [\d:]{8}) \S+ (postfix/\w+)\[\d+\]`, "DATE $2"},
		{`Post(fix|house) showq`, "SUITE showq"},
		{`(?m)^((?:sendmail|mailq|newaliases): (?:invalid|option) .*\n)+`, "$1"}, // Postfix looks twice
		{`(aliases)\.cdb: duplicate`, "$1: duplicate"},
		{`(?m)^(postcat: warning: [^:]*(?:record)?): .*$`, "$1: WHAT"},                             // what is wrong in a file
		{`(?m)^post\w+: (name_mask|inet_addr_local|been_here|mynetworks_core|dict_\w+): .*\n`, ""}, // for programmers
		{`(?m)^(\{"queue_name")`, "\n$1"},
	}), "\n\n")
	slices.Sort(blocks)
	return strings.Join(blocks, "\n\n")
}

// TestOddPostsuper: what postsuper says and does with odd ids, queues and
// combinations.
func TestOddPostsuper(t *testing.T) { compareQueue(t, "postsuper", oddSupers, nil) }

var oddSupers = []oddLine{
	{args: "-d 7F225984A7C"}, {args: "-d 7F225984A7C -d 7F225984A7C"}, {args: "-d 7f225984a7c"}, {args: "-d| 7F225984A7C"}, {args: "-d|7F225984A7C "}, {args: "-d|7F225984A7C DAE73984280"}, {args: "-d 7F225984A7C,DAE73984280"}, {args: "-d 7F225984A7C DAE73984280"}, {args: "-d|"}, {args: "-d| "}, {args: "-d ../active/A5711984292"}, {args: "-d deferred/7F225984A7C"}, {args: "-d ."}, {args: "-d 7F225984A7C*"}, {args: "-d " + strings.Repeat("A", 300)}, {args: "-d 7F225984A7\xe4"}, {args: "-d 4h0kNk0vhRzBBDB"}, {args: "-d 4H0KNK0VHRZBBDB"}, {args: "-d DB4A9984200"}, {args: "-d DB4A9984201"}, {args: "-d DB4A99842FF"}, {args: "-d 8F9EB984329"}, {args: "-d A5711984292"}, {args: "-d 00000000000"}, {args: "-d -7F225984A7C"},
	{args: "-d 7F225984A7C deferred"}, {args: "-d 7F225984A7C hold"}, {args: "-d 7F225984A7C active deferred"}, {args: "-d 7F225984A7C deferred deferred"}, {args: "-d 7F225984A7C corrupt"}, {args: "-d DB4A9984200 corrupt"}, {args: "-d 7F225984A7C defer"}, {args: "-d 7F225984A7C nosuch"}, {args: "-d 7F225984A7C ./deferred"}, {args: "-d|7F225984A7C|"}, {args: "-d 8F9EB984329 maildrop"}, {args: "-d DB4A9984201 saved"},
	{args: "-d ALL", why: "logs of messages that are deleted go too"}, {args: "-d ALL deferred"}, {args: "-d ALL hold deferred"}, {args: "-d ALL corrupt"}, {args: "-d ALL maildrop"}, {args: "-d ALL bounce"}, {args: "-d ALL defer trace"}, {args: "-d ALL saved"}, {args: "-d ALL flush"}, {args: "-d All"}, {args: "-d ALL -d 7F225984A7C", why: "logs of messages that are deleted go too"}, {args: "-d 7F225984A7C -d ALL hold"}, {args: "-d ALL -h ALL", why: "logs of messages that are deleted go too"}, {args: "-d ALL -r ALL deferred"}, {args: "-d ALL active incoming"}, {args: "-dALL", why: "logs of messages that are deleted go too"},
	{args: "-h 7F225984A7C"}, {args: "-h DAE73984280"}, {args: "-h A5711984292"}, {args: "-h 8F9EB984329"}, {args: "-h 8F9EB984329 maildrop"}, {args: "-h DB4A99842FF"}, {args: "-h DB4A9984200"}, {args: "-h 7F225984A7C hold"}, {args: "-h 7F225984A7C deferred"}, {args: "-h ALL"}, {args: "-h ALL deferred"}, {args: "-h ALL hold"}, {args: "-h ALL maildrop"}, {args: "-h ALL corrupt"}, {args: "-h 7F225984A7C -h 7F225984A7C"}, {args: "-h 7F225984A7C -H 7F225984A7C"}, {args: "-H 7F225984A7C -h 7F225984A7C"}, {args: "-h ALL -H ALL"}, {args: "-h 7F225984A7C && -h 7F225984A7C"},
	{args: "-H DAE73984280"}, {args: "-H 7F225984A7C"}, {args: "-H ALL"}, {args: "-H ALL deferred"}, {args: "-H ALL hold"}, {args: "-H DAE73984280 deferred"}, {args: "-H DAE73984280 hold"}, {args: "-H DAE73984280 hold deferred"}, {args: "-H 8F9EB984329"}, {args: "-H DB4A9984202 -H DAE73984280 -H nosuch"},
	{args: "-r 7F225984A7C"}, {args: "-r DAE73984280"}, {args: "-r A5711984292"}, {args: "-r 8F9EB984329"}, {args: "-r DB4A99842FF"}, {args: "-r ALL"}, {args: "-r ALL deferred"}, {args: "-r ALL hold"}, {args: "-r ALL maildrop"}, {args: "-r ALL corrupt"}, {args: "-r ALL bounce"}, {args: "-r 7F225984A7C hold"}, {args: "-r 7F225984A7C -r 7F225984A7C"}, {args: "-r 7F225984A7C -d 7F225984A7C"}, {args: "-r 7F225984A7C -h 7F225984A7C"}, {args: "-h 7F225984A7C -r 7F225984A7C"}, {args: "-r 4h0kNk0vhRzBBDB"},
	{args: "-e 7F225984A7C"}, {args: "-e DAE73984280"}, {args: "-e DB4A9984202"}, {args: "-e 8F9EB984329"}, {args: "-e ALL"}, {args: "-e ALL deferred"}, {args: "-e ALL hold"}, {args: "-e ALL maildrop"}, {args: "-e 7F225984A7C -e 7F225984A7C"}, {args: "-e DB4A99842FF"}, {args: "-f 7F225984A7C"}, {args: "-f DAE73984280"}, {args: "-f DB4A9984202"}, {args: "-f ALL"}, {args: "-f ALL deferred"}, {args: "-f ALL hold"}, {args: "-f DB4A9984202 deferred"}, {args: "-e DB4A9984202 -f DB4A9984202"}, {args: "-e ALL -f ALL"}, {args: "-e ALL -H ALL"}, {args: "-e ALL -h ALL"}, {args: "-e ALL -r ALL"}, {args: "-r ALL -e ALL"}, {args: "-d ALL -r - deferred", input: "DAE73984280\n7F225984A7C\n"}, {args: "-H ALL -h DB4A9984202"}, {args: "-H ALL -h ALL"}, {args: "-r ALL -d ALL", why: "logs of messages that are deleted go too"}, {args: "-r ALL -h ALL"}, {args: "-d ALL -r 7F225984A7C -h ALL", why: "logs of messages that are deleted go too"}, {args: "-h 7F225984A7C -d ALL hold deferred"}, {args: "-h 7F225984A7C -H ALL -d DAE73984280"}, {args: "-H ALL -d DAE73984280 -h ALL -r DB4A9984202 -h DB4A9984202"}, {args: "-e 7F225984A7C -f 7F225984A7C -h 7F225984A7C -r 7F225984A7C"},
	{args: "-d -", input: "7F225984A7C\n"}, {args: "-d -", input: "7F225984A7C"}, {args: "-d -", input: ""}, {args: "-d -", input: "\n\n7F225984A7C\n\n"}, {args: "-d -", input: "7F225984A7C\r\nDAE73984280\r\n", why: "a line may end with CR LF"}, {args: "-d -", input: " 7F225984A7C\n7F225984A7C \n"}, {args: "-d -", input: "junk\n7F225984A7C\n"}, {args: "-d -", input: "nosuch!\n../x\n7F225984A7C x\nDAE73984280\n"}, {args: "-d -", input: "ALL\n"}, {args: "-d -", input: "-\n7F225984A7C\n"}, {args: "-d -", input: "7F225984A7C\x00x\nDAE73984280\n", why: "a null byte ends no id"}, {args: "-d -", input: "\x00\xff\x1b[1m\n", why: "a null byte ends no id"}, {args: "-d -", input: strings.Repeat("A", 5000) + "\n7F225984A7C\n", why: "what is too long is cut in the warning"}, {args: "-d -", input: strings.Repeat("A", 200000) + "\n7F225984A7C\n", why: "what is too long is cut in the warning"}, {args: "-d -", input: "7F225984A7C*\n7F225984A7C!\nDAE73984280!\n"}, {args: "-d -", input: "7F225984A7C\n7F225984A7C\n"}, {args: "-d - -d -", input: "7F225984A7C\n"}, {args: "-d - -h -", input: "7F225984A7C\n"}, {args: "-d - DAE73984280", input: "7F225984A7C\n"}, {args: "-d - hold", input: "7F225984A7C\nDAE73984280\n"}, {args: "-d 7F225984A7C -d -", input: "DAE73984280\n"}, {args: "-h -", input: "7F225984A7C\nDAE73984280\nA5711984292\n"}, {args: "-r - -d ALL deferred", input: "DAE73984280\n7F225984A7C\n"}, {args: "-e -", input: "7F225984A7C\nnosuch\n"}, {args: "-f -", input: "DAE73984280\n"}, {args: "-H -", input: "DAE73984280\n7F225984A7C\n"},
	{args: "-p"}, {args: "-p deferred"}, {args: "-p corrupt"}, {args: "-p -p"}, {args: "-p nosuch"}, {args: "-s nosuch"}, {args: "nosuch"}, {args: "-p -d 7F225984A7C"}, {args: "-p -d ALL hold"}, {args: "-s -p flush"}, {args: "-S flush"}, {args: "-s defer"}, {args: "-s trace"}, {args: "-s bounce flush"}, {args: "-c|DIR/etc|-d|7F225984A7C"}, {args: "-c etc -p"}, {args: "-c DIR/nosuch -p"}, {args: "-c|"}, {args: "-c"}, {args: "-d"}, {args: "-x"}, {args: "- "}, {args: "-vd"}, {args: "--help"}, {args: "-d 7F225984A7C -x"}, {args: "-ps deferred -x", why: "names are looked at before anything is done"},
}

// TestOddPostcat: what postcat shows of odd files and ids.
func TestOddPostcat(t *testing.T) {
	whole, err := os.ReadFile("../../pkg/queue/testdata/postfix/deferred-dsn")
	if err != nil {
		t.Fatal(err)
	}
	more := map[string]string{"empty": "", "text": "hello\nworld\n", "cut": string(whole[:300]), "cut1": string(whole[:1]), "cut2": string(whole[:2]), "cutsize": string(whole[:60]), "nul": strings.Repeat("\x00", 100),
		"noend": string(whole[:len(whole)-2]), "trailing": string(whole) + "junk", "twice": string(whole) + string(whole), "badlength": string(whole[:90]) + "R\xff\xff\xff\xff\xff\xff", "badtype": string(whole[:90]) + "\xf0\x03abc" + string(whole[90:]), "huge": "N\xff\xff\xff\x7fabc"}
	rec := func(list ...string) string {
		var b []byte
		for _, r := range list {
			b = queue.AppendRecord(b, r[0], []byte(r[1:]))
		}
		return string(b)
	}
	more["records"] = rec("T1", "Sa", "Rb", "M", "NSubject: x", "N y", "N", "Lab", "Ncd", "N", "X", "E")
	more["noM"] = rec("T1", "Sa", "NSubject: x", "N", "X", "E")
	more["two M"] = rec("T1", "Sa", "M", "NSubject: x", "M", "N", "Nbody", "X", "E")
	more["no X"] = rec("T1", "Sa", "M", "NSubject: x", "N", "Nbody", "E", "Rafter")
	more["nul data"] = rec("T1", "Sa\x00b", "Rc\x00d", "Afoo=b\x00r", "M", "NSub\x00ject: x", "N\x00", "X", "E")
	more["escape"] = rec("T1", "Sa\x1b[1mb", "Rc\rd\ne", "M", "N\x1b[2J\xff\xfe", "X", "E")
	more["attrs"] = rec("T1", "Afoo", "A=x", "A foo = bar ", "Acreate_time=x", "Acreate_time=99999999999999999999", "T", "Tx", "T-5", "T99999999999", "Wabc", "M", "X", "E")
	more["sizes"] = rec("C x y", "C", "C 1 2 3 4 5 6 7 8", "T1", "M", "X", "E")
	more["size beyond"] = rec("C            9999            9999               1               0            9999               0", "T1", "Sa", "M", "NSubject: x", "N", "Nbody", "X", "E")
	more["pointers"] = rec("T1", "Sa", "p              0", "M", "NSubject: x", "p         99999", "p             -1", "px", "N", "X", "E")
	more["loop"] = rec("T1", "p              3", "M", "X", "E")
	compareQueue(t, "postcat", oddCats(more), more)
}

// oddCats are calls for each file, but for what differs for a reason.
func oddCats(more map[string]string) []oddLine {
	var lines []oddLine
	for _, name := range slices.Sorted(maps.Keys(more)) {
		for _, options := range []string{"--", "-e", "-h", "-b", "-do", "-r", "-v"} {
			l := oddLine{args: options + "|" + name}
			switch {
			case name == "nul":
				l.why = "no record has this type"
			case name == "attrs" && options != "-h" && options != "-b":
				l.why = "no time is too large; Postfix dies of it"
			case name == "pointers" && options != "-r":
				l.why = "a pointer that leads nowhere is a mistake"
			case options == "-r" && slices.Contains([]string{"pointers", "loop", "trailing", "twice", "no X"}, name):
				l.why = "it shows all records, and follows none"
			case name == "sizes" && (options == "-h" || options == "-b"):
				l.why = "it is told where the records end"
			case options == "-v" && name == "loop":
				l.why = "a loop is seen at once"
			}
			lines = append(lines, l)
		}
	}
	return append(lines, oddCatLines...)
}

var oddCatLines = []oddLine{
	{args: "-q 7F225984A7C"}, {args: "-q 7f225984a7c"}, {args: "-q DAE73984280 A5711984292"}, {args: "-q DAE73984280 nosuch A5711984292"}, {args: "-q|"}, {args: "-q| 7F225984A7C"}, {args: "-q ../etc/main.cf"}, {args: "-q deferred/7F225984A7C"}, {args: "-q 8F9EB984329"}, {args: "-q DB4A99842FF"}, {args: "-q DB4A9984200"}, {args: "-q DB4A9984201"}, {args: "-q 4h0kNk0vhRzBBDB"}, {args: "-q 00000000000"}, {args: "-q " + strings.Repeat("A", 300)}, {args: "-q ALL"}, {args: "-q -"}, {args: "-q spool/deferred/7/7F225984A7C"}, {args: "-q"}, {args: "-qq 7F225984A7C"}, {args: "-q -q 7F225984A7C"}, {args: "7F225984A7C -q"},
	{args: "-qb 7F225984A7C"}, {args: "-qh 7F225984A7C"}, {args: "-qe 7F225984A7C"}, {args: "-qbh 7F225984A7C"}, {args: "-qeh 7F225984A7C"}, {args: "-qbe 7F225984A7C"}, {args: "-qbhe 7F225984A7C"}, {args: "-qd 7F225984A7C"}, {args: "-qo 7F225984A7C"}, {args: "-qr 7F225984A7C"}, {args: "-qv 7F225984A7C"}, {args: "-qdo 7F225984A7C"}, {args: "-qdorv 7F225984A7C"}, {args: "-qbo 7F225984A7C"}, {args: "-qhd 7F225984A7C"}, {args: "-qbv C4A43984058"}, {args: "-qb C4A43984058"}, {args: "-qbo C4A43984058"}, {args: "-qbd C4A43984058"}, {args: "-qh C4A43984058"}, {args: "-qe C4A43984058 A5711984292"}, {args: "-qb A5711984292 DAE73984280"}, {args: "-qbr C4A43984058"}, {args: "-qhr DAE73984280"},
	{args: "-qs 0 7F225984A7C"}, {args: "-qs 437 7F225984A7C"}, {args: "-qs 1 7F225984A7C"}, {args: "-qs 99999 7F225984A7C", why: "nothing is there"}, {args: "-qs x 7F225984A7C"}, {args: "-qs -1 7F225984A7C"}, {args: "-qs 99999999999999999999 7F225984A7C", why: "words: no offset is as large"}, {args: "-qs 0x10 7F225984A7C"}, {args: "-qs|| 7F225984A7C"}, {args: "-qs 437 -b 7F225984A7C"}, {args: "-qs 437 -h 7F225984A7C"},
	{args: "nosuch"}, {args: "spool", why: "a directory cannot be read"}, {args: "spool/defer/7/7F225984A7C"}, {args: "spool/deferred/7/7F225984A7C nosuch"}, {args: "text empty"}, {args: "-- -x"}, {args: "-x"}, {args: "-s"}, {args: "-c"}, {args: "-c nosuch -q 7F225984A7C"}, {args: "-c DIR/etc -q 7F225984A7C"}, {args: "-c nosuch text", why: "a file needs no configuration"}, {args: "--help"}, {args: ""}, {args: "", input: "text\n"}, {args: "-e", input: "T\x011S\x01aM\x00N\x01xX\x00E\x00", why: "the end of a pipe is one"}, {args: "-h", input: "T\x011S\x01aM\x00N\x04a: bN\x00N\x01xX\x00E\x00"}, {args: "-b", input: "T\x011S\x01aM\x00N\x04a: bN\x00N\x01xX\x00E\x00"}, {args: "-", input: "T\x011"},
}

// TestOddPostqueue: what postqueue says of odd arguments, without a mail system.
func TestOddPostqueue(t *testing.T) {
	compareQueue(t, "postqueue", oddQueues, map[string]string{"spool/hold/DB4A9984203": "junk", "spool/hold/DB4A9984204": "", "spool/active/junk": "junk", "spool/deferred/x.tmp": "junk"})
}

const whyJunk = "files that are no messages are told"

var oddQueues = []oddLine{
	{args: "-p", why: whyJunk}, {args: "-j", why: whyJunk}, {args: "-pp"}, {args: "-jj"}, {args: "-i"}, {args: "-i|"}, {args: "-i| "}, {args: "-i 7F225984A7C", why: "root needs no flush service"}, {args: "-i 7f225984a7c", why: "root needs no flush service"}, {args: "-i nosuch!"}, {args: "-i ../x"}, {args: "-i " + strings.Repeat("A", 300)}, {args: "-i ALL", why: "root needs no flush service"}, {args: "-i -"}, {args: "-i 00000000000", why: "root needs no flush service"}, {args: "-i DAE73984280", why: "root needs no flush service"}, {args: "-i A -i B"}, {args: "-s|"}, {args: "-s| "}, {args: "-s example.test", why: "only the flush service knows its sites, and may know them in their own letters"}, {args: "-s EXAMPLE.test."}, {args: "-s [1.2.3.4]", why: "only the flush service knows its sites, and may know them in their own letters"}, {args: "-s [1.2.3.4"}, {args: "-s 1.2.3.4"}, {args: "-s [ipv6:::1]", why: "only the flush service knows its sites, and may know them in their own letters"}, {args: "-s [::1]:25"}, {args: "-s a:25"}, {args: "-s -x"}, {args: "-s a..b"}, {args: "-s .a"}, {args: "-s a."}, {args: "-s a_b.test", why: "only the flush service knows its sites, and may know them in their own letters"}, {args: "-s *"}, {args: "-s a/b"}, {args: "-s ../../etc"}, {args: "-s a@b.test"}, {args: "-s " + strings.Repeat("a", 64) + ".test"}, {args: "-s " + strings.Repeat("a.", 200) + "test"}, {args: "-s \xc3\xa4.test", why: "only the flush service knows its sites, and may know them in their own letters"}, {args: "-s a -s b"}, {args: "-s a|-s b"}, {args: "-f"}, {args: "-f -f"}, {args: "-f x"}, {args: "-p x"}, {args: "-j x"}, {args: "-i A x"}, {args: "-pj"}, {args: "-pf"}, {args: "-fj"}, {args: "-pi A"}, {args: "-ps a"}, {args: "-c DIR/etc -p", why: whyJunk}, {args: "-c nosuch -p"}, {args: "-c"}, {args: "-s"}, {args: "--"}, {args: "-- -p"}, {args: "-p --", why: whyJunk}, {args: "-"}, {args: "x"}, {args: ""}, {args: "-x"}, {args: "--help"},
}
