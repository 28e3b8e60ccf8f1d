package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// mapTexts are sources of tables with all that is odd in them.
var mapTexts = map[string]string{
	"lines":   "a b\nnovalue\n  leading c\n\"x y\" z\n\"unterminated q\nk1 v1\n# comment\n  goes on\n# another\n\tand on\n\na again\nA upper\n\"\" empty\nlast line",
	"lead":    "   \n   # c\n  first is indented\nx y\n",
	"onlycom": "# nothing\n\n#\n",
	"empty":   "",
	"nul":     "a b\x00c\nd\x00e f\nx y\n\x00\nz \x00\n",
	"long":    "long " + strings.Repeat("x", 100000) + "\n" + strings.Repeat("k", 70000) + " v\n",
	"crlf":    "a b\r\nc d\r\n",
	"latin":   "caf\xe9 x\nx caf\xe9\ngut \xc3\xa4\n",
	"quotes":  "\"a\\\"b\" c\n\"d\"e f\n\"g\" \n\\h i\n'j k' l\nm \"n o\"\nn\"o p\" q\n\"tr\\\n",
	"colon":   "a: b\nc : d\ne:f\n",
	"dups":    "a 1\nb 2\nA 3\na 4\n\"a\" 5\n",
	"aliases": "root: you\nRoot: ann\n\"a b\": bob\nnocolon bob\nempty:\n: x\na b: c\nlist: you,\n# c\n ann,\n bob\n  \n\"open: x\npipe: \"|cmd a\"\npipe2: |cmd a\nfile: /x/y, :include:/z\nbad: \"open\nlast: x",
	"shapes": "a@b: c\nC: (note) d\n\"@\": x\n<e>: f\ng; h\ni: j; k\nl: \"m\\\"n\"@o.test, p\nq : r\ns:t\nu: v:w\n\"x:y\": z\nlist: :include:/etc/l, \"/a b/c\", |\"/bin/d e\"\n" +
		"\\esc: e\ndot.ted: d\n\"q.u\": q\nlit[x]: l\n[y]: z\ncomma: a,,b,\ngroup: friends: a, b;\nparen(x): y\nopen(x: y\nempty: \"\"\nblank: \" \"\nown-list: o\nlist: p\n",
	"unicode": letters(), "people": people, "badrules": badRules, "posixrules": posixRules,
	"noname": "a: b\n\"\": x\n",
	"regexp": "/^a/ one\n/b/x bad\n/(/ paren\n/c\n/d/\nif /e/\n/ef/ two\nendif\nendif\n!/^[a-z]/ neg\nif !/^q/\n/z$/ zee\n",
	"re_if":  "if /a/\nif /b/\n/c/ nested $0 $1 ${1\nendif\n",
	"re_odd": "/(a)(b)/ $2$1$$ ${3}\n/(x)/ $(1) $9\n/y/ $\n/z/i$ v\nif\nif x\nendif x\n/w/w $1\n!/(v)/ $1\nnothing\n  indented\n/esc\\/aped/ yes\n|pipe| yes\n/plus/+ x\n",
	"re_more": "/a/ ${x}\n/b/ ${}\n/c/ $-\n/d/ $1\n/e/ ${1}$\n/(f)/ $100\n/(g)/ $01\n!\n! /h/ i\n!!/j/ k\n//\n// empty\n/l/ $ m\n/n/i\tx\nif /p/ extra\n/p/ q\nendif\n/r\\/ s\nENDIF\nIF /t/\n" +
		"/u/ $$1\nEndIf\nif !\n/v/$ w\n/[/ x\n/*/ y\n/z{2,1}/ z\n",
	"cidr": "10.0.0.0/8 a\n10.0.0.1/8 hostbits\n1.2.3.4 b\n1.2.3.4/33 toolong\n1.2.3.4/x notnum\n::1 c\n[::1] brackets\nfe80::/10 d\n1.2.3 short\njunk x\n192.168.0.0/16\nif 172.16.0.0/12\n172.16.0.1 e\nendif\nendif\n!1.0.0.0/8 neg\nif !2.0.0.0/8\n0.0.0.0/0 rest\n",
	"cidr_odd": "1.2.3.4/ e\n1.2.3.4/-1 e\n[1.2.3.4] e\n[1.2.3.0]/24 f\n[2001:db8::]/32 g\n[2001:db8::/32] h\n2001:db8::/129 i\n1.2.3.4/08 j\n01.2.3.4 k\n!!3.0.0.0/8 l\n! 4.0.0.0/8 m\n!\nif\nif junk\nif 5.0.0.0/8 extra\n" +
		"5.5.5.5 n\nendif more\n::ffff:6.6.6.6 o\n6.6.6.6/32 p\n1.2.3.4.5 q\n[1.2.3.4 r\n[] s\n/8 t\n7.0.0.0/8/8 u\n8.8.8.8%x v\nfe80::1%eth0 w\n0.0.0.0/0 $1\n",
	"flat": "one two\nthree\n  four\nfive six\n\"s e\" v\nfive dup\n",
}

