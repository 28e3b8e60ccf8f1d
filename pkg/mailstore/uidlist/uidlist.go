// Package uidlist is the form of a folder's UID list, the file that says which
// message has which UID. Beside the message files it is the one file of a
// folder that cannot be made again from others, so it is text, synced, with a
// checksum in each line: a damaged line loses the UID of one message, which
// then gets a new one.
//
// Lines are only added; the file is written anew when many have become
// useless. After the checksum, eight hex digits, and a space a line is one of
//
//	V <version> <uidvalidity> <folder id, 32 hex digits>
//	N <uid> <boot id>             UIDs below it may have been given
//	K <number> <name>             a keyword
//	<uid> [<key><value> ...] :<base name>
//	F <uid> <keyword numbers>     keywords beyond those that file names keep
//
// with the keys G, the message id if it is not the hash of the name, and P,
// the POP3 UIDL if it is not ours.
package uidlist

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/maildir"
)

// Name is the name of the file.
const Name = "posthouse-uidlist"

// Version of the form.
const Version = 1

// MaxKeywords is how many keywords a folder has at most.
const MaxKeywords = 64

// Entry is one message.
type Entry struct {
	UID  uint32
	Base string
	GUID [16]byte
	UIDL string // "" for ours
	More uint64 // keywords beyond those in the name
}

// List is the content of the file.
type List struct {
	Validity uint32
	Folder   [16]byte
	Limit    uint32 // UIDs below it may have been given
	Boot     string // of the system that gave them
	Keywords []string
	Entries  []Entry
	Damaged  int // lines that could not be used
}

// ErrNoHeader reports a file that does not tell its UIDVALIDITY.
var ErrNoHeader = errors.New("UID list has no usable header")

// GUID is the id of a message for which nothing else is known.
func GUID(base string) (id [16]byte) {
	sum := sha256.Sum256([]byte(base))
	copy(id[:], sum[:])
	return id
}

func appendLine(b []byte, text string) []byte {
	return fmt.Appendf(b, "%08x %s\n", crc32.ChecksumIEEE([]byte(text)), text)
}

// AppendHeader adds the first line.
func (l *List) AppendHeader(b []byte) []byte {
	return appendLine(b, fmt.Sprintf("V %d %d %x", Version, l.Validity, l.Folder))
}

// AppendLimit adds the line that says which UIDs may have been given.
func AppendLimit(b []byte, limit uint32, boot string) []byte {
	return appendLine(b, fmt.Sprintf("N %d %s", limit, boot))
}

// AppendKeyword adds the line of a keyword.
func AppendKeyword(b []byte, number int, name string) []byte {
	return appendLine(b, fmt.Sprintf("K %d %s", number, name))
}

// AppendMore adds the line with those keywords of a message that have no
// letter in its file name.
func AppendMore(b []byte, uid uint32, keywords uint64) []byte {
	return appendLine(b, fmt.Sprintf("F %d %x", uid, keywords))
}

// AppendEntry adds the line of a message.
func AppendEntry(b []byte, e *Entry) []byte {
	text := strconv.AppendUint(make([]byte, 0, 128), uint64(e.UID), 10)
	if e.GUID != GUID(e.Base) {
		text = append(text, " G"...)
		text = hex.AppendEncode(text, e.GUID[:])
	}
	if e.UIDL != "" {
		text = append(append(text, " P"...), e.UIDL...)
	}
	text = append(append(text, " :"...), e.Base...)
	return appendLine(b, string(text))
}

// Encode returns the whole file.
func (l *List) Encode() []byte {
	b := l.AppendHeader(make([]byte, 0, 256+100*len(l.Entries)))
	b = AppendLimit(b, l.Limit, l.Boot)
	for i, name := range l.Keywords {
		if name != "" {
			b = AppendKeyword(b, i, name)
		}
	}
	for i := range l.Entries {
		b = AppendEntry(b, &l.Entries[i])
		if l.Entries[i].More != 0 {
			b = AppendMore(b, l.Entries[i].UID, l.Entries[i].More)
		}
	}
	return b
}

// maxLine is more than a line of ours has. A longer one is damage, and is read
// past without being kept: a file can have gigabytes of nothing.
const maxLine = 64 << 10

