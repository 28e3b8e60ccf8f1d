// Package dkim signs messages (RFC 6376, RFC 8463, RFC 8301), and keeps the
// table of keys.
//
// A signature stands in front of what it signs, and is known only at its end.
// The length of each line is known before, though: [New] makes a field of that
// length with the final header list, to be written first; the body streams
// through a [BodyHash]; [Signature.Field] gives the field that takes the place
// of the first one.
//
// The private key need not be here: what is to be signed is a digest of 32
// bytes, for RSA PKCS #1 v1.5 over SHA-256 or for Ed25519 over the digest.
// Canonicalization is relaxed for header and body, which survives what mail
// systems do to white space.
package dkim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"
)

// Algorithms of signatures.
const (
	RSA     = "rsa-sha256"
	Ed25519 = "ed25519-sha256"
)

// Key is what may be known about a private key.
type Key struct {
	Domain, Selector string
	Algorithm        string
	SigLen           int    // bytes in a signature
	Name             string // by which its keeper knows it
}

// Header names that are signed where they are there, in lower case. RFC 6376
// section 5.4.1.
func signed(name string) bool {
	switch name {
	case "from", "sender", "reply-to", "subject", "date", "message-id", "to", "cc", "mime-version", "content-type",
		"content-transfer-encoding", "content-disposition", "content-id", "content-description", "in-reply-to", "references",
		"resent-date", "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-message-id",
		"list-id", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe", "list-post", "list-owner", "list-archive",
		"autocrypt", "disposition-notification-to", "require-recipient-valid-since", "tls-required":
		return true
	}
	return false
}

// Options are the same for all messages of a site.
type Options struct {
	// Oversign are header names, in lower case, that are signed once more
	// than they are there: nobody can add another one then.
	Oversign []string
	// Now is the time of the signature.
	Now time.Time
}

// Signature is one signature being made.
type Signature struct {
	key    Key
	head   string // the field up to "bh="
	fields hash.Hash
}

// New starts a signature over the fields of a message, each without its line
// end, folded lines joined by LF.
func New(k Key, fields [][]byte, o Options) *Signature {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = fieldName(f)
	}
	var list []string
	var text []byte
	// RFC 6376 section 5.4.2: fields of one name are taken from the bottom
	// up, and a name that is listed once more stands for "no other".
	for i := len(fields) - 1; i >= 0; i-- {
		if signed(names[i]) {
			list = append(list, names[i])
			text = append(appendRelaxed(text, fields[i]), "\r\n"...)
		}
	}
	h := sha256.New()
	h.Write(text)
	list = append(list, o.Oversign...)
	s := &Signature{key: k, fields: h}
	s.head = "DKIM-Signature: v=1; a=" + k.Algorithm + "; c=relaxed/relaxed; d=" + k.Domain + ";\n\ts=" + k.Selector +
		"; t=" + strconv.FormatInt(o.Now.Unix(), 10) + ";\n\t" + foldList("h="+strings.Join(list, ":")+";") + "\n\t"
	return s
}

func fieldName(f []byte) string {
	i := bytes.IndexByte(f, ':')
	if i < 0 {
		return ""
	}
	return strings.ToLower(string(bytes.TrimRight(f[:i], " \t")))
}

// maxLine is how long lines of the field become.
const maxLine = 76

// foldList breaks a header list behind colons.
func foldList(s string) string {
	var b strings.Builder
	col := 8
	for i, part := range strings.SplitAfter(s, ":") {
		if i > 0 && col+len(part) > maxLine {
			b.WriteString("\n\t ")
			col = 9
		}
		b.WriteString(part)
		col += len(part)
	}
	return b.String()
}

// Placeholder returns a field with as many bytes in each line as the final one.
func (s *Signature) Placeholder() string {
	return s.field(make([]byte, sha256.Size), make([]byte, s.key.SigLen))
}

func (s *Signature) field(bodyHash, sig []byte) string {
	return s.withBody(bodyHash) + foldText(base64.StdEncoding.EncodeToString(sig))
}

// withBody is the field up to and with "b=".
func (s *Signature) withBody(bodyHash []byte) string {
	return s.head + "bh=" + base64.StdEncoding.EncodeToString(bodyHash) + ";\n\tb="
}

