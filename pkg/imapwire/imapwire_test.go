package imapwire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func decoder(text string) *Decoder {
	d := NewDecoder(strings.NewReader(text), nil)
	d.Continue = func() error { return nil }
	return d
}

func TestCommand(t *testing.T) {
	for name, r := range map[string]io.Reader{
		"whole": strings.NewReader(login), "bytes": iotest.OneByteReader(strings.NewReader(login)),
	} {
		d := NewDecoder(r, nil)
		d.Continue = func() error { return nil }
		if err := d.Next(); err != nil {
			t.Fatal(err)
		}
		got := []string{d.Tag()}
		d.SP()
		got = append(got, d.Word())
		for d.TrySP() {
			got = append(got, d.AString())
		}
		if !d.End() {
			t.Fatalf("%s: %v", name, d.Err())
		}
		if want := `a1|LOGIN|you@x|pass "word\|lit` + "\r\n" + `eral|]tom`; strings.Join(got, "|") != want {
			t.Errorf("%s: got %q", name, got)
		}
		if err := d.Next(); err != nil || d.Tag() != "a2" {
			t.Errorf("%s: the next command: %v", name, err)
		}
	}
}

const login = "a1 login you@x \"pass \\\"word\\\\\" {9}\r\nlit\r\neral {4+}\r\n]tom\r\na2 NOOP\r\n"

func TestFinishSkipsWhatFollows(t *testing.T) {
	d := decoder("a1 BAD {5+}\r\nhello {3+}\r\nfoo bar\r\na2 NOOP\r\n")
	d.Next()
	d.Tag()
	d.Fail("unknown command")
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := d.Next(); err != nil || d.Tag() != "a2" {
		t.Errorf("got %v, %q", err, d.Rest())
	}
	// A literal that the client waits with is not sent.
	d = decoder("a1 BAD {5}\r\na2 NOOP\r\n")
	d.Next()
	d.Fail("unknown command")
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := d.Next(); err != nil || d.Tag() != "a2" {
		t.Errorf("got %v, %q", err, d.Rest())
	}
}

func TestLiteralReader(t *testing.T) {
	d := decoder("~{6+}\r\nabc\x00de rest\r\n")
	d.Next()
	lit := d.Literal(100)
	if lit == nil || !lit.Binary || lit.Size != 6 {
		t.Fatalf("%+v %v", lit, d.Err())
	}
	two := make([]byte, 2)
	io.ReadFull(lit, two)
	d.EndLiteral()
	d.SP()
	if got := d.Atom(); got != "rest" || !d.End() {
		t.Errorf("behind the literal: %q, %v", got, d.Err())
	}
}

func TestLimits(t *testing.T) {
	for name, text := range map[string]string{
		"literal":      "{4294967295}\r\n",
		"huge literal": "{18446744073709551616}\r\n",
		"negative":     "{-1}\r\n",
		"quoted":       `"` + strings.Repeat("x", 100) + "\r\n",
		"NUL":          "\"a\x00b\"\r\n",
		"bad UTF-8":    "\"\xff\"\r\n",
		"nothing":      "\r\n",
	} {
		d := decoder(text)
		d.MaxLiteral = 1000
		d.Next()
		if d.AString(); d.Err() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	d := decoder(strings.Repeat("x", 100000))
	if err := d.Next(); !errors.Is(err, ErrTooLong) {
		t.Errorf("long line: %v", err)
	}
	d = decoder(strings.Repeat("{1+}\r\nx", 1000))
	d.MaxLine = 1000
	d.Next()
	for d.Err() == nil {
		d.String()
	}
	if !errors.Is(d.Err(), ErrTooLong) && !errors.Is(d.Err(), ErrTooBig) {
		t.Errorf("many literals: %v", d.Err())
	}
}

func TestNumSet(t *testing.T) {
	for text, want := range map[string]string{
		"1": "1", "1:3,2:5": "1:5", "5:3": "3:5", "*": "10", "8:*": "8:10", "*:8": "8:10", "12:*": "10:12", "3,1,2": "1:3", "1,3": "1,3",
	} {
		d := decoder(text + "\r\n")
		d.Next()
		got := string(AppendRanges(nil, d.NumSet().Fixed(10)))
		if got != want || !d.End() {
			t.Errorf("%s: got %s, want %s (%v)", text, got, want, d.Err())
		}
	}
	for _, text := range []string{"0", "1:", ",1", "x", "1,,2", "99999999999"} {
		d := decoder(text + "\r\n")
		d.Next()
		if d.NumSet(); d.End() {
			t.Errorf("%s: no error", text)
		}
	}
}

func TestEncoderFillsLiteral(t *testing.T) {
	var b bytes.Buffer
	e := NewEncoder(&b)
	e.LiteralHeader(10, false)
	if err := e.Copy(strings.NewReader("abc"), 10); err == nil {
		t.Error("no error for a source that is too short")
	}
	e.CRLF()
	e.Flush()
	if got := b.String(); got != "{10}\r\nabc       \r\n" {
		t.Errorf("got %q", got)
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte(login))
	f.Add([]byte("a UID FETCH 1:*,5 (BODY.PEEK[1.2.HEADER.FIELDS (A \"b\")]<0.5>)\r\n"))
	f.Add([]byte("a APPEND x (\\Seen) {3+}\r\nabc\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := NewDecoder(bytes.NewReader(data), nil)
		d.Continue = func() error { return nil }
		d.MaxLine, d.MaxLiteral = 1<<12, 1<<10
		for range 100 {
			if d.Next() != nil {
				return
			}
			d.Tag()
			for n := 0; d.Err() == nil && !d.AtEnd() && n < 1000; n++ {
				switch d.Peek() {
				case '(':
					d.List(func() { d.AString() })
				case '"', '{', '~':
					if len(d.String()) > 1<<12 {
						t.Fatal("string beyond the limit")
					}
				case '1':
					d.NumSet()
				case ' ':
					d.SP()
				default:
					d.AString()
				}
			}
			if d.Finish() != nil {
				return
			}
		}
	})
}