// letters has a key for each letter that has a case, of those that are old enough
// for all versions of Unicode.
func letters() string {
	var b strings.Builder
	for r := rune(0x80); r < 0xfb18; r++ {
		if r == 0x2000 {
			r = 0xfb00
		}
		if unicode.IsLetter(r) && (unicode.IsUpper(r) || unicode.IsLower(r) || unicode.IsTitle(r)) {
			fmt.Fprintf(&b, "%x-%c %x\n", r, r, r)
		}
	}
	return b.String()
}

// look is a lookup.
func look(key, spec string) mapCall { return mapCall{args: []string{"postmap", "-q", key, spec}} }

// TestOddTables: postmap and postalias say and do the same as Postfix's with mapCall
// texts, options, names, keys and input.
func TestOddTables(t *testing.T) {
	o := &mapTools{p: newPair(t, "default_database_type = hash"), files: mapTexts}
	o.test(t, slices.Concat(oddSources(), oddOptions(), oddKeys(), oddInput(), oddAliasDatabases()))
}

// optionsFor is options that make a difference for some of the texts.
var optionsFor = map[string][]string{
	"lines": {"-f", "-r", "-w", "-N", "-rw", "-wr"}, "dups": {"-f", "-r", "-w", "-rw", "-wr"}, "latin": {"-u"}, "quotes": {"-f"},
	"nul": {"-N", "-u"}, "aliases": {"-f", "-r", "-w", "-N"}, "shapes": {"-f", "-r", "-w", "-u"}, "people": {"-f", "-u", "-N"},
}

// oddSources has odd texts.
func oddSources() []mapChain {
	var chains []mapChain
	var keys []string
	asked := lines("postalias people")
	for _, name := range []string{"lines", "lead", "onlycom", "empty", "nul", "long", "crlf", "latin", "quotes", "colon", "aliases", "dups"} {
		for _, options := range optionsFor[name] {
			chains = append(chains, lines("postmap "+options+" "+name, "postmap -s "+name))
		}
		chains = append(chains, lines("postmap "+name, "postmap -q a "+name, "postmap -q x "+name, "postmap -fq A "+name, "postmap -F -q a "+name, "postmap -s "+name),
			lines("postmap -q a texthash:"+name), lines("postmap -s texthash:"+name), lines("postmap -fs texthash:"+name), lines("postmap -us texthash:"+name))
	}
	chains = append(chains, lines("postmap unicode", "postmap -s unicode"), lines("postmap -u unicode", "postmap -s unicode"))
	chains = append(chains, otherwise("a name that is empty is refused, since nothing can look it up", "postalias noname", "postalias -s noname"))
	for _, key := range []string{"inc", "INC", "incq", "cmd", "quo", "file", "user@d.test", "a@b", "a@b.test", "inc@mail.example.test", "q\"r", "\"q\\\"r\"", "\"q\"r\"", "'sq'", "sq", "a+b", "a", "u%d", "u!d", "*", "x=y", "[1.2.3.4]", "-dash", "d.", "f..g", "semi;colon", "\xc3\xa9", "\xc3\x89", "inc ", " inc", "", "inc:", "@"} {
		keys = append(keys, key)
		asked = append(asked, mapCall{args: []string{"postalias", "-q", key, "people"}})
	}
	asked = append(asked, lines("postalias -q - people", "postalias -fq - people", "postalias -uq - people").on(strings.Join(keys, "\n")+"\n")...)
	asked = append(asked, lines("postalias -d INC people", "postalias -d inc people", "postalias -d a@b people", "postalias -d - people").on("cmd\nq\"r\nnone\n")...)
	chains = append(chains, asked)
	for _, name := range []string{"aliases", "shapes", "people", "lines", "lead", "nul", "crlf", "latin", "empty"} {
		for _, options := range optionsFor[name] {
			chains = append(chains, lines("postalias "+options+" "+name, "postalias -s "+name))
		}
		chains = append(chains, lines("postalias "+name, "postalias -q a "+name, "postalias -q list "+name, "postalias -q LIST "+name, "postalias -d YP_LAST_MODIFIED "+name, "postalias -d YP_MASTER_NAME "+name, "postalias -s "+name))
	}
	return chains
}

