package interop

import (
	"fmt"
	"os"
	"os/user"
	"syscall"
	"testing"
)

// ownerOf names who owns a file.
func ownerOf(info os.FileInfo) string {
	st := info.Sys().(*syscall.Stat_t)
	name := fmt.Sprint(st.Uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	group := fmt.Sprint(st.Gid)
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return name + ":" + group
}

const localAliases = `
plain: phalice
two: phalice, phbob
dup: phalice, phbob, phalice
nest: nest2
nest2: nest3, phbob
nest3: phalice
loop1: loop2
loop2: loop1
loop3: loop4, phalice
loop4: loop3
self: self
selfplus: selfplus, phalice
file: DIR/drop/file
filequoted: "DIR/drop/with blank"
maildir: DIR/drop/dir/
devnull: /dev/null
cmd: "|cat > DIR/drop/cmd"
cmdbare: |/bin/cp /dev/stdin DIR/drop/bare
cmdargs: "|/usr/bin/tee DIR/drop/a DIR/drop/b"
env: "|env | grep -v -e ^_= -e ^LANG -e ^LD_ -e ^MAIL_CONFIG | sort > DIR/drop/env; pwd >> DIR/drop/env; id >> DIR/drop/env; umask >> DIR/drop/env; ulimit -n | wc -l >> DIR/drop/env"
ex0: "|exit 0"
ex1: "|exit 1"
ex64: "|exit 64"
ex65: "|exit 65"
ex66: "|exit 66"
ex67: "|exit 67"
ex68: "|exit 68"
ex69: "|exit 69"
ex70: "|exit 70"
ex71: "|exit 71"
ex72: "|exit 72"
ex73: "|exit 73"
ex74: "|exit 74"
ex75: "|exit 75"
ex76: "|exit 76"
ex77: "|exit 77"
ex78: "|exit 78"
ex79: "|exit 79"
ex99: "|exit 99"
ex126: "|DIR/etc/notexec"
ex127: "|/nonexistent/program"
exshell127: "|/nonexistent/program; true x"
exbuiltin: "|nosuchprogram"
killed: "|kill -9 $$"
term: "|kill -TERM $$"
out: "|echo some words; echo more; exit 1"
out75: "|echo later please; exit 75"
outdsn: "|echo 5.7.7 no; exit 1"
outdsn4: "|echo 4.2.2 full; exit 1"
outdsn4b: "|echo 4.2.2 full; exit 75"
outdsn5: "|echo 5.2.2 full; exit 75"
outdsn2: "|echo 2.0.0 fine; exit 1"
outok: "|echo fine"
outok2: "|echo 2.1.5 fine"
outlong: "|yes word | head -c 5000; exit 1"
outbin: "|printf 'a\001b\n\tc'; exit 1"
err: "|echo on stderr >&2; exit 1"
unread: "|exit 0 <&-"
inc: :include:DIR/etc/list
incnone: :include:DIR/etc/nosuchlist
incdir: :include:DIR/etc
incquoted: ":include:DIR/etc/list"
inccmd: :include:DIR/etc/listcmd
incfile: :include:DIR/etc/listfile
incnest: :include:DIR/etc/listnest
increl: :include:relative
incbad: :include:DIR/etc/listbad
owned: phbob, nosuch
owner-owned: remote@away.test
ownedmany: phbob
owner-ownedmany: one@away.test, two@away.test
list-request: phalice
list: phbob, nosuch@localhost
owner-list: remote@away.test
away: someone@away.test
mixed: phalice, someone@away.test, "|cat > DIR/drop/mixed", DIR/drop/mixedfile
escaped: \phalice
escapedaway: \someone@away.test
empty:
comment: (comment only)
named: "Full, Name" <phalice>, Other (x, y) <phbob@localhost>
nouser: nosuch
nouser2: nosuch, phalice
quoted: "phalice", "phbob"@localhost
plus+ext: phbob
plus: phalice
colon: phalice:phbob
semicolon: phalice; phbob
UPPER: phalice
"quoted name": phalice
group: Friends: phalice, phbob;
bang: host!user
percent: phalice%localhost
badfile: DIR/nosuchdir/file
badfile2: DIR/etc/list/x
rootfile: DIR/etc/ro
fifo: DIR/drop/fifo
dirfile: DIR/drop
symlink: DIR/drop/link
cmdempty: "|"
cmdspace: "|  /bin/cat  "
bare@address: phalice
number123: phalice
postmaster: phbob
mailer-daemon: postmaster
`

var localTwins = []twin{
	{
		name:     "aliases",
		settings: []string{"alias_maps = hash:ETC/aliases", "recipient_delimiter = +", "default_transport = discard:"},
		files: map[string]string{"aliases": localAliases, "list": "# people\nphalice\n\nphbob, someone@away.test\n  # not a comment? \n",
			"listcmd": "\"|cat > DIR/drop/inccmd\"\n", "listfile": "DIR/drop/incfile\n", "listnest": ":include:DIR/etc/list\nnosuch\n",
			"listbad": "phalice\n\"phbob\n", "notexec": "x"},
		postmap: []string{"postalias hash:ETC/aliases"},
		cases:   aliasCases(),
	},
	{
		name:     "forward files",
		settings: []string{"alias_maps = hash:ETC/aliases", "recipient_delimiter = +", "default_transport = discard:"},
		files:    map[string]string{"aliases": "team: phalice, phbob\ntoalice: phalice\nroot: phbob\n", "members": "phbob, someone@away.test\n"},
		postmap:  []string{"postalias hash:ETC/aliases"},
		cases:    forwardCases(),
	},
	userTwin("mailbox", "mailbox_size_limit = 0"),
	userTwin("home maildir", "home_mailbox = Maildir/", "recipient_delimiter = -+"),
	userTwin("mailbox transport", "mailbox_transport = discard:hop"),
	userTwin("mailbox transport maps", "mailbox_transport_maps = inline:{phalice=discard:hop, nosuch=error:{5.7.7 no}}", "fallback_transport = discard:hop"),
	userTwin("luser address", "luser_relay = phbob"),
	userTwin("luser away", "luser_relay = $user+${extension?{$extension}:{none}}@[192.0.2.1]"),
}

// userTwin has what most settings of local(8) concern.
func userTwin(name string, settings ...string) twin {
	locked := func(file string) func(t *testing.T, s *twinSite) {
		return func(t *testing.T, s *twinSite) {
			path := s.dir + "/spool/" + file
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			os.Chown(path, s.alice.UID, 8)
		}
	}
	one := func(name, rcpt string, before func(t *testing.T, s *twinSite)) twinCase {
		return twinCase{name: name, rcpts: []string{rcpt + "@localhost"}, before: before}
	}
	cases := []twinCase{one("user", "phalice", nil), one("extension", "phalice+ext", nil), one("delimiter", "phalice-other", nil), one("bob", "phbob", nil),
		one("unknown", "nosuch", nil), one("unknown extension", "nosuch+ext", nil), one("command", "cmd", nil), one("file", "file", nil), one("alias", "team+ext", nil),
		one("list", "list+ext", nil), one("owned", "owned", nil), one("forward", "phalice+x", func(t *testing.T, s *twinSite) { s.alice.Write(t, ".forward", "phbob, someone@away.test\n", 0o644) })}
	switch name {
	case "mailbox", "strict ownership off", "locks", "dotlock":
		cases = append(cases, one("lock left", "phalice", locked("phalice.lock")), one("foreign mailbox", "phalice", func(t *testing.T, s *twinSite) {
			os.WriteFile(s.dir+"/spool/phalice", []byte("From x\n\n"), 0o660)
			os.Chown(s.dir+"/spool/phalice", s.bob.UID, 8)
		}), one("mailbox link", "phalice", func(t *testing.T, s *twinSite) { os.Symlink(s.dir+"/drop/target", s.dir+"/spool/phalice") }),
			one("mailbox with two names", "phalice", func(t *testing.T, s *twinSite) {
				locked("phalice")(t, s)
				os.Link(s.dir+"/spool/phalice", s.dir+"/spool/other")
			}),
			one("mailbox is a folder", "phalice", func(t *testing.T, s *twinSite) { os.Mkdir(s.dir+"/spool/phalice", 0o700) }),
			one("mailbox without end", "phalice", func(t *testing.T, s *twinSite) {
				locked("phalice")(t, s)
				os.WriteFile(s.dir+"/spool/phalice", []byte("From x\nSubject: x\n\nno end"), 0o600)
			}))
	}
	whys := map[string]string{"lock left": "words", "foreign mailbox": "a mailbox may be mended", "mailbox link": "a mailbox may be mended", "mailbox with two names": "a mailbox may be mended",
		"mailbox is a folder": "a mailbox may be mended", "mailbox without end": "the next message begins a line"}
	for i := range cases {
		cases[i].why = whys[cases[i].name]
	}
	return twin{name: name, settings: append([]string{"alias_maps = hash:ETC/aliases", "recipient_delimiter = +", "default_transport = discard:"}, settings...),
		files: map[string]string{"aliases": "cmd: \"|cat > DIR/drop/cmd; id >> DIR/drop/cmd\"\nfile: DIR/drop/file\nteam: phalice, phbob@localhost\nlist: :include:DIR/etc/members\nowned: phbob, nosuch\nowner-owned: someone@away.test\n",
			"members": "phalice\n\"|cat > DIR/drop/member\"\n", "fwd.phalice": "phbob\n"},
		postmap: []string{"postalias hash:ETC/aliases"}, cases: cases}
}

// forwards are .forward files of phalice.
var forwards = []struct{ name, text string }{
	{"other", "phbob\n"}, {"self", "phalice\n"}, {"escaped", "\\phalice\n"}, {"both", "\\phalice, phbob\n"}, {"away", "someone@away.test\n"},
	{"self and away", "phalice, someone@away.test\n"}, {"self full", "phalice@localhost, phbob@mail.example.test\n"}, {"command", "|cat > DIR/drop/cmd\n"},
	{"quoted command", "\"|cat > DIR/drop/cmd; id -un\"\n"}, {"env", "\"|env | sort | grep -v -e ^_= -e ^LANG -e ^LD_ -e ^MAIL_CONFIG -e ^PWD > DIR/drop/env; id >> DIR/drop/env; pwd\"\n"},
	{"file", "DIR/drop/file\n"}, {"home file", "DIR/home/phalice/box\n"}, {"maildir", "DIR/home/phalice/Maildir/\n"}, {"devnull", "/dev/null\n"},
	{"include", ":include:DIR/etc/members\n"}, {"empty", ""}, {"comment", "# nothing here\n"}, {"blank lines", "\n\nphbob\n\n"}, {"comment and address", "# me\nphbob # too\n"},
	{"unknown", "nosuch\n"}, {"unknown and self", "nosuch, phalice\n"}, {"no newline", "phbob"}, {"crlf", "phbob\r\n"}, {"commas", "phbob,,\n,someone@away.test\n"},
	{"failing command", "\"|exit 1\"\n"}, {"failing command and self", "\"|exit 1\", phalice\n"}, {"deferring command and away", "\"|exit 75\", someone@away.test\n"},
	{"exec", "\"|IFS=' ' && exec /bin/cat > DIR/drop/x || exit 75 #phalice\"\n"}, {"vacation", "\\phalice, \"|/bin/true phalice\"\n"}, {"root", "root\n"},
	{"alias", "team\n"}, {"alias to self", "toalice\n"}, {"loop", "phbob\n"}, {"quote", "\"phbob\n"}, {"binary", "\x00\x01\n"}, {"folded", "phbob,\n  someone@away.test\n"},
}

func forwardCases() []twinCase {
	var cases []twinCase
	whys := map[string]string{"command": "a command without quotes is one command", "quote": "a file with a mistake waits until that is mended",
		"binary": "a file with a mistake waits until that is mended"}
	for _, f := range forwards {
		cases = append(cases, twinCase{name: f.name, why: whys[f.name], rcpts: []string{"phalice@localhost"}, before: func(t *testing.T, s *twinSite) {
			s.alice.Write(t, ".forward", s.expand(f.text), 0o644)
			if f.name == "loop" {
				s.bob.Write(t, ".forward", "phalice\n", 0o644)
			}
		}})
	}
	with := func(name, rcpt string, before func(t *testing.T, s *twinSite)) {
		cases = append(cases, twinCase{name: name, rcpts: []string{rcpt}, before: before})
	}
	with("extension file", "phalice+ext@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, ".forward", "phbob\n", 0o644)
		s.alice.Write(t, ".forward+ext", s.expand("DIR/drop/ext\n"), 0o644)
	})
	with("extension without file", "phalice+other@localhost", func(t *testing.T, s *twinSite) { s.alice.Write(t, ".forward", "phbob\n", 0o644) })
	with("extension command", "phalice+more@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, ".forward", s.expand("\"|env | grep -e EXT -e LOCAL -e RECIPIENT -e ^USER= > DIR/drop/env\"\n"), 0o644)
	})
	with("mode 666", "phalice@localhost", func(t *testing.T, s *twinSite) { s.alice.Write(t, ".forward", "phbob\n", 0o666) })
	with("mode 664", "phalice@localhost", func(t *testing.T, s *twinSite) { s.alice.Write(t, ".forward", "phbob\n", 0o664) })
	with("mode 000", "phalice@localhost", func(t *testing.T, s *twinSite) { s.alice.Write(t, ".forward", "phbob\n", 0) })
	with("owned by bob", "phalice@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, ".forward", "phbob\n", 0o644)
		os.Chown(s.alice.Home+"/.forward", s.bob.UID, s.bob.GID)
	})
	with("owned by root", "phalice@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, ".forward", "phbob\n", 0o644)
		os.Chown(s.alice.Home+"/.forward", 0, 0)
	})
	with("directory", "phalice@localhost", func(t *testing.T, s *twinSite) { os.Mkdir(s.alice.Home+"/.forward", 0o755) })
	with("symlink", "phalice@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, "target", "phbob\n", 0o644)
		os.Symlink("target", s.alice.Home+"/.forward")
	})
	with("dangling link", "phalice@localhost", func(t *testing.T, s *twinSite) { os.Symlink("target", s.alice.Home+"/.forward") })
	with("fifo", "phalice@localhost", func(t *testing.T, s *twinSite) { syscall.Mkfifo(s.alice.Home+"/.forward", 0o644) })
	with("home not searchable", "phalice@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, ".forward", "phbob\n", 0o644)
		os.Chmod(s.alice.Home, 0)
	})
	cases[len(cases)-1].why = "it is said"
	with("writable home", "phalice@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, ".forward", "phbob\n", 0o644)
		os.Chmod(s.alice.Home, 0o777)
	})
	return cases
}