// foldText breaks base64 into lines.
func foldText(s string) string {
	var b strings.Builder
	for room := maxLine - 10; len(s) > room; room = maxLine - 9 {
		b.WriteString(s[:room] + "\n\t ")
		s = s[room:]
	}
	b.WriteString(s)
	return b.String()
}

// Key returns the key that is to sign.
func (s *Signature) Key() Key { return s.key }

// Digest returns what the key is to sign. It must be called once.
func (s *Signature) Digest(bodyHash []byte) []byte {
	// RFC 6376 section 3.7: the field itself comes last, with an empty b=
	// and no line end.
	s.fields.Write(appendRelaxed(nil, []byte(s.withBody(bodyHash))))
	return s.fields.Sum(nil)
}

var errSize = errors.New("signature has the wrong size")

// Field returns the complete field.
func (s *Signature) Field(bodyHash, sig []byte) (string, error) {
	if len(sig) != s.key.SigLen || len(bodyHash) != sha256.Size {
		return "", fmt.Errorf("DKIM key %s of %s: %w", s.key.Selector, s.key.Domain, errSize)
	}
	return s.field(bodyHash, sig), nil
}

// appendRelaxed appends the relaxed form of a header field (RFC 6376 section
// 3.4.2).
func appendRelaxed(out, f []byte) []byte {
	i := bytes.IndexByte(f, ':')
	if i < 0 {
		return out
	}
	out = append(out, bytes.ToLower(bytes.TrimRight(f[:i], " \t"))...)
	out = append(out, ':')
	start, space := len(out), false
	for _, c := range f[i+1:] {
		switch c {
		case ' ', '\t', '\n', '\r':
			space = true
			continue
		}
		if space && len(out) > start {
			out = append(out, ' ')
		}
		space = false
		out = append(out, c)
	}
	return out
}

// BodyHash hashes a body in relaxed form (RFC 6376 section 3.4.4), which comes
// in lines or parts of lines. The empty line behind the header is no part of
// it. Its zero value is not ready; see [NewBodyHash].
type BodyHash struct {
	h       hash.Hash
	buf     []byte // what h gets next: it likes large pieces
	pending int    // line ends that count only if more follows
	space   bool   // so do blanks
	any     bool
}

// NewBodyHash returns a hash for one body.
func NewBodyHash() *BodyHash { return &BodyHash{h: sha256.New(), buf: make([]byte, 0, bodyBuffer)} }

// bodyBuffer is some blocks of SHA-256.
const bodyBuffer = 1024

// Line takes a line without its end, or where eol is false a part of one.
func (b *BodyHash) Line(p []byte, eol bool) {
	if n := len(p); n > 0 && p[n-1] != ' ' && !b.space && bytes.IndexByte(p, '\t') < 0 && !bytes.Contains(p, []byte("  ")) {
		// Nearly all lines: each blank in it stands for itself.
		b.flush()
		b.write(p)
	} else {
		b.words(p)
	}
	if eol {
		b.space = false
		b.pending++
	}
}

// words takes a part of a line in which blanks may count for one, or for nothing.
func (b *BodyHash) words(p []byte) {
	for len(p) > 0 {
		n := bytes.IndexAny(p, " \t")
		if n == 0 {
			b.space = true
			p = p[1:]
			continue
		}
		if n < 0 {
			n = len(p)
		}
		b.flush()
		b.write(p[:n])
		p = p[n:]
	}
}

// flush writes what counts now that more follows.
func (b *BodyHash) flush() {
	for ; b.pending > 0; b.pending-- {
		b.room(2)
		b.buf = append(b.buf, "\r\n"...)
	}
	if b.space {
		b.room(1)
		b.buf = append(b.buf, ' ')
		b.space = false
	}
	b.any = true
}

func (b *BodyHash) write(p []byte) {
	if b.room(len(p)); len(p) > bodyBuffer {
		b.h.Write(p)
		return
	}
	b.buf = append(b.buf, p...)
}

// room makes room for so many bytes in the buffer, or empties it.
func (b *BodyHash) room(n int) {
	if len(b.buf)+n > bodyBuffer {
		b.h.Write(b.buf)
		b.buf = b.buf[:0]
	}
}

// Sum returns the hash of the whole body.
func (b *BodyHash) Sum() []byte {
	if b.any {
		b.buf = append(b.buf, "\r\n"...)
		b.any = false
	}
	b.h.Write(b.buf)
	b.buf = b.buf[:0]
	return b.h.Sum(nil)
}
