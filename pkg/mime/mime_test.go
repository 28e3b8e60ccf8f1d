package mime

import (
	"bytes"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// recorder notes what a scanner finds, and puts the message together again.
type recorder struct {
	events []string
	text   bytes.Buffer
}

func (r *recorder) Header(c Class, text []byte) error {
	r.events = append(r.events, fmt.Sprintf("%d %s", c, text))
	r.text.Write(text)
	r.text.WriteByte('\n')
	return nil
}

func (r *recorder) HeaderEnd() error {
	r.events = append(r.events, "end")
	return nil
}

func (r *recorder) Body(line []byte, eol bool) error {
	if len(r.events) < 200 {
		r.events = append(r.events, "b "+string(line))
	}
	r.text.Write(line)
	if eol {
		r.text.WriteByte('\n')
	}
	return nil
}

func scan(t testing.TB, msg string, lim Limits) *recorder {
	t.Helper()
	r := &recorder{}
	s := NewScanner(r, lim)
	for line := range strings.SplitSeq(msg, "\n") {
		if err := s.Line([]byte(line), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestScanner(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []string
	}{
		{"folded", "A: b\n c\nB : d\n\nx", []string{"1 A: b\n c", "1 B : d", "end", "b ", "b x"}},
		{"no empty line", "A: b\nno header\nC: d", []string{"1 A: b", "end", "b ", "b no header", "b C: d"}},
		{"only header", "A: b", []string{"1 A: b", "end"}},
		{"From_ line", "From a b\nA: b\n", []string{"end", "b ", "b From a b", "b A: b", "b "}},
		{"multipart", "Content-Type: multipart/x; boundary=\"b c\"\n\n--b c\nA: b\n\nx\n--b c--\ny",
			[]string{"2 Content-Type: multipart/x; boundary=\"b c\"", "end", "b ", "b --b c", "2 A: b", "b ", "b x", "b --b c--", "b y"}},
		{"message", "Content-Type: message/rfc822\n\nA: b\nMime-Version: 1\n\nx",
			[]string{"2 Content-Type: message/rfc822", "end", "b ", "3 A: b", "2 Mime-Version: 1", "b ", "b x"}},
		{"outer boundary closes", "Content-Type: multipart/x; boundary=o\n\n--o\nContent-Type: multipart/y; boundary=i\n\n--i\nA: b\n--o\nC: d\n",
			[]string{"2 Content-Type: multipart/x; boundary=o", "end", "b ", "b --o", "2 Content-Type: multipart/y; boundary=i", "b ", "b --i", "2 A: b", "b --o", "2 C: d", "b "}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, scan(t, tc.in, Limits{}).events); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestHeaderLimit(t *testing.T) {
	r := scan(t, "A: "+strings.Repeat("x", 1000)+"\n"+strings.Repeat(" y\n", 1000)+"B: c\n\n", Limits{Header: 50})
	if len(r.events[0]) != 52 || r.events[1] != "1 B: c" {
		t.Errorf("%d bytes, then %q", len(r.events[0]), r.events[1])
	}
}

// TestHostile feeds what would take a careless scanner quadratic time.
func TestHostile(t *testing.T) {
	deep := strings.Builder{}
	for i := range 10000 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	for _, tc := range []struct{ name, in string }{
		{"deep multipart", deep.String()},
		{"deep message", strings.Repeat("Content-Type: message/rfc822\n\n", 10000)},
		{"many parts", "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\n", 200000)},
		{"long header line", "A: " + strings.Repeat("x", 10<<20) + "\n\n"},
		{"many headers", strings.Repeat("A: b\n", 100000)},
		{"many folds", "A: b\n" + strings.Repeat(" c\n", 200000)},
		{"comments", "Content-Type: " + strings.Repeat("(", 90000)},
		{"parameters", "Content-Type: a/b" + strings.Repeat(";c=d", 20000)},
		{"dashes", "Content-Type: multipart/mixed; boundary=" + strings.Repeat("-", 5000) + "\n\n" + strings.Repeat(strings.Repeat("-", 4000)+"\n", 2000)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r *recorder
			d := testkit.CPU(func() { r = scan(t, tc.in, Limits{}) })
			if d > 5*time.Second {
				t.Errorf("took %v", d)
			}
			if strings.HasSuffix(tc.name, "parts") && r.text.String() != tc.in+"\n" {
				t.Error("bytes changed")
			}
		})
	}
}

func downgrade(t testing.TB, msg string) string {
	t.Helper()
	var b strings.Builder
	d := NewDowngrader(func(line []byte, eol bool) error {
		b.Write(line)
		if eol {
			b.WriteByte('\n')
		}
		return nil
	}, Limits{})
	for line := range strings.SplitSeq(msg, "\n") {
		if err := d.Line([]byte(line), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.End(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDowngrade(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"simple", "A: b\nContent-Transfer-Encoding: 8bit\n\ngrün =\n.x \n",
			"A: b\nContent-Transfer-Encoding: quoted-printable\n\ngr=C3=BCn =3D\n=2Ex=20\n\n"},
		{"encoded already", "Content-Transfer-Encoding: base64\n\nZ3LDvG4=\n", "Content-Transfer-Encoding: base64\n\nZ3LDvG4=\n\n"},
		{"long", "Content-Transfer-Encoding: binary\n\n" + strings.Repeat("x", 100),
			"Content-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("x", 75) + "=\n" + strings.Repeat("x", 25) + "\n"},
		{"parts", "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\n--b\nContent-Transfer-Encoding: 8bit\n\nä\n--b\n\nplain=\n--b--",
			"Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n\n--b\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A4\n--b\n\nplain=\n--b--\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, downgrade(t, tc.in)); d != "" {
				t.Error(d)
			}
		})
	}
}

func FuzzScanner(f *testing.F) {
	f.Add("A: b\n c\n\nbody")
	f.Add("Content-Type: multipart/digest; boundary=x\n\n--x\n\nFrom: y\n\n--x--\n")
	f.Add("Content-Type: message/rfc822\n\nContent-Type: multipart/a; boundary=\"q\\\"\"\n\n--q\"\n")
	f.Fuzz(func(t *testing.T, msg string) {
		r := scan(t, msg, Limits{Nesting: 5})
		// All bytes come out, but for one empty line where the header
		// had none at its end.
		got := strings.TrimSuffix(r.text.String(), "\n")
		if got != msg && len(got) != len(msg)+1 {
			t.Errorf("%q came out as %q", msg, got)
		}
	})
}

func FuzzDowngrade(f *testing.F) {
	f.Add("line one\xff\n.\nFrom x \n=\n" + strings.Repeat("z", 80))
	f.Fuzz(func(t *testing.T, body string) {
		if strings.ContainsAny(body, "\r") {
			return
		}
		out := downgrade(t, "Content-Transfer-Encoding: 8bit\n\n"+body)
		_, qp, _ := strings.Cut(out, "\n\n")
		back, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(strings.TrimSuffix(qp, "\n"))))
		if err != nil || string(back) != body {
			t.Errorf("%q became %q: %v", body, qp, err)
		}
		for line := range strings.SplitSeq(qp, "\n") {
			if len(line) > 76 || strings.ContainsFunc(line, func(r rune) bool { return r >= 0x80 }) {
				t.Errorf("bad line %q", line)
			}
		}
	})
}
