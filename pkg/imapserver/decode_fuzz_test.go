package imapserver

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/crlf"
	"github.com/posthouse-mail/posthouse/pkg/mime/structure"
)

// FuzzDecode decodes parts and headers of any content: bodies with their
// transfer encoding and character set, encoded words, and what a search makes
// of them. Readers end, whatever comes, and text is UTF-8.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"Content-Transfer-Encoding: base64\n\naGVsbG8gd29ybGQ=\n", "Content-Transfer-Encoding: base64\n\na", "Content-Transfer-Encoding: base64\n\n=====",
		"Content-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: quoted-printable\n\n=1B$B=\n=C3=BC=",
		"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= =?iso-8859-1?b?/A==?= =?x?y?z?=\n\nx", "Content-Type: text/html; charset=gb18030\n\n\x81\x30\x81",
		"Content-Type: text/plain; charset=utf-16\n\n\xff\xfea\x00\xd8", "Content-Transfer-Encoding: uuencode\n\nbegin 644 x\n",
	} {
		f.Add([]byte(s), s)
	}
	f.Fuzz(func(t *testing.T, message []byte, header string) {
		text := decodeHeader(header)
		if len(text) > 8*len(header)+64 {
			t.Errorf("%d bytes of a header became %d", len(header), len(text))
		}
		if s := foldString(strings.ToValidUTF8(text, "?")); !utf8.ValidString(s) {
			t.Errorf("%q folds to %q", text, s)
		}
		content := crlf.Whole(message, nil)
		top := structure.ParseBytes(content.Bytes())
		if s := previewOf(content, top); utf8.RuneCountInString(s) > previewLength {
			t.Errorf("a preview of %d characters", utf8.RuneCountInString(s))
		}
		parts := []*structure.Part{top}
		for n := 0; n < len(parts); n++ {
			p := parts[n]
			parts = append(parts, p.Children...)
			if r, ok := bodyReader(content, p); ok {
				size, err := io.Copy(io.Discard, r)
				if err != nil || size > p.End-p.Body+4 {
					t.Errorf("%d bytes with %q became %d (%v)", p.End-p.Body, p.Header.Encoding, size, err)
				}
			}
			if _, err := io.Copy(io.Discard, textReader(content, p)); err != nil {
				t.Errorf("text of part %d: %v", n, err)
			}
		}
	})
}
