package smtpwire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// content reads DATA from in and returns its lines, with what is left over.
func content(t testing.TB, in io.Reader, c *Content) (lines []string, rest string, err error) {
	t.Helper()
	r := NewReader(in, nil)
	var line []byte
	err = r.ReadData(c, collect(&line, &lines))
	left, _ := io.ReadAll(io.MultiReader(bytes.NewReader(r.Pending()), in))
	return lines, string(left), err
}

func collect(line *[]byte, lines *[]string) ContentFunc {
	return func(b []byte, eol bool) error {
		*line = append(*line, b...)
		if eol {
			*lines = append(*lines, string(*line))
			*line = (*line)[:0]
		}
		return nil
	}
}

// TestReadDataEnd is the list SM1 to SM13 of the smuggling catalogue.
func TestReadDataEnd(t *testing.T) {
	const real = "end\r\n.\r\n"
	for _, tc := range []struct {
		name, in string
		want     []string
		bare     bool
	}{
		{"SM1 end", "a\r\n.\r\n", []string{"a"}, false},
		{"empty message", ".\r\n", nil, false},
		{"SM2 LF.LF", "a\n.\n" + real, []string{"a", ".", "end"}, true},
		{"SM3 LF.CRLF", "a\n.\r\n" + real, []string{"a", ".", "end"}, true},
		{"SM4 CRLF.LF", "a\r\n.\n" + real, []string{"a", ".", "end"}, true},
		{"SM5 CR.CR", "a\r.\r" + real, []string{"a\r.\rend"}, false},
		{"SM6 CR.CRLF", "a\r.\r\n" + real, []string{"a\r.", "end"}, false},
		{"SM7 CR.LF", "a\r.\n" + real, []string{"a\r.", "end"}, true},
		{"SM7 LF.CR", "a\n.\r" + real, []string{"a", "\rend"}, true},
		{"SM8 CRLF.CRCRLF", "a\r\n.\r\r\n" + real, []string{"a", "\r", "end"}, false},
		{"SM9 CRCRLF.CRCRLF", "a\r\r\n.\r\r\n" + real, []string{"a\r", "\r", "end"}, false},
		{"SM9 CRCRLF.CRLF", "a\r\r\n.\r\n", []string{"a\r"}, false},
		{"SM10 CRLF NUL.CRLF", "a\r\n\x00.\r\n" + real, []string{"a", "\x00.", "end"}, false},
		{"SM10 CRLF.NUL CRLF", "a\r\n.\x00\r\n" + real, []string{"a", "\x00", "end"}, false},
		{"SM11 space before", "a\r\n .\r\n" + real, []string{"a", " .", "end"}, false},
		{"SM11 space after", "a\r\n. \r\n" + real, []string{"a", " ", "end"}, false},
		{"SM11 tab after", "a\r\n.\t\r\n" + real, []string{"a", "\t", "end"}, false},
		{"SM12 two dots", "a\r\n..\r\n" + real, []string{"a", ".", "end"}, false},
		{"SM13 odd line ends", "a\u0085.\u0085\u2028.\u2028\v.\v\f.\f\r\n" + real,
			[]string{"a\u0085.\u0085\u2028.\u2028\v.\v\f.\f", "end"}, false},
		{"CR inside dot line", "x\r\n.\r.\r\ntail\r\n.\r\n", []string{"x", "\r.", "tail"}, false},
		{"dot after bare LF", "x\n..y\r\n.\r\n", []string{"x", ".y"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, split := range []bool{false, true} {
				in := io.Reader(strings.NewReader(tc.in + "REST"))
				if split {
					in = iotest.OneByteReader(in)
				}
				c := &Content{}
				got, rest, err := content(t, in, c)
				if err != nil || rest != "REST" {
					t.Fatalf("split %v: err %v, rest %q, lines %q", split, err, rest, got)
				}
				if d := cmp.Diff(tc.want, got); d != "" {
					t.Errorf("split %v: %s", split, d)
				}
				if c.Info.BareLF != tc.bare {
					t.Errorf("BareLF = %v", c.Info.BareLF)
				}
			}
		})
	}
}

