package smtpclient

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	pmime "github.com/posthouse-mail/posthouse/pkg/mime"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
)

// feed gives text to a stage in fragments of n bytes.
func feed(text string, n int, fn smtpwire.ContentFunc) error {
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		b := []byte(line)
		for len(b) > n {
			if err := fn(b[:n], false); err != nil {
				return err
			}
			b = b[n:]
		}
		if err := fn(b, true); err != nil {
			return err
		}
	}
	return nil
}

func convert(t testing.TB, text string, n int) string {
	t.Helper()
	var out strings.Builder
	d := pmime.NewDowngrader(func(b []byte, eol bool) error {
		out.Write(b)
		if eol {
			out.WriteByte('\n')
		}
		return nil
	}, pmime.Limits{})
	if err := feed(text, n, d.Line); err != nil {
		t.Fatal(err)
	}
	if err := d.End(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDowngrade(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain 8bit",
			"Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\nTo: y\n\nGr\u00fc\u00dfe = \n.\n\ttab\t\n",
			"Subject: x\nContent-Type: text/plain; charset=utf-8\nTo: y\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe =3D=20\n=2E\n\ttab=09\n"},
		{"undeclared stays", "Subject: x\n\n\u00fc\n", "Subject: x\n\n\u00fc\n"},
		{"base64 stays", "Content-Transfer-Encoding: base64\n\nAAAA\n", "Content-Transfer-Encoding: base64\n\nAAAA\n"},
		{"multipart",
			"Content-Type: multipart/mixed;\n boundary=\"b:1\"\nContent-Transfer-Encoding: 8bit\n\npre\n--b:1\nContent-Type: text/html\ncontent-transfer-encoding: 8BIT\n\n\u00e4\n--b:1\nContent-Transfer-Encoding: base64\n\nQQ==\n--b:1--\npost --b:1\n",
			"Content-Type: multipart/mixed;\n boundary=\"b:1\"\nContent-Transfer-Encoding: 7bit\n\npre\n--b:1\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A4\n--b:1\nContent-Transfer-Encoding: base64\n\nQQ==\n--b:1--\npost --b:1\n"},
		{"message in message",
			"Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: in\nContent-Transfer-Encoding: binary\n\n\u00e4\n",
			"Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: in\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A4\n"},
		{"part without empty line",
			"Content-Type: multipart/mixed; boundary=b\n\n--b\nSubject: x\n--b\nContent-Transfer-Encoding: 8bit\n\n\u00e4\n--b--\n",
			"Content-Type: multipart/mixed; boundary=b\n\n--b\nSubject: x\n--b\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A4\n--b--\n"},
		{"comment in header", "Content-Transfer-Encoding: (a (b) ) 8bit (c)\n\n\u00e4\n",
			"Content-Transfer-Encoding: quoted-printable\n\n=C3=A4\n"},
		{"no empty line", "Subject: x\nbody \u00e4 here\nContent-Transfer-Encoding: 8bit\n", "Subject: x\n\nbody \u00e4 here\nContent-Transfer-Encoding: 8bit\n"},
		{"header only", "Subject: x\nContent-Transfer-Encoding: 8bit\n", "Subject: x\nContent-Transfer-Encoding: quoted-printable\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []int{1, 3, 2048} {
				if diff := cmp.Diff(tt.want, convert(t, tt.in, n)); n > 60 && diff != "" {
					t.Errorf("fragments of %d: %s", n, diff)
				}
			}
		})
	}
}

// TestDowngradeDecodes reads the result with an independent decoder.
func TestDowngradeDecodes(t *testing.T) {
	body := strings.Repeat("\u00e4b \t", 300) + "\n" + strings.Repeat("=", 200) + "\nend \n\n"
	text := "MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=xyz\nContent-Transfer-Encoding: 8bit\n\n" +
		"--xyz\nContent-Transfer-Encoding: 8bit\n\n" + body + "\n--xyz--\n"
	out := convert(t, text, 2048)
	for line := range strings.SplitSeq(out, "\n") {
		if len(line) > 76 {
			t.Errorf("line of %d bytes", len(line))
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := multipart.NewReader(m.Body, params["boundary"]).NextRawPart()
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(quotedprintable.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != body {
		t.Errorf("got %q\nwant %q", got, body)
	}
}

func fold(t testing.TB, limit, n int, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := smtpwire.NewWriter(&out, nil)
	o := &output{w: w, limit: limit, start: true}
	if err := feed(text, n, o.part); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestLongLines(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		limit          int
	}{
		{"short", "abc\n.x\n", "abc\r\n..x\r\n", 10},
		{"exact", "abcdefghij\n", "abcdefghij\r\n", 10},
		{"one more", "abcdefghijk\n", "abcdefghij\r\n k\r\n", 10},
		{"three lines", "abcdefghijklmnopqrstu\n", "abcdefghij\r\n klmnopqrs\r\n tu\r\n", 10},
		{"dot after the break", "abcdefghij.k\n", "abcdefghij\r\n .k\r\n", 10},
		{"not inside of a character", "abcdefghi\u00e4\n", "abcdefghi\r\n \u00e4\r\n", 10},
		{"no limit", "abcdefghijk\n", "abcdefghijk\r\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fold(t, tt.limit, 2048, tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzContent: what is sent has no line beyond the limit, no lone dot, no bare
// CR or LF, and as quoted-printable no 8-bit byte.
func FuzzContent(f *testing.F) {
	f.Add("Content-Transfer-Encoding: 8bit\n\n\xff\n.\n", 100)
	f.Add("Content-Type: multipart/a; boundary=b\n\n--b\n\n--b--", 3)
	f.Add(strings.Repeat("x", 300), 7)
	f.Fuzz(func(t *testing.T, text string, n int) {
		n = n&1023 + 1
		const limit = 50
		var out bytes.Buffer
		w := smtpwire.NewWriter(&out, nil)
		o := &output{w: w, limit: limit, start: true}
		d := pmime.NewDowngrader(o.part, pmime.Limits{})
		if err := feed(text, n, d.Line); err != nil {
			t.Fatal(err)
		}
		if err := d.End(); err != nil {
			t.Fatal(err)
		}
		if !o.start {
			w.WriteString("\r\n")
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(out.String(), "\r\n"), "\r\n") {
			if strings.ContainsAny(line, "\r\n") || line == "." || len(line) > limit+1 {
				t.Fatalf("line %q of %q", line, text)
			}
		}
	})
}
