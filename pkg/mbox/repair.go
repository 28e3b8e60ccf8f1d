package mbox

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// A delivery that is killed, or whose machine loses power, leaves half a
// message at the end of the file. Nobody was told that it arrived, so it comes
// again; but the half stays, and what is appended next would be taken for its
// continuation. Therefore a delivery notes in an attribute of the file where
// it begins, and the next one cuts a half off that is provably its own kind:
// never told to be delivered, and with nothing of anybody else's behind it.
//
// The attribute says "open" while the message is written, and "done" with its
// length before the sync, which thus covers it. A file system keeps the order
// of the changes to one file's attributes and length, so a half is never seen
// without its note. It may have the whole length and zeros in it, where blocks
// were given to it and not yet written: so the attribute says also that the
// message is "clean", without a zero byte of its own. Where there are no such
// attributes, a half is at least kept apart from the next message.
const markName = "user.posthouse.append"

// mark is the content of the attribute.
type mark struct {
	start, length int64 // length -1: not complete
	separator     string
	clean         bool // no byte of it is 0; known when it is complete
}

// separatorSum identifies a separator line, without its newline.
func separatorSum(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:8])
}

// set notes the mark. An error is no reason to refuse mail.
func (m mark) set(f *os.File) {
	text := fmt.Sprintf("%d %d %s", m.start, m.length, m.separator)
	if m.clean {
		text += " clean"
	}
	_ = unix.Fsetxattr(int(f.Fd()), markName, []byte(text), 0)
}

func clearMark(f *os.File) { _ = unix.Fremovexattr(int(f.Fd()), markName) }

func readMark(f *os.File) (m mark, ok bool) {
	buf := make([]byte, 100)
	n, err := unix.Fgetxattr(int(f.Fd()), markName, buf)
	if err != nil {
		return m, false
	}
	text, clean := strings.CutSuffix(string(buf[:n]), " clean")
	m.clean = clean
	n, err = fmt.Sscanf(text, "%d %d %s", &m.start, &m.length, &m.separator)
	return m, err == nil && n == 3 && m.start >= 0
}

// repair cuts half a message off the end of a locked mailbox of the given
// size, and returns the size that it has then.
func repair(f *os.File, size int64) (int64, error) {
	m, ok := readMark(f)
	if !ok {
		return size, nil
	}
	half, err := m.isHalf(f, size)
	if err != nil {
		return 0, fmt.Errorf("read the end of %s: %w", f.Name(), err)
	}
	if half {
		if err := f.Truncate(m.start); err != nil {
			return 0, fmt.Errorf("cut half a message off %s: %w", f.Name(), err)
		}
		size = m.start
	}
	return size, nil
}

// aSeparator finds the separator line of somebody else's delivery, even if it
// follows half a line.
var aSeparator = regexp.MustCompile(`From .*\d\d:\d\d:\d\d.* \d{4}\n`)

// isHalf reports whether what lies behind the mark is half a message of ours
// and nothing else.
func (m mark) isHalf(f *os.File, size int64) (bool, error) {
	if m.start >= size {
		return false, nil
	}
	if m.length >= 0 {
		// Maybe somebody was told that this one arrived, and a reader made
		// the file shorter since. Readers leave whole lines.
		tail, err := lastBytes(f, size)
		if err != nil {
			return false, err
		}
		if size >= m.start+m.length || bytes.HasSuffix(tail, []byte("\n\n")) {
			if !m.clean {
				return false, nil
			}
			if holed, err := hasZero(f, m.start, size); !holed || err != nil {
				return false, err
			}
		}
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, m.start, size-m.start), 16<<10)
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		switch {
		case first && err == io.EOF:
			return bytes.HasPrefix(line, from) || bytes.HasPrefix(from, line), nil
		case first && (err != nil || separatorSum(line[:len(line)-1]) != m.separator):
			return false, nil
		case !first && aSeparator.Match(line):
			return false, nil
		case err == io.EOF:
			return true, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return false, err
		}
	}
}

// hasZero reports whether a part of a file has a zero byte.
func hasZero(f *os.File, start, end int64) (bool, error) {
	r := io.NewSectionReader(f, start, end-start)
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		switch {
		case bytes.IndexByte(buf[:n], 0) >= 0:
			return true, nil
		case err == io.EOF:
			return false, nil
		case err != nil:
			return false, err
		}
	}
}

// lastBytes returns the last two bytes of a file, or what there is.
func lastBytes(f *os.File, size int64) ([]byte, error) {
	buf := make([]byte, min(size, 2))
	_, err := f.ReadAt(buf, size-int64(len(buf)))
	return buf, err
}

// padding returns what has to be written before the next message so that it
// does not look like part of the one before.
func padding(f *os.File, size int64) (string, error) {
	tail, err := lastBytes(f, size)
	if err != nil {
		return "", fmt.Errorf("read the end of %s: %w", f.Name(), err)
	}
	switch {
	case size == 0 || bytes.Equal(tail, []byte("\n\n")):
		return "", nil
	case tail[len(tail)-1] == '\n':
		return "\n", nil
	}
	return "\n\n", nil
}