// Parse reads a file that is in memory.
func Parse(data []byte) (*List, error) { return Read(bytes.NewReader(data)) }

// Read reads the file. Lines that are damaged are counted and left out; of
// two lines about one UID or one name the first counts. With ErrNoHeader comes
// what the other lines say.
func Read(r io.Reader) (*List, error) {
	l := new(List)
	byUID := make(map[uint32]int)
	bases := make(map[string]bool)
	br := bufio.NewReaderSize(r, maxLine)
	for long := false; ; {
		line, err := br.ReadSlice('\n')
		switch {
		case err == bufio.ErrBufferFull:
			long = true
			continue
		case err != nil && err != io.EOF:
			return nil, err
		case len(line) == 0 && !long:
			// The end.
		default:
			text, ok := check(bytes.TrimSuffix(line, []byte{'\n'}))
			if long || !ok || !l.line(text, byUID, bases) {
				l.Damaged++
			}
			long = false
		}
		if err == io.EOF {
			break
		}
	}
	if l.Validity == 0 {
		return l, ErrNoHeader
	}
	return l, nil
}

// check takes the checksum off.
func check(line []byte) (string, bool) {
	if len(line) < 10 || line[8] != ' ' {
		return "", false
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	if err != nil || crc32.ChecksumIEEE(line[9:]) != uint32(sum) {
		return "", false
	}
	return string(line[9:]), true
}

func (l *List) line(text string, byUID map[uint32]int, bases map[string]bool) bool {
	kind, rest, _ := strings.Cut(text, " ")
	switch kind {
	case "V":
		return l.header(rest)
	case "N":
		num, boot, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseUint(num, 10, 32)
		if err == nil && uint32(n) >= l.Limit {
			l.Limit, l.Boot = uint32(n), boot
		}
		return err == nil
	case "K":
		num, name, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(num)
		if err != nil || n < 0 || n >= MaxKeywords || !CheckKeyword(name) {
			return false
		}
		for len(l.Keywords) <= n {
			l.Keywords = append(l.Keywords, "")
		}
		l.Keywords[n] = name
		return true
	case "F":
		num, bits, _ := strings.Cut(rest, " ")
		n, err := strconv.ParseUint(num, 10, 32)
		more, err2 := strconv.ParseUint(bits, 16, 64)
		i, ok := byUID[uint32(n)]
		if err != nil || err2 != nil {
			return false
		}
		if ok {
			l.Entries[i].More = more
		}
		return true // its message may be one that a damaged line had
	}
	e, ok := parseEntry(kind, rest)
	if !ok {
		return false
	}
	if _, twice := byUID[e.UID]; twice || bases[e.Base] {
		return false
	}
	byUID[e.UID], bases[e.Base] = len(l.Entries), true
	l.Entries = append(l.Entries, e)
	return true
}

func (l *List) header(rest string) bool {
	f := strings.Fields(rest)
	if len(f) != 3 || f[0] != strconv.Itoa(Version) || l.Validity != 0 {
		return false
	}
	v, err := strconv.ParseUint(f[1], 10, 32)
	id, err2 := hex.DecodeString(f[2])
	if err != nil || err2 != nil || len(id) != 16 || v == 0 {
		return false
	}
	l.Validity = uint32(v)
	copy(l.Folder[:], id)
	return true
}

func parseEntry(num, rest string) (e Entry, ok bool) {
	n, err := strconv.ParseUint(num, 10, 32)
	if err != nil || n == 0 {
		return e, false
	}
	e.UID = uint32(n)
	id := false
	for !strings.HasPrefix(rest, ":") {
		var word string
		if word, rest, ok = strings.Cut(rest, " "); !ok || word == "" {
			return e, false
		}
		switch word[0] {
		case 'G':
			raw, err := hex.DecodeString(word[1:])
			if err != nil || len(raw) != 16 {
				return e, false
			}
			copy(e.GUID[:], raw)
			id = true
		case 'P':
			e.UIDL = word[1:]
		}
	}
	e.Base = rest[1:]
	if !id {
		e.GUID = GUID(e.Base)
	}
	return e, maildir.CheckBase(e.Base)
}

// CheckKeyword reports whether a keyword can be kept: an IMAP atom of a sane
// length.
func CheckKeyword(name string) bool {
	if name == "" || len(name) > 200 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}