// aliasWhys are the reasons for what differs.
var aliasWhys = map[string]string{
	"loop1": "a loop is seen when it closes", "loop3": "a loop is seen when it closes, and harms no other member",
	"cmdbare": "a command without quotes is one command", "cmdempty": "no command is a mistake, which must not eat mail", "cmdspace": "blanks around a command",
	"ex126": "status 4.3.5", "ex127": "status 4.3.5", "exbuiltin": "a program that is missing may be there at the next try",
	"outdsn2": "success is not a reason", "outlong": "how much is kept",
	"incnone": "words", "incdir": "words", "increl": "words", "incbad": "a list with a mistake waits until that is mended",
	"badfile": "a file that cannot be made now may be later", "badfile2": "a file that cannot be made now may be later", "rootfile": "a file that cannot be made now may be later",
	"fifo": "a file that cannot be made now may be later", "dirfile": "a file that cannot be made now may be later", "symlink": "a file that cannot be made now may be later",
	"root": "root's mailbox belongs to default_privs", "double-bounce": "words",
}

func aliasCases() []twinCase {
	var cases []twinCase
	for _, name := range []string{"plain", "two", "dup", "nest", "loop1", "loop3", "self", "selfplus", "file", "filequoted", "maildir", "devnull",
		"cmd", "cmdbare", "cmdargs", "env", "env+ext", "ex0", "ex1", "ex64", "ex65", "ex66", "ex67", "ex68", "ex69", "ex70", "ex71", "ex72", "ex73", "ex74", "ex75",
		"ex76", "ex77", "ex78", "ex79", "ex99", "ex126", "ex127", "exshell127", "exbuiltin", "killed", "term", "out", "out75", "outdsn", "outdsn4", "outdsn4b", "outdsn5", "outdsn2",
		"outok", "outok2", "outlong", "outbin", "err", "unread", "inc", "incnone", "incdir", "incquoted", "inccmd", "incfile", "incnest", "increl",
		"incbad", "owned", "ownedmany", "owner-owned", "list-request", "list", "away", "mixed", "escaped", "escapedaway", "empty", "comment", "named", "nouser", "nouser2",
		"quoted", "plus+ext", "plus+other", "plus", "plus+", "colon", "semicolon", "upper", "UPPER", `"quoted name"`, "group", "bang", "percent",
		"badfile", "badfile2", "rootfile", "fifo", "dirfile", "symlink", "cmdempty", "cmdspace", "number123", "postmaster", "mailer-daemon",
		"phalice", "phalice+x", "PHALICE", "Phalice+X", "nosuch", "nosuch+x", "root", "daemon", `"|cat > DIR/drop/evil"`, `"/tmp/evil"`, "bin", "double-bounce", "+x", "phalice+"} {
		c := twinCase{name: name, rcpts: []string{name + "@localhost"}, why: aliasWhys[name]}
		switch name {
		case "fifo":
			c.before = func(t *testing.T, s *twinSite) { syscall.Mkfifo(s.dir+"/drop/fifo", 0o666) }
		case "symlink":
			c.before = func(t *testing.T, s *twinSite) { os.Symlink(s.dir+"/drop/target", s.dir+"/drop/link") }
		}
		cases = append(cases, c)
	}
	return append(cases, twinCase{name: "several", rcpts: []string{"two@localhost", "phalice@localhost", "nest@localhost", "nosuch@localhost"}},
		twinCase{name: "bounce to owner", sender: "<>", rcpts: []string{"owned@localhost"}},
		twinCase{name: "from lines", rcpts: []string{"plain@localhost"}, text: "Subject: x\n\nFrom me\n>From you\nfrom\n\n.\nFrom"},
		twinCase{name: "delivered before", rcpts: []string{"plain@localhost"}, text: "Delivered-To: plain@localhost\nSubject: x\n\nx\n"},
		twinCase{name: "delivered user", rcpts: []string{"phalice@localhost"}, text: "Delivered-To: phalice@LOCALHOST\nSubject: x\n\nx\n"},
		twinCase{name: "no body", rcpts: []string{"plain@localhost"}, text: "Subject: x\n"},
		twinCase{name: "own return path", rcpts: []string{"plain@localhost"}, text: "Return-Path: <x@y.test>\nX-Original-To: z\nSubject: x\n\nx\n"},
	)
}

// TestLocalLikePostfix: both local(8) deliver the same and log the same.
func TestLocalLikePostfix(t *testing.T) {
	for _, tw := range localTwins {
		t.Run(tw.name, tw.test)
	}
}
