package queue

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ID is the name of a message in the queue. A short id is the microseconds of
// the time of arrival in five hex digits and the inode number in hex; a long
// id is seconds and microseconds in base 52, the letter z, and the inode
// number in base 51. No other file has the same id while the message exists.
type ID string

// maxID is the longest name of a queue file; the flush service's files are
// named after domains.
const maxID = 255

// Digits of long ids: no vowels, so that no words appear. Base 51 leaves out
// the z, which separates.
const idDigits = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"

const (
	longSecPad  = 6
	longUsecPad = 4
	longTimePad = longSecPad + longUsecPad
	shortPad    = 5
)

// ValidID reports whether s may be the name of a queue file: letters, digits
// and underscore.
func ValidID(s string) bool {
	if s == "" || len(s) > maxID {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !alnum(s[i]) && s[i] != '_' {
			return false
		}
	}
	return true
}

// ValidQueueName reports whether s may be the name of a queue.
func ValidQueueName(s string) bool {
	if s == "" || len(s) > 100 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !alnum(s[i]) {
			return false
		}
	}
	return true
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// NewID returns the id for a file with the given inode number that was made
// at t.
func NewID(t time.Time, inode uint64, long bool) ID {
	usec := t.Nanosecond() / 1000
	if !long {
		return ID(fmt.Sprintf("%05X%X", usec, inode))
	}
	var b [40]byte
	out := appendBase(b[:0], uint64(t.Unix()), 52, longSecPad)
	out = appendBase(out, uint64(usec), 52, longUsecPad)
	out = append(out, 'z')
	out = appendBase(out, inode, 51, 0)
	return ID(out)
}

func appendBase(dst []byte, n uint64, base uint64, pad int) []byte {
	var tmp [16]byte
	i := len(tmp)
	for n > 0 || i == len(tmp) {
		i--
		tmp[i] = idDigits[n%base]
		n /= base
	}
	for len(tmp)-i < pad {
		i--
		tmp[i] = '0'
	}
	return append(dst, tmp[i:]...)
}

func parseBase(s string, base uint64) (uint64, bool) {
	if s == "" || len(s) > 12 {
		return 0, false
	}
	var n uint64
	for i := 0; i < len(s); i++ {
		d := strings.IndexByte(idDigits, s[i])
		if d < 0 || uint64(d) >= base {
			return 0, false
		}
		next := n*base + uint64(d)
		if next < n {
			return 0, false
		}
		n = next
	}
	return n, true
}

// longSep returns the index of the separator in a long id, or -1.
func (id ID) longSep() int {
	if i := strings.LastIndexByte(string(id), 'z'); i >= longTimePad {
		return i
	}
	return -1
}

// Long reports whether id has the long form.
func (id ID) Long() bool { return id.longSep() >= 0 }

// Inode returns the inode number in the id; ok is false if id has neither form.
func (id ID) Inode() (ino uint64, ok bool) {
	if i := id.longSep(); i >= 0 {
		return parseBase(string(id[i+1:]), 51)
	}
	if len(id) <= shortPad {
		return 0, false
	}
	ino, err := strconv.ParseUint(string(id[shortPad:]), 16, 64)
	return ino, err == nil
}

// Usec returns the microseconds in the id.
func (id ID) Usec() (usec int, ok bool) {
	if i := id.longSep(); i >= 0 {
		n, ok := parseBase(string(id[i-longUsecPad:i]), 52)
		return int(n), ok && n < 1e6
	}
	if len(id) <= shortPad {
		return 0, false
	}
	n, err := strconv.ParseUint(string(id[:shortPad]), 16, 32)
	return int(n), err == nil && n < 1e6
}

// WithInode returns the id with another inode number, in the same form, or
// in the short form if long ids are not wanted. It is the same for the same
// input, so that an interrupted repair can go on. ok is false if id has neither
// form.
func (id ID) WithInode(ino uint64, long bool) (fixed ID, ok bool) {
	usec, ok := id.Usec()
	if !ok {
		return "", false
	}
	if i := id.longSep(); i >= 0 && long {
		return ID(appendBase([]byte(id[:i+1]), ino, 51, 0)), true
	}
	return ID(fmt.Sprintf("%05X%X", usec, ino)), true
}

// hashDirs returns the sub-directories for an id, "" or "A/B/": one character
// for each level.
func (id ID) hashDirs(depth int) string {
	if depth <= 0 {
		return ""
	}
	key := string(id)
	if id.Long() {
		if usec, ok := id.Usec(); ok {
			key = fmt.Sprintf("%05X", usec)
		}
	}
	out := make([]byte, 0, 2*depth)
	for i := range depth {
		c := byte('_')
		if i < len(key) {
			c = key[i]
		}
		out = append(out, c, '/')
	}
	return string(out)
}