// oddOptions has odd options, names and types.
func oddOptions() []mapChain {
	chains := []mapChain{
		lines("postmap flat", "postmap -q one flat", "postmap -q ONE flat", "postmap -fq ONE flat", "postmap -q five flat", "postmap -d five flat", "postmap -d five flat", "postmap -s flat"),
		lines("postmap -N flat", "postmap -s flat", "postmap -q one flat", "postmap -n flat", "postmap -q one flat", "postmap -nN flat", "postmap -q one flat"),
		slices.Concat(lines("postmap -n flat"), otherwise("keys with and without a NUL are found whatever the option is", "postmap -Nq one flat")),
		lines("postmap -Nn flat", "postmap -q one flat", "postmap -o flat", "postmap -p flat", "postmap -s flat"),
		lines("postmap -u latin", "postmap -s latin", "postmap -us latin", "postmap -q caf\xe9 latin", "postmap -u -q caf\xe9 latin", "postmap -q x latin", "postmap -uq x latin"),
		slices.Concat(lines("postmap -u latin"), otherwise("a key that cannot be there is not found", "postmap -d caf\xe9 latin")),
		lines("postmap -F flat", "postmap -Fq one flat", "postmap -F -s flat", "postmap -fF -q one flat"),
		lines("postmap flat lines", "postmap -q none flat lines", "postmap -q a flat lines", "postmap -d a flat lines", "postmap -q one flat nosuch"),
		slices.Concat(lines("postmap flat lines"), otherwise("all tables are listed, not the first alone", "postmap -s flat lines")),
		lines("postmap flat nosuch lines", "postmap -q one flat"),
		lines("postmap flat", "postmap -q one nosuch flat", "postmap -q none flat nosuch", "postmap -d one nosuch flat", "postmap -s flat"),
		slices.Concat(lines("postmap flat"), otherwise("all tables are listed, not the first alone", "postmap -s flat nosuch")),
	}
	chains = append(chains, otherwise("a folder is no source", "postmap .", "postmap -q x .").each()...)
	chains = append(chains, otherwise(textCounts, "postmap -q one flat", "postmap -s flat", "postmap -s -s flat", "postmap -si flat", "postmap -ifq a flat", "postmap -rq one flat", "postmap -d none flat").each()...)
	chains = append(chains, lines("postmap nosuch flat", "postmap hash:nosuch", "postmap -d one nosuch", "postmap -s nosuch", "postmap -i nosuch2/x", "postmap flat/x", "postmap -q x flat/x",
		"postmap -q x hash:", "postmap hash:", "postmap :flat", "postmap -q x :flat", "postmap nosuch:flat", "postmap -s nosuch:flat", "postmap -d x nosuch:flat", "postmap -q x no-such:flat", "postmap : x",
		"postmap static:x", "postmap regexp:regexp", "postmap inline:{a=b}", "postmap texthash:flat", "postmap environ:x", "postmap unix:passwd.byname", "postmap fail:x", "postmap cidr:cidr", "postmap pcre:regexp",
		"postmap -d x regexp:regexp", "postmap -s regexp:regexp", "postmap -d x texthash:flat", "postmap -s texthash:flat", "postmap -s cidr:cidr", "postmap -d x cidr:cidr", "postmap -d x pcre:regexp", "postmap -s pcre:regexp",
		"postmap -d x fail:x", "postmap -s fail:x", "postmap -q x fail:x", "postmap -q x fail:", "postmap -s environ:x", "postmap -d x environ:x", "postmap -q PATH1 environ:x", "postmap -q LANG environ:",
		"postmap -s inline:{a=b,c=d}", "postmap -d a inline:{a=b}", "postmap -d a static:x", "postmap -s static:x", "postmap -d a unix:passwd.byname", "postmap -d a unionmap:{static:x}", "postmap -s unionmap:{static:x}", "postmap -d a pipemap:{static:x}", "postmap -s randmap:{x}", "postmap -d a randmap:{x}",
		"postmap -c", "postmap -c nosuch flat", "postmap -q", "postmap -q a -q b flat", "postmap -d a -d b flat", "postmap -sq a flat", "postmap -s -d a flat",
		"postmap --", "postmap -- -x", "postmap flat -s", "postmap -", "postalias -b x", "postalias -h -q - x", "postalias -U x", "postalias -F aliases", "postmap -q a", "postmap -d a", "postmap -i", "postmap -U flat", "postmap -m flat", "postmap -b flat", "postmap -h -s flat", "postmap -m -d x flat").each()...)
	chains = append(chains, otherwise("it says what is missing", "postmap -s").each()...)
	return chains
}