func TestReadDataBareOff(t *testing.T) {
	got, rest, err := content(t, strings.NewReader("a\n.\nREST"), &Content{Mode: BareOff})
	if err != nil || rest != "REST" || len(got) != 1 {
		t.Errorf("%q, %q, %v", got, rest, err)
	}
}

// TestReadDataEveryEdge moves the end mark over each offset near the sizes of
// the buffers (SM14).
func TestReadDataEveryEdge(t *testing.T) {
	for _, edge := range []int{1024, 2048, 4096, 8192, 65536} {
		for n := edge - 8; n <= edge+8; n++ {
			in := strings.Repeat("x", n) + "\r\n.\r\nREST"
			got, rest, err := content(t, strings.NewReader(in), &Content{})
			if err != nil || rest != "REST" || len(got) != 1 || len(got[0]) != n {
				t.Fatalf("%d: %d lines, rest %q, %v", n, len(got), rest, err)
			}
		}
	}
}

func TestReadDataFragments(t *testing.T) {
	var sizes []int
	r := NewReader(strings.NewReader("."+strings.Repeat("y", 5000)+"\r\n.\r\n"), nil)
	err := r.ReadData(&Content{Fragment: 2048}, func(b []byte, eol bool) error {
		if len(b) > 2048 || eol != (len(sizes) == 2) {
			t.Errorf("part of %d bytes, eol %v", len(b), eol)
		}
		sizes = append(sizes, len(b))
		return nil
	})
	sum := 0
	for _, n := range sizes {
		sum += n
	}
	if err != nil || sum != 5000 {
		t.Errorf("%v, %v", sizes, err)
	}
}

func TestReadDataLost(t *testing.T) {
	_, _, err := content(t, strings.NewReader("a\r\nb"), &Content{})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	boom := errors.New("boom")
	r := NewReader(strings.NewReader("a\r\n.\r\n"), nil)
	if err := r.ReadData(&Content{}, func([]byte, bool) error { return boom }); err != boom {
		t.Errorf("got %v", err)
	}
}

func TestReadChunk(t *testing.T) {
	for _, tc := range []struct {
		name   string
		chunks []string
		want   []string
		bare   bool
	}{
		{"one", []string{"a\r\nb\r\n"}, []string{"a", "b"}, false},
		{"no end of line", []string{"a\r\nb"}, []string{"a", "b"}, false},
		{"CR LF over chunks", []string{"a\r", "\nb\r\n"}, []string{"a", "b"}, false},
		{"line over chunks", []string{"a", "b", "c\r\n"}, []string{"abc"}, false},
		{"stray CR over chunks", []string{"a\r", "b\r\n"}, []string{"a\rb"}, false},
		{"two CR over chunks", []string{"a\r", "\r", "\n"}, []string{"a\r"}, false},
		{"CR at the very end", []string{"a\r"}, []string{"a\r"}, false},
		{"SM15 end mark inside", []string{"a\r\n.\r\nMAIL\r\n"}, []string{"a", ".", "MAIL"}, false},
		{"bare LF", []string{"a\nb", "\n"}, []string{"a", "b"}, true},
		{"empty", []string{"", ""}, nil, false},
		{"dots stay", []string{"..x\r\n"}, []string{"..x"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, split := range []bool{false, true} {
				in := io.Reader(strings.NewReader(strings.Join(tc.chunks, "") + "REST"))
				if split {
					in = iotest.OneByteReader(in)
				}
				r := NewReader(in, nil)
				c := &Content{}
				var line []byte
				var got []string
				for _, ch := range tc.chunks {
					if err := r.ReadChunk(int64(len(ch)), c, collect(&line, &got)); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.Finish(collect(&line, &got)); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(tc.want, got); d != "" {
					t.Errorf("split %v: %s", split, d)
				}
				if c.Info.BareLF != tc.bare {
					t.Errorf("split %v: BareLF = %v", split, c.Info.BareLF)
				}
				left, _ := io.ReadAll(io.MultiReader(bytes.NewReader(r.Pending()), in))
				if string(left) != "REST" {
					t.Errorf("rest %q", left)
				}
			}
		})
	}
}

// TestReadChunkShort: 16 bytes of a promised 1000 are no chunk.
func TestReadChunkShort(t *testing.T) {
	r := NewReader(strings.NewReader("0123456789abcdef"), nil)
	err := r.ReadChunk(1000, &Content{}, func([]byte, bool) error { return nil })
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", 3000)
	r := NewReader(strings.NewReader("NOOP\r\nRSET\n"+long+"\r\n\r\nQUIT"), nil)
	step := func(want string, wantErr error, bare bool) {
		t.Helper()
		got, err := r.ReadLine(2048)
		if string(got) != want || err != wantErr || err == nil && r.BareLF() != bare {
			t.Errorf("got %.20q, %v, bare %v", got, err, r.BareLF())
		}
	}
	step("NOOP", nil, false)
	step("RSET", nil, true)
	step(long[:2048], ErrLineTooLong, false)
	step("", nil, false)
	step("", io.ErrUnexpectedEOF, false)
}

// TestLineFlood streams a line without end: memory stays flat and the reader
// gives up (P5).
func TestLineFlood(t *testing.T) {
	src := &endless{}
	r := NewReader(src, nil)
	if _, err := r.ReadLine(2048); err != ErrLineFlood {
		t.Errorf("got %v", err)
	}
	if src.n > 4*largeBuffer {
		t.Errorf("read %d bytes", src.n)
	}
}

type endless struct{ n int }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	e.n += len(b)
	return len(b), nil
}

