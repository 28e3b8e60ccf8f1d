package interop

import "slices"

// people is an alias file with all kinds of names and values.
const people = `inc: :include: /path with space
incq: ":include:/a b/c", x
incc: :include:/p,:include:/q
cmd: "|cmd 'a' \"b\"", \user, 'user'
cmdu: |cmd a b
cmdc: "|a, b", c
lit: user@[1.2.3.4], user@[IPv6:::1]
ang: <user@d.test>, Full Name <x@d.test>, "Full, Name" <y@d.test>
com: user (comment), (x) z
quo: "quoted user"@d.test, "q\"r"@d.test, "plain"@d.test
esc: a\ b, c\,d, \\e
file: /file/with space, "/file/w s"
odd: a@b@c, @d, user@, @, a..b@c, .a@b, a.@b
route: @a,@b:c@d, <@a:b@c>
MAILER-DAEMON: x
"q\"r": z
'sq': t
a+b: c
u%d: v
u!d: w
*: all
x=y: z
[1.2.3.4]: lit
user@d.test: no
"user@d.test": yes
"a@b"@c: no
-dash: x
d.: dot
.e: dot
f..g: dot
semi;colon: x
é: utf
utf: é@ü.test
long: aaaa,bbbb
 ,cccc
	dddd
  # no
 (c
e: f)
nest: ((a)b
brack: [a
brace: {a, b}
bs\: x
bsq: "a\
colons: a::b, c:d;
list: "x":y
tab:	a	b
ctl: ab
u%d: v
"u%d2": v
u%: v
%d: v
u%d@x: v
a%b c: v
a\%b: v
(x%y)e: v
[x%y]: v
x%y%z: v
p!q!r: v
"a!b%c": v
bsq2: "a\\
lone: \
lit: [a\
com: (a\
bs3: a\`

// oddAliasDatabases has odd settings for newaliases.
func oddAliasDatabases() []mapChain {
	var chains []mapChain
	for _, setting := range []string{
		"hash:DIR/aliases", "DIR/aliases", "hash:DIR/aliases, hash:DIR/people", "hash:DIR/aliases hash:DIR/nosuch hash:DIR/flat", "hash:DIR/nosuch", "hash:DIR/empty", "hash:DIR/lines", "hash:DIR/latin", "hash:DIR/nul", "hash:DIR/lead",
		"", "hash:", ":DIR/aliases", "nosuch:DIR/aliases", "texthash:DIR/aliases", "regexp:DIR/regexp", "pcre:DIR/regexp", "cidr:DIR/cidr", "static:x", "inline:{a=b}", "unionmap:{hash:DIR/aliases}", "proxy:hash:DIR/aliases", "environ:x",
		"hash:DIR/aliases/x", "hash:aliases", "$alias_maps", "hash:DIR/aliases,", ", hash:DIR/aliases", "btree:DIR/aliases", "-q:x",
	} {
		main := "alias_maps = hash:DIR/aliases\nalias_database = " + setting
		c := mapChain{{args: []string{"newaliases"}, main: main}}
		if slices.Contains([]string{"hash:DIR/aliases", "DIR/aliases", "$alias_maps"}, setting) {
			c = append(c, line("postalias -s hash:aliases"), line("postalias -q list hash:aliases"))
		}
		chains = append(chains, c)
	}
	for _, args := range [][]string{{"-v"}, {"-oAhash:aliases"}, {"-oA", "hash:aliases"}, {"-oAnosuch:DIR/aliases"}, {"-bi"}, {"-I"}, {"x"}, {"-bp"}, {"-t"}, {"-C", "/nosuch"}} {
		chains = append(chains, mapChain{{args: append([]string{"newaliases"}, args...), main: "alias_database = hash:DIR/aliases"}})
	}
	return append(chains,
		mapChain{{args: []string{"newaliases"}, main: "alias_database = hash:DIR", why: "a folder is no source"}},
		mapChain{{args: []string{"newaliases"}, main: "alias_database = {hash:DIR/aliases}", why: "braces keep the words of a list together"}},
		mapChain{{args: []string{"newaliases", "-Z"}, main: "alias_database = x", why: "Postfix looks at the options twice"}})
}
