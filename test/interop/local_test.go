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
plain: pxalice
two: pxalice, pxbob
dup: pxalice, pxbob, pxalice
nest: nest2
nest2: nest3, pxbob
nest3: pxalice
loop1: loop2
loop2: loop1
loop3: loop4, pxalice
loop4: loop3
self: self
selfplus: selfplus, pxalice
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
owned: pxbob, nosuch
owner-owned: remote@away.test
ownedmany: pxbob
owner-ownedmany: one@away.test, two@away.test
list-request: pxalice
list: pxbob, nosuch@localhost
owner-list: remote@away.test
away: someone@away.test
mixed: pxalice, someone@away.test, "|cat > DIR/drop/mixed", DIR/drop/mixedfile
escaped: \pxalice
escapedaway: \someone@away.test
empty:
comment: (comment only)
named: "Full, Name" <pxalice>, Other (x, y) <pxbob@localhost>
nouser: nosuch
nouser2: nosuch, pxalice
quoted: "pxalice", "pxbob"@localhost
plus+ext: pxbob
plus: pxalice
colon: pxalice:pxbob
semicolon: pxalice; pxbob
UPPER: pxalice
"quoted name": pxalice
group: Friends: pxalice, pxbob;
bang: host!user
percent: pxalice%localhost
badfile: DIR/nosuchdir/file
badfile2: DIR/etc/list/x
rootfile: DIR/etc/ro
fifo: DIR/drop/fifo
dirfile: DIR/drop
symlink: DIR/drop/link
cmdempty: "|"
cmdspace: "|  /bin/cat  "
bare@address: pxalice
number123: pxalice
postmaster: pxbob
mailer-daemon: postmaster
`

var localTwins = []twin{
	{
		name:     "aliases",
		settings: []string{"alias_maps = hash:ETC/aliases", "recipient_delimiter = +", "default_transport = discard:"},
		files: map[string]string{"aliases": localAliases, "list": "# people\npxalice\n\npxbob, someone@away.test\n  # not a comment? \n",
			"listcmd": "\"|cat > DIR/drop/inccmd\"\n", "listfile": "DIR/drop/incfile\n", "listnest": ":include:DIR/etc/list\nnosuch\n",
			"listbad": "pxalice\n\"pxbob\n", "notexec": "x"},
		postmap: []string{"postalias hash:ETC/aliases"},
		cases:   aliasCases(),
	},
	{
		name:     "forward files",
		settings: []string{"alias_maps = hash:ETC/aliases", "recipient_delimiter = +", "default_transport = discard:"},
		files:    map[string]string{"aliases": "team: pxalice, pxbob\ntoalice: pxalice\nroot: pxbob\n", "members": "pxbob, someone@away.test\n"},
		postmap:  []string{"postalias hash:ETC/aliases"},
		cases:    forwardCases(),
	},
	userTwin("mailbox", "mailbox_size_limit = 0"),
	userTwin("home maildir", "home_mailbox = Maildir/", "recipient_delimiter = -+"),
	userTwin("mailbox transport", "mailbox_transport = discard:hop"),
	userTwin("mailbox transport maps", "mailbox_transport_maps = inline:{pxalice=discard:hop, nosuch=error:{5.7.7 no}}", "fallback_transport = discard:hop"),
	userTwin("luser address", "luser_relay = pxbob"),
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
	cases := []twinCase{one("user", "pxalice", nil), one("extension", "pxalice+ext", nil), one("delimiter", "pxalice-other", nil), one("bob", "pxbob", nil),
		one("unknown", "nosuch", nil), one("unknown extension", "nosuch+ext", nil), one("command", "cmd", nil), one("file", "file", nil), one("alias", "team+ext", nil),
		one("list", "list+ext", nil), one("owned", "owned", nil), one("forward", "pxalice+x", func(t *testing.T, s *twinSite) { s.alice.Write(t, ".forward", "pxbob, someone@away.test\n", 0o644) })}
	switch name {
	case "mailbox", "strict ownership off", "locks", "dotlock":
		cases = append(cases, one("lock left", "pxalice", locked("pxalice.lock")), one("foreign mailbox", "pxalice", func(t *testing.T, s *twinSite) {
			os.WriteFile(s.dir+"/spool/pxalice", []byte("From x\n\n"), 0o660)
			os.Chown(s.dir+"/spool/pxalice", s.bob.UID, 8)
		}), one("mailbox link", "pxalice", func(t *testing.T, s *twinSite) { os.Symlink(s.dir+"/drop/target", s.dir+"/spool/pxalice") }),
			one("mailbox with two names", "pxalice", func(t *testing.T, s *twinSite) {
				locked("pxalice")(t, s)
				os.Link(s.dir+"/spool/pxalice", s.dir+"/spool/other")
			}),
			one("mailbox is a folder", "pxalice", func(t *testing.T, s *twinSite) { os.Mkdir(s.dir+"/spool/pxalice", 0o700) }),
			one("mailbox without end", "pxalice", func(t *testing.T, s *twinSite) {
				locked("pxalice")(t, s)
				os.WriteFile(s.dir+"/spool/pxalice", []byte("From x\nSubject: x\n\nno end"), 0o600)
			}))
	}
	whys := map[string]string{"lock left": "words", "foreign mailbox": "a mailbox may be mended", "mailbox link": "a mailbox may be mended", "mailbox with two names": "a mailbox may be mended",
		"mailbox is a folder": "a mailbox may be mended", "mailbox without end": "the next message begins a line"}
	for i := range cases {
		cases[i].why = whys[cases[i].name]
	}
	return twin{name: name, settings: append([]string{"alias_maps = hash:ETC/aliases", "recipient_delimiter = +", "default_transport = discard:"}, settings...),
		files: map[string]string{"aliases": "cmd: \"|cat > DIR/drop/cmd; id >> DIR/drop/cmd\"\nfile: DIR/drop/file\nteam: pxalice, pxbob@localhost\nlist: :include:DIR/etc/members\nowned: pxbob, nosuch\nowner-owned: someone@away.test\n",
			"members": "pxalice\n\"|cat > DIR/drop/member\"\n", "fwd.pxalice": "pxbob\n"},
		postmap: []string{"postalias hash:ETC/aliases"}, cases: cases}
}

// forwards are .forward files of pxalice.
var forwards = []struct{ name, text string }{
	{"other", "pxbob\n"}, {"self", "pxalice\n"}, {"escaped", "\\pxalice\n"}, {"both", "\\pxalice, pxbob\n"}, {"away", "someone@away.test\n"},
	{"self and away", "pxalice, someone@away.test\n"}, {"self full", "pxalice@localhost, pxbob@mail.example.test\n"}, {"command", "|cat > DIR/drop/cmd\n"},
	{"quoted command", "\"|cat > DIR/drop/cmd; id -un\"\n"}, {"env", "\"|env | sort | grep -v -e ^_= -e ^LANG -e ^LD_ -e ^MAIL_CONFIG -e ^PWD > DIR/drop/env; id >> DIR/drop/env; pwd\"\n"},
	{"file", "DIR/drop/file\n"}, {"home file", "DIR/home/pxalice/box\n"}, {"maildir", "DIR/home/pxalice/Maildir/\n"}, {"devnull", "/dev/null\n"},
	{"include", ":include:DIR/etc/members\n"}, {"empty", ""}, {"comment", "# nothing here\n"}, {"blank lines", "\n\npxbob\n\n"}, {"comment and address", "# me\npxbob # too\n"},
	{"unknown", "nosuch\n"}, {"unknown and self", "nosuch, pxalice\n"}, {"no newline", "pxbob"}, {"crlf", "pxbob\r\n"}, {"commas", "pxbob,,\n,someone@away.test\n"},
	{"failing command", "\"|exit 1\"\n"}, {"failing command and self", "\"|exit 1\", pxalice\n"}, {"deferring command and away", "\"|exit 75\", someone@away.test\n"},
	{"exec", "\"|IFS=' ' && exec /bin/cat > DIR/drop/x || exit 75 #pxalice\"\n"}, {"vacation", "\\pxalice, \"|/bin/true pxalice\"\n"}, {"root", "root\n"},
	{"alias", "team\n"}, {"alias to self", "toalice\n"}, {"loop", "pxbob\n"}, {"quote", "\"pxbob\n"}, {"binary", "\x00\x01\n"}, {"folded", "pxbob,\n  someone@away.test\n"},
}

func forwardCases() []twinCase {
	var cases []twinCase
	whys := map[string]string{"command": "a command without quotes is one command", "quote": "a file with a mistake waits until that is mended",
		"binary": "a file with a mistake waits until that is mended"}
	for _, f := range forwards {
		cases = append(cases, twinCase{name: f.name, why: whys[f.name], rcpts: []string{"pxalice@localhost"}, before: func(t *testing.T, s *twinSite) {
			s.alice.Write(t, ".forward", s.expand(f.text), 0o644)
			if f.name == "loop" {
				s.bob.Write(t, ".forward", "pxalice\n", 0o644)
			}
		}})
	}
	with := func(name, rcpt string, before func(t *testing.T, s *twinSite)) {
		cases = append(cases, twinCase{name: name, rcpts: []string{rcpt}, before: before})
	}
	with("extension file", "pxalice+ext@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, ".forward", "pxbob\n", 0o644)
		s.alice.Write(t, ".forward+ext", s.expand("DIR/drop/ext\n"), 0o644)
	})
	with("extension without file", "pxalice+other@localhost", func(t *testing.T, s *twinSite) { s.alice.Write(t, ".forward", "pxbob\n", 0o644) })
	with("extension command", "pxalice+more@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, ".forward", s.expand("\"|env | grep -e EXT -e LOCAL -e RECIPIENT -e ^USER= > DIR/drop/env\"\n"), 0o644)
	})
	with("mode 666", "pxalice@localhost", func(t *testing.T, s *twinSite) { s.alice.Write(t, ".forward", "pxbob\n", 0o666) })
	with("mode 664", "pxalice@localhost", func(t *testing.T, s *twinSite) { s.alice.Write(t, ".forward", "pxbob\n", 0o664) })
	with("mode 000", "pxalice@localhost", func(t *testing.T, s *twinSite) { s.alice.Write(t, ".forward", "pxbob\n", 0) })
	with("owned by bob", "pxalice@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, ".forward", "pxbob\n", 0o644)
		os.Chown(s.alice.Home+"/.forward", s.bob.UID, s.bob.GID)
	})
	with("owned by root", "pxalice@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, ".forward", "pxbob\n", 0o644)
		os.Chown(s.alice.Home+"/.forward", 0, 0)
	})
	with("directory", "pxalice@localhost", func(t *testing.T, s *twinSite) { os.Mkdir(s.alice.Home+"/.forward", 0o755) })
	with("symlink", "pxalice@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, "target", "pxbob\n", 0o644)
		os.Symlink("target", s.alice.Home+"/.forward")
	})
	with("dangling link", "pxalice@localhost", func(t *testing.T, s *twinSite) { os.Symlink("target", s.alice.Home+"/.forward") })
	with("fifo", "pxalice@localhost", func(t *testing.T, s *twinSite) { syscall.Mkfifo(s.alice.Home+"/.forward", 0o644) })
	with("home not searchable", "pxalice@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, ".forward", "pxbob\n", 0o644)
		os.Chmod(s.alice.Home, 0)
	})
	cases[len(cases)-1].why = "it is said"
	with("writable home", "pxalice@localhost", func(t *testing.T, s *twinSite) {
		s.alice.Write(t, ".forward", "pxbob\n", 0o644)
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
		"pxalice", "pxalice+x", "PHALICE", "Phalice+X", "nosuch", "nosuch+x", "root", "daemon", `"|cat > DIR/drop/evil"`, `"/tmp/evil"`, "bin", "double-bounce", "+x", "pxalice+"} {
		c := twinCase{name: name, rcpts: []string{name + "@localhost"}, why: aliasWhys[name]}
		switch name {
		case "fifo":
			c.before = func(t *testing.T, s *twinSite) { syscall.Mkfifo(s.dir+"/drop/fifo", 0o666) }
		case "symlink":
			c.before = func(t *testing.T, s *twinSite) { os.Symlink(s.dir+"/drop/target", s.dir+"/drop/link") }
		}
		cases = append(cases, c)
	}
	return append(cases, twinCase{name: "several", rcpts: []string{"two@localhost", "pxalice@localhost", "nest@localhost", "nosuch@localhost"}},
		twinCase{name: "bounce to owner", sender: "<>", rcpts: []string{"owned@localhost"}},
		twinCase{name: "from lines", rcpts: []string{"plain@localhost"}, text: "Subject: x\n\nFrom me\n>From you\nfrom\n\n.\nFrom"},
		twinCase{name: "delivered before", rcpts: []string{"plain@localhost"}, text: "Delivered-To: plain@localhost\nSubject: x\n\nx\n"},
		twinCase{name: "delivered user", rcpts: []string{"pxalice@localhost"}, text: "Delivered-To: pxalice@LOCALHOST\nSubject: x\n\nx\n"},
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