func TestReadReply(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     *Reply
		err      error
	}{
		{"one line", "250 2.1.0 Ok\r\n", &Reply{250, []string{"2.1.0 Ok"}}, nil},
		{"many", "250-a\r\n250-b\r\n250 c\r\n", &Reply{250, []string{"a", "b", "c"}}, nil},
		{"bare code", "354\r\n", &Reply{354, []string{""}}, nil},
		{"last code counts", "250-a\r\n550 b\r\n", &Reply{550, []string{"a", "b"}}, nil},
		{"controls", "550 a\x1b[1mb\x00\r\n", &Reply{550, []string{"a?[1mb?"}}, nil},
		{"no code", "hello\r\n", nil, ErrReply},
		{"code 600", "600 x\r\n", nil, ErrReply},
		{"glued", "250x\r\n", nil, ErrReply},
		{"cut", "250-a\r\n", nil, io.EOF},
		{"endless", strings.Repeat("250-a\r\n", MaxReplyLines+1), nil, ErrReply},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := NewReader(strings.NewReader(tc.in), nil).ReadReply()
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v", err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReplyStatus(t *testing.T) {
	r := &Reply{550, []string{"5.1.1 unknown", "really"}}
	if s := r.Status(); s.Code != "5.1.1" || s.Text != "5.1.1 unknown really" {
		t.Errorf("%+v", s)
	}
	if s := (&Reply{550, []string{"2.1.1 lies"}}).Status(); s.Code != "5.0.0" {
		t.Errorf("%+v", s)
	}
	if s := r.String(); s != "550-5.1.1 unknown 550 really" {
		t.Errorf("%q", s)
	}
}

func TestWriter(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, &Buffers{})
	w.Reply(250, true, "one")
	w.Reply(250, false, "two\r\n250 forged\x00")
	w.ContentLine([]byte(".dot"))
	w.ContentLine([]byte("a\rb\nc"))
	w.ContentPart([]byte(".p"), true, false)
	w.ContentPart([]byte(".q"), false, true)
	w.EndData()
	if out.Len() != 0 || w.Buffered() == 0 {
		t.Error("written before Flush")
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "250-one\r\n250 two??250 forged?\r\n..dot\r\na b c\r\n..p.q\r\n.\r\n"
	if out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

func TestReset(t *testing.T) {
	r := NewReader(strings.NewReader("STARTTLS\r\nRSET\r\n"), nil)
	r.ReadLine(100)
	if r.Buffered() == 0 {
		t.Fatal("nothing buffered")
	}
	r.Reset(strings.NewReader("EHLO x\r\n"))
	if got, _ := r.ReadLine(100); string(got) != "EHLO x" {
		t.Errorf("got %q", got)
	}
}
