package imapserver

import (
	"bufio"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mime/structure"
)

// bodyReader reads the body of a part with its transfer encoding undone; ok is
// false for an encoding that nobody knows.
func bodyReader(content *mailstore.Content, p *structure.Part) (io.Reader, bool) {
	r := io.NewSectionReader(content, p.Body, p.End-p.Body)
	switch p.Header.Encoding {
	case "", "7bit", "8bit", "binary":
		return r, true
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, &base64Filter{r: bufio.NewReader(r)}), true
	case "quoted-printable":
		return &lenientQP{r: quotedprintable.NewReader(r)}, true
	}
	return nil, false
}

// base64Filter drops what is not of the alphabet, and ends at the padding.
type base64Filter struct {
	r    *bufio.Reader
	n    int
	pad  int
	done bool
}

func (f *base64Filter) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if f.done {
			if f.pad > 0 {
				p[n] = '='
				n++
				f.pad--
				continue
			}
			break
		}
		c, err := f.r.ReadByte()
		if err != nil || c == '=' {
			// RFC 2045 6.8: the end. What lacks of the last group is made up.
			f.done = true
			switch f.n % 4 {
			case 2:
				f.pad = 2
			case 3:
				f.pad = 1
			case 1:
				p[n] = 'A'
				n++
				f.pad = 2
			}
			continue
		}
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' {
			p[n] = c
			n++
			f.n++
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// lenientQP takes an error of quoted-printable for the end.
type lenientQP struct{ r io.Reader }

func (q *lenientQP) Read(p []byte) (int, error) {
	n, err := q.r.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}

// charset returns the decoder of a character set; nil for UTF-8, ASCII and
// those that nobody knows.
func charset(name string) *encoding.Decoder {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return nil
	}
	e, err := htmlindex.Get(name)
	if err != nil {
		return nil
	}
	return e.NewDecoder()
}

// knownCharset reports whether SEARCH and SORT can take a CHARSET.
func knownCharset(name string) bool {
	switch strings.ToLower(name) {
	case "utf-8", "us-ascii":
		return true
	}
	_, err := htmlindex.Get(name)
	return err == nil
}

// textReader reads a text part as UTF-8.
func textReader(content *mailstore.Content, p *structure.Part) io.Reader {
	r, ok := bodyReader(content, p)
	if !ok {
		return strings.NewReader("")
	}
	if d := charset(p.Header.Type.Param("charset")); d != nil {
		return d.Reader(r)
	}
	return r
}

// decodeHeader decodes the encoded words of a field (RFC 2047).
func decodeHeader(s string) string {
	if strings.Contains(s, "=?") {
		d := mime.WordDecoder{CharsetReader: func(name string, in io.Reader) (io.Reader, error) {
			if d := charset(name); d != nil {
				return d.Reader(in), nil
			}
			return in, nil
		}}
		if text, err := d.DecodeHeader(s); err == nil {
			s = text
		}
	}
	if utf8.ValidString(s) {
		return s
	}
	// RFC 5322 allows ASCII only; what is older than UTF-8 is mostly this.
	out := make([]rune, 0, len(s))
	for i := 0; i < len(s); i++ {
		out = append(out, rune(s[i]))
	}
	return string(out)
}

// previewLength is what RFC 8970 3.2 asks for.
const previewLength = 200

// previewOf makes the preview of a message: the first words of its first text.
func previewOf(content *mailstore.Content, root *structure.Part) string {
	p := firstText(root)
	if p == nil {
		return ""
	}
	raw, _ := io.ReadAll(io.LimitReader(textReader(content, p), 16<<10))
	text := string(raw)
	if p.Header.Type.Minor == "html" {
		text = stripTags(text)
	}
	var b strings.Builder
	n, space := 0, false
	for _, r := range text {
		if r == utf8.RuneError || r < ' ' || r == 0x7f || r == ' ' || r == 0xa0 {
			space = n > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			n++
			space = false
		}
		if n >= previewLength {
			break
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}

// firstText finds the part that a human would read first.
func firstText(p *structure.Part) *structure.Part {
	if p.IsMultipart() {
		var html *structure.Part
		for _, c := range p.Children {
			t := firstText(c)
			if t == nil {
				continue
			}
			if t.Header.Type.Minor != "html" || p.Header.Type.Minor != "alternative" {
				return t
			}
			if html == nil {
				html = t
			}
		}
		return html
	}
	if p.Header.Type.Major == "text" && !equalFold(p.Header.Disposition.Word, "attachment") {
		return p
	}
	return nil
}

// stripTags leaves the text of HTML, roughly.
func stripTags(s string) string {
	var b strings.Builder
	for s != "" {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		s = s[i:]
		end := ">"
		low := strings.ToLower(s[:min(len(s), 8)])
		switch {
		case strings.HasPrefix(low, "<!--"):
			end = "-->"
		case strings.HasPrefix(low, "<style"):
			end = "</style>"
		case strings.HasPrefix(low, "<script"):
			end = "</script>"
		case strings.HasPrefix(low, "<head>"):
			end = "</head>"
		}
		j := indexFold(s, end)
		if j < 0 {
			break
		}
		s = s[j+len(end):]
		b.WriteByte(' ')
	}
	return entities().Replace(b.String())
}

// indexFold is strings.Index for an ASCII text in lower case.
func indexFold(s, sub string) int {
	for i := 0; i+len(sub) <= len(s); i++ {
		if s[i] == sub[0] && strings.EqualFold(s[i:i+len(sub)], sub) {
			return i
		}
	}
	return -1
}

func entities() *strings.Replacer {
	return strings.NewReplacer("&nbsp;", " ", "&amp;", "&", "&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#39;", "'", "&apos;", "'")
}