// textCounts is a reason for what is done without an index.
const textCounts = "the text is read where there is no index"

// oddKeys has odd keys, and tables of all kinds.
func oddKeys() []mapChain {
	var chains []mapChain
	ask := func(spec string, keys ...string) {
		chains = append(chains, mapChain{look(keys[0], spec)})
		if len(keys) > 1 {
			all := mapCall{args: []string{"postmap", "-q", "-", spec}, input: strings.Join(keys, "\n") + "\n"}
			chains = append(chains, mapChain{all}, mapChain{look(keys[len(keys)-1], spec)})
		}
	}
	for _, kind := range []string{"regexp:", "pcre:"} {
		ask(kind+"regexp", "abc", "b", "ef", "EF", "Q", "1", "xyz", "")
		ask(kind+"re_if", "abc", "b", "")
		ask(kind+"re_odd", "abc", "ab", "x", "y", "z", "w", "v", "esc/aped", "pipe", "plus")
		ask(kind+"re_more", "a", "f", "g", "n", "p", "u", "", "zz", "\xe9")
		for _, name := range []string{"empty", "onlycom", "nul", "crlf", "lead", "latin", "nosuch", "{}", "{/a/b}", "{{/a/ b}}", "", "{{/a/ b}, {/c/ d}}", "{{if /a/}, {/a/ b}}", "{{/a/ b}", "{ {/a/ b} x }", "{{}}", "{{/a/ b} {/a/}}", "{{/a/ b}}x", "{", "{{/a/ b}x}"} {
			ask(kind+name, "a")
		}
	}
	for _, spec := range []string{"regexp:badrules", "pcre:badrules", "regexp:posixrules", "pcre:posixrules"} {
		ask(spec, "a", "zzz", "x", "\xe9", "a-b", "A]", "d")
	}
	ask("cidr:cidr", "10.1.1.1", "1.2.3.4", "::1", "fe80::1", "172.16.0.1", "9.9.9.9", "2.2.2.2", "junk", "10.1", "[::1]", "1.2.3.4/8", "::ffff:1.2.3.4", "010.1.1.1", "")
	ask("cidr:cidr_odd", "1.2.3.4", "1.2.3.9", "2001:db8::1", "2001:DB8::1", "3.3.3.3", "4.4.4.4", "5.5.5.5", "6.6.6.6", "::ffff:6.6.6.6", "fe80::1", "fe80::1%eth0", "8.8.8.8", "9.9.9.9", "1.2.3.4 ", " 1.2.3.4", "::", "0", "256.1.1.1")
	for _, spec := range []string{"cidr:{{1.0.0.0/8 a}}", "cidr:{1.0.0.0/8 a}", "cidr:{{if}}", "cidr:", "cidr:nosuch", "cidr:lead", "inline:{}", "inline:{x}", "inline:{x=}", "inline:{=x}", "inline:{ {a = b c} , d=e }", "inline:{{a=b} c}", "inline:{{a=b}", "inline:{a=b}x", "inline:{a=1,a=2}", "inline:x",
		"inline:{{a=b}x}", "inline:{ }", "inline:{,}", "inline:{a=b=c}", "inline:{a = b}", "inline:{A=b}", "inline:{{a}}", "inline:{{}}", "inline:{a=}", "inline:{{a=}}", "inline:{{=}}",
		"static:{a b}", "static:{a b", "static: a", "static:{}", "static:{ a }", "static:{a}b", "static:{a} ", "static:a b", "static:", "static:{{a}}", "static:}", "unionmap:{}", "unionmap:x", "unionmap:{static:x", "unionmap:{x}", "unionmap:{nosuch:x}", "unionmap:{static:x}y",
		"unionmap:{static:x,static:y}", "unionmap:{static:}", "unionmap:{inline:{a=b},inline:{b=c}}", "unionmap:{,}", "unionmap:{{}}", "unionmap:", "unionmap:{regexp:nosuch}", "unionmap:{hash:nosuch}",
		"pipemap:{}", "pipemap:{inline:{a=b},inline:{b=c}}", "pipemap:{inline:{a=b},inline:{c=c}}", "pipemap:x", "pipemap:{x}", "pipemap:{nosuch:x}", "pipemap:{static:x}}", "randmap:{}", "randmap:{a}", "randmap:a", "randmap:{a", "randmap:{a}b", "randmap:{{a b}}", "randmap:{{a}b}", "randmap:", "randmap:{,}",
		"thash:flat", "unix:passwd", "unix:", "unix:x", "environ:", "environ:x", "socketmap:x", "fail:", "fail:a b", "internal:x", "proxy:", "texthash:", "texthash:nosuch", "btree:nosuch"} {
		ask(spec, "a")
	}
	for _, d := range []struct {
		why   string
		specs []string
	}{
		{"a folder is refused with what it is", []string{"regexp:.", "pcre:.", "cidr:.", "texthash:.", "hash:."}},
		{"a table within a table may be in braces", []string{"unionmap:{{static:x y}, fail:z}", "unionmap:{{static:x}y}"}},
		{"the error names the table inside", []string{"pipemap:{fail:x}", "pipemap:{inline:{a=b},fail:x}", "unionmap:{static:x,fail:y}"}},
		{"the address is looked at when it connects", []string{"tcp:localhost:1x"}},
		{"texthash: may be given in main.cf, as in later Postfix, and hash: says that it may not", []string{"texthash:{{a b}}", "texthash:{a b}", "texthash:{{a b}", "hash:{{a b}}"}},
		{"other types are there", []string{"debug:static:x", "sdbm:nosuch", "nisplus:x", "ldap:nosuch", "pgsql:nosuch", "memcache:nosuch"}},
	} {
		for _, spec := range d.specs {
			o := look("a", spec)
			o.why = d.why
			chains = append(chains, mapChain{o})
		}
	}
	ask("unix:passwd.byname", "root", "ROOT", "nobody1", "", "0", "root ")
	ask("unix:group.byname", "root", "0", "")
	ask(`inline:{a=b,C=d,{"e f"=g},{"h"i=j},{ "k=l" = m }}`, "a")
	ask(`inline:{a=b,C=d,{"e f"=g},{ "k=l" = m }}`, "a", "A", "c", "C", "e f", `"e f"`, "k=l", "", " a", "a ", "\xe9")
	ask("inline:{a=b,{e f=g}}", "a")
	ask(`inline:{a=b,{"e f=g}}`, "a")
	for _, o := range []mapCall{line("postmap -fq EF regexp:regexp"), line("postmap -fq ROOT unix:passwd.byname"), line("postmap -fq A inline:{a=b}"), line("postmap -uq É inline:{é=1}"), line("postmap -q É inline:{é=1}"), line("postmap -q a static:b static:c"), line("postmap -q a inline:{b=c} static:d"), line("postmap -Uq a static:b"),
		look("a\nb", "regexp:{{/^a$/ x}, {/a.b/ y}}"), look("a\nb", "pcre:{{/^a$/ x}, {/a.b/ y}}"), look("a\nb", "pcre:{{/^a$/m x}, {/a.b/ y}}"), look("a\nb", "pcre:{{/a$/ x}}"), look("a\n", "pcre:{{/a$/ x}}"), look("a\n", "regexp:{{/a$/ x}}"), look("a", "pipemap:{inline:{a=b}, regexp:{{/(b)/ $1$1}}}"), look("a", "unionmap:{inline:{b=b}, regexp:{{/(a)/ $1$1}}}"),
		look("A", "pipemap:{inline:{a=B}, inline:{b=c}}"), look("a", "static:{ }"), look("a", "randmap:{ { x } }"), look("a", "inline:{ a=b,,c=d }"), look("a", "inline:{ { a = b  c } }"), look("a", "inline:{ { a = {b} } }"), look("a", "inline:{a={b}}"), look("a", `inline:{a="b c"}`), look("a", "inline:{{a=b}{c=d}}")} {
		chains = append(chains, mapChain{o})
	}
	for _, words := range []string{"postmap -Fq a inline:{a=Yg==}", "postmap -Fq a static:x!", "postmap -Fs inline:{a=!}", "postmap -Fq one texthash:flat"} {
		chains = append(chains, otherwise("files are read where there is an index; other tables have their contents", words))
	}
	ask("static:x", "", " ", "\xe9", strings.Repeat("y", 5000))
	ask("fail:x", "", "a", "\xe9")
	ask("environ:x", "", "MAIL_CONFIG1", "=", "\xe9")
	return chains
}

