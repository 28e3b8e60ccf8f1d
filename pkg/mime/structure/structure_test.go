package structure

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// mixed has a multipart in a multipart, a message, a preamble and an epilogue.
const mixed = `From: a@x
Content-Type: multipart/mixed; boundary=outer

preamble
--outer
Content-Type: multipart/alternative; boundary="outer/in"

--outer/in
Content-Type: text/plain

one
two
--outer/in
Content-Type: text/html; charset=utf-8

<p>
--outer/in--
--outer
Content-Type: message/rfc822

Subject: inner

body
--outer--
epilogue
`

func TestParts(t *testing.T) {
	msg := crlf(mixed)
	root := ParseBytes([]byte(msg))
	for _, tt := range []struct {
		path []uint32
		want string
	}{
		{[]uint32{1, 1}, "one\r\ntwo"}, {[]uint32{1, 2}, "<p>"}, {[]uint32{2}, "Subject: inner\r\n\r\nbody"}, {[]uint32{2, 1}, "body"},
	} {
		p := root.Find(tt.path)
		if p == nil {
			t.Errorf("%v: no such part", tt.path)
			continue
		}
		if got := msg[p.Body:p.End]; got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.path, got, tt.want)
		}
	}
	for _, path := range [][]uint32{{3}, {0}, {1, 3}, {1, 1, 1}, {2, 2}} {
		if p := root.Find(path); p != nil {
			t.Errorf("%v: %q", path, msg[p.Body:p.End])
		}
	}
}

func TestBodyStructure(t *testing.T) {
	root := ParseBytes([]byte(crlf(mixed)))
	want := `((("text" "plain" NIL NIL NIL "7bit" 8 1)("text" "html" ("charset" "utf-8") NIL NIL "7bit" 3 0) "alternative")` +
		`("message" "rfc822" NIL NIL NIL "7bit" 22 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 4 0) 2) "mixed")`
	if got := string(root.AppendBody(nil, false)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		`a@x`:                       `((NIL NIL "a" "x"))`,
		`"Q, R" <a@x>, b@y (Bob)`:   `(("Q, R" NIL "a" "x")("Bob" NIL "b" "y"))`,
		`g: a@x, b@y;, c@z`:         `((NIL NIL "g" NIL)(NIL NIL "a" "x")(NIL NIL "b" "y")(NIL NIL NIL NIL)(NIL NIL "c" "z"))`,
		`undisclosed-recipients:;`:  `((NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL))`,
		`<@r1,@r2:a@x>`:             `((NIL "@r1,@r2" "a" "x"))`,
		`just a name`:               `((NIL NIL "just a name" ""))`,
		``:                          `NIL`,
		`=?utf-8?q?J=C3=B6?= <j@x>`: `(("=?utf-8?q?J=C3=B6?=" NIL "j" "x"))`,
		`"a b"@x`:                   `((NIL NIL "a b" "x"))`,
		`"unterminated`:             `((NIL NIL "unterminated" ""))`,
		`a@x b@y`:                   `((NIL NIL "a@x b" "y"))`,
	} {
		if got := string(appendAddresses(nil, text)); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// TestBounds: hostile messages cost no more than their size, and their
// structure is bounded.
func TestBounds(t *testing.T) {
	deep := strings.Repeat("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n", 100000)
	if n := depth(ParseBytes([]byte(deep))); n > MaxNesting+1 {
		t.Errorf("depth %d", n)
	}
	wide := "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\n", 100000)
	if n := len(ParseBytes([]byte(wide)).Children); n > MaxParts {
		t.Errorf("%d parts", n)
	}
	messages := strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 100000)
	if n := depth(ParseBytes([]byte(messages))); n > MaxNesting+1 {
		t.Errorf("depth %d", n)
	}
	ParseAddresses(strings.Repeat("(", 1000000))
	ParseAddresses(strings.Repeat("a,", 1000000))
	ParseFields([]byte("Content-Type: a/b" + strings.Repeat(";x*1=y", 100000) + "\r\n"))
}

func depth(p *Part) int {
	n := 0
	for _, c := range p.Children {
		n = max(n, depth(c))
	}
	return n + 1
}

// check compares the stream with the parse in memory, and looks whether parts
// lie in each other.
func check(t *testing.T, data []byte) {
	t.Helper()
	whole := ParseBytes(data)
	streamed, err := ParseBuffer(iotest.HalfReader(bytes.NewReader(data)), make([]byte, 1<<16))
	if err != nil {
		t.Fatal(err)
	}
	a, b := whole.AppendBody(nil, true), streamed.AppendBody(nil, true)
	if !bytes.Equal(a, b) {
		t.Fatalf("in memory %s\nas a stream %s", a, b)
	}
	inside(t, whole, 0, int64(len(data)))
}

func inside(t *testing.T, p *Part, from, to int64) {
	t.Helper()
	if p.Start < from || p.Body < p.Start || p.End < p.Body || p.End > to || p.Lines < 0 {
		t.Fatalf("part %d %d %d, %d lines, in %d %d", p.Start, p.Body, p.End, p.Lines, from, to)
	}
	for _, c := range p.Children {
		inside(t, c, p.Body, p.End)
	}
}

func TestRandomMessages(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	lines := []string{"--x", "--x--", "--y", "", "text", "Content-Type: multipart/mixed; boundary=x", "Content-Type: multipart/digest; boundary=y",
		"Content-Type: message/rfc822", "Subject: s", " folded", "Content-Type: text/plain; charset=\"a"}
	for range 3000 {
		var b strings.Builder
		for range r.IntN(30) {
			b.WriteString(lines[r.IntN(len(lines))])
			b.WriteString([]string{"\r\n", "\r\n", "\r\n", "\n", ""}[r.IntN(5)])
		}
		check(t, []byte(b.String()))
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(crlf(mixed)))
	f.Add([]byte("Content-Type: message/rfc822\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 1<<15 {
			check(t, data)
		}
	})
}

func FuzzAddresses(f *testing.F) {
	f.Add(`"Q" <a@x>, g: b@y (c);`)
	f.Fuzz(func(t *testing.T, s string) { appendAddresses(nil, s) })
}
