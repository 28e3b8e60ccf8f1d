package interop

// badRules are expressions that both kinds of rules may refuse.
const badRules = `!xabx one
!\c\ two
!!!/d/ three
"e" four
(f( five
# c
/g/ $() ${ 1 } $(1
/(h)/ ${1}x$1_
/(h)/ $1x
/i/ $(x)
if/j/
/j/ k
endif
if	/l/
endif/x/
ifx
endifx
if!/m/
endif
/[s/ x
/[/ x
/a**/ x
/\(/x y
/)/ y
/a{1/ z
/a{1}{2/ z
/a\{1/x z
/(/ a
/()/ b
/a{2,1}/ c
/a{99999}/ c
/[[:foo:]]/ d
/[z-a]/ e
/a\/ f
/\/ g
/+/ h
/(*)/ i
/a|*/ i
/*/x j
/[[.x.]]/ k
/(?i)x/ l
/[a/ m
/[[:alpha:]/ n
/(a/ n
/a{,/ o
/a{x/ o
/a{2/ o
/a\{2,1\}/x z
/[\]]/ b
/[]a]/ c
/[^]a]/ d
/[[=a=]]/ e
/[[.hyphen.]]/ f
/a{,}/ g
/a{,3}/ h
/a{1,2}{3}/ i
/\d+/ j
/\w\W\s\S/ k
/(?:a)/ l
/(?P<n>a)/ m
/\x41\101\cA/ q
/a++b?+/ r
/(?=a)(?!b)(?<=c)(?<!d)/ s
/\Qa.b\E/ w
/[[:^alpha:]]/ x
/[[:word:]]/ y
/^.{1,1000}$/ z
/a**b/ aa
/^*/ bb
/a|/ cc
/|a/ dd
/()/ ee
/(|a)/ ff
/\1/ gg
/(a)\2/ hh
/(a)\1/ ii
/[\w]/ jj
/[a\-z]/ ll
/[z\-a]/ mm
/(a)\g{1}/ pp
/(?i:a)/ qq
/(?-i)a/ rr
/(?x) a b/ ss
/(?#c)a/ tt
/(?#c/ uu
/\N/ xx
/\R/ yy
/\h\H\v\V/ ac
/\A\Z\z\G/ ad
/(?>a)/ ae
/\e\f\a\0/ ak
/\y/ al
/\j/ am
/[b-a]/ an
/[a-b-c]/ ao
/[--a]/ ap
/[a--]/ aq
/[[a]]/ as
/a{1/ at
/a{1,/ au
/a{a}/ av
/a{1,2,3}/ aw
/{1}/ ax
/x{65536}/ ay
/x{65535}/ az
/x{1001}/ ba
/(x{100}){100}/ bc
`

// posixRules are expressions of which our pcre: has no counterpart; to regexp:
// they are like any other.
const posixRules = `/[a-\]]/ a
/(?<n>a)(?<n>b)/ n
/\p{L}/ o
/\x{263a}/ p
/(?<=a*)b/ t
/(?R)/ u
/\K/ v
/[\d-z]/ kk
/\8/ nn
/\g1/ oo
/(*ANY)a/ vv
/(*UTF8)a/ ww
/\X/ zz
/\C/ ab
/(?|a|b)/ af
/(?(1)a|b)/ ag
/(a)(?(1)b|c)/ ah
/(?&n)/ ai
/(?1)/ aj
/[[:alpha:]-z]/ ar
`