// oddInput has odd standard input.
func oddInput() []mapChain {
	var chains []mapChain
	const keys = "one\nONE\nnone\n\n  one\nlast"
	chains = append(chains, slices.Concat(lines("postmap flat"), lines("postmap -q - flat", "postmap -fq - flat", "postmap -q - texthash:flat", "postmap -q - static:x", "postmap -q - inline:{one=1}", "postmap -q - nosuch", "postmap -q - fail:x", "postmap -q - regexp:regexp").on(keys)),
		slices.Concat(lines("postmap flat lines"), lines("postmap -q - flat lines").on(keys)),
		slices.Concat(lines("postmap flat"), otherwise("what was found is written before the run fails", "postmap -q - flat nosuch").on(keys)),
		otherwise(textCounts, "postmap -q - flat").on(keys),
		slices.Concat(lines("postmap flat"), lines("postmap -d - flat", "postmap -d - flat", "postmap -d - static:x", "postmap -s flat").on("five\nnone\n")),
		slices.Concat(lines("postmap flat"), lines("postmap -q - flat", "postmap -d - flat", "postmap -i flat", "postmap -q - nosuch", "postmap -d - nosuch", "postmap -q - fail:x", "postmap -q - regexp:nosuch")),
		slices.Concat(lines("postmap flat"), lines("postmap -i flat", "postmap -s flat", "postmap -ir flat", "postmap -s flat", "postmap -iw flat").on("new v\none again\nnovalue\n  lead\n\"q q\" v\n")),
		lines("postmap -i fresh", "postmap -s fresh", "postmap -i static:x", "postmap -ri nosuch:x").on("new v\none again\nnovalue\n  lead\n\"q q\" v\nnew w\n"),
		lines("postmap -i fresh", "postmap -s fresh").on("  lead\n# x\na b\n"),
		otherwise(textCounts, "postmap -i flat", "postmap -s flat").on("new v\none again\n"),
		lines("postmap -iF fresh", "postmap -s fresh", "postmap -Fs fresh").on("a flat\nb nosuch\nd flat, flat\ne .\n"),
		otherwise("an empty file is left out with a warning, since its lookup would fail", "postmap -iF fresh", "postmap -s fresh", "postmap -Fs fresh").on("c empty\n"),
		slices.Concat(lines("postmap -i fresh").on("a two!\n"), lines("postmap -Fs fresh", "postmap -Fq a fresh")),
		lines("postmap -iF fresh", "postmap -Fs fresh").on("a flat,lines\n"),
		slices.Concat(lines("postalias aliases"), lines("postalias -i aliases", "postalias -d YP_LAST_MODIFIED aliases", "postalias -s aliases", "postalias -ir aliases", "postalias -q root aliases", "postalias -q - aliases").on("new: v, w\nroot: again\nnovalue\n  lead\n")),
		slices.Concat(lines("postmap -u latin"), lines("postmap -q - latin", "postmap -uq - latin", "postmap -i latin", "postmap -ui latin", "postmap -d - latin", "postmap -us latin").on("caf\xe9\nx\n")),
		slices.Concat(lines("postmap nul"), lines("postmap -q - nul", "postmap -i nul", "postmap -q - static:x", "postmap -d - nul", "postmap -s nul").on("a\x00b\nx\n")),
		slices.Concat(lines("postmap -i fresh").on(strings.Repeat("z", 100000)+" a\n"), lines("postmap -q - fresh", "postmap -d - fresh", "postmap -d - fresh").on(strings.Repeat("z", 100000)+"\n")))
	for _, text := range []string{
		"Subject: a\n b\nX:y\n\nbody\n\nmore\n", "no header at all\n.\nFrom x\n", "From x\nFrom: y\n\tz\n", "", "\n", "\nbody", "X: y", "X: y\n\n", " lead\nX: y\n", "X : y\nZ\t : a\n\nbody : x\n", "X\n: y\n", "A: \xe9\n\n\xe9\n",
		strings.Repeat("y", 5000) + "\n" + "X: " + strings.Repeat("z", 150000) + "\n\n", "X: " + strings.Repeat("z", 150000) + "\n\n" + strings.Repeat("b", 5000) + "\n",
		"Content-Type: multipart/mixed; boundary=b\n\npre\n--b\nA: b\n\nc\n--b\nContent-Type: message/rfc822\n\nS: t\n\nu\n--b--\nepi\n", "Content-Type: message/rfc822\n\nA: b\n\nc\n", "Content-Type: multipart/mixed\n\nx\n--\ny: z\n", ">From x\nA: b\n\nc\n", "A: b\nnot a header\nC: d\n",
	} {
		for _, options := range []string{"-bq", "-hq", "-bhq", "-hmq", "-bmq", "-bhmq", "-Uhq", "-Ubq"} {
			chains = append(chains, lines("postmap "+options+" - static:x").on(text))
		}
	}
	chains = append(chains, otherwise("a carriage return before a line end is no part of the line, as in mail that arrives", "postmap -bhq - static:x").on("Z: a\r\nB: c\r\n\r\nbody\r\n"),
		otherwise("a NUL does not end a line of a message", "postmap -bhq - static:x").on("A: b\n\x00c: d\n\ne\x00f\n"))
	chains = append(chains, lines("postmap -mq - static:x", "postmap -hq - static:x static:y", "postmap -hq - nosuch", "postmap -bq - fail:x", "postmap -bd - flat", "postmap -h -q - regexp:{{/./", "postmap -hq x static:x").on("Subject: a\n\nbody\n").each()...)
	return chains
}
