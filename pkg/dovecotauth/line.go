package dovecotauth

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MaxLine bounds a line. A SASL response of 12288 bytes is longer in base64.
const MaxLine = 32 << 10

// ErrMalformed reports a peer that does not speak the protocol.
var ErrMalformed = errors.New("malformed line of the Dovecot auth protocol")

// Escape writes a field so that it has no tab and no line end, which separate
// fields and lines.
func Escape(s string) string {
	return strings.NewReplacer("\x01", "\x011", "\x00", "\x010", "\t", "\x01t", "\r", "\x01r", "\n", "\x01n").Replace(s)
}

// Unescape is the reverse of Escape.
func Unescape(s string) string {
	if !strings.Contains(s, "\x01") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != 1 || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case '0':
			b.WriteByte(0)
		case '1':
			b.WriteByte(1)
		case 't':
			b.WriteByte('\t')
		case 'r':
			b.WriteByte('\r')
		case 'n':
			b.WriteByte('\n')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// Line joins fields that are escaped where they need it.
func Line(fields ...string) string { return strings.Join(fields, "\t") + "\n" }

// ReadLine reads the fields of one line.
func ReadLine(r *bufio.Reader) ([]string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > MaxLine:
			return nil, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, MaxLine)
		case err == nil:
			return strings.Split(strings.TrimSuffix(string(line), "\n"), "\t"), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}
