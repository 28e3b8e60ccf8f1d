package maildir

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// Name is the name of a message file: a base that never changes, and what a
// reader noted behind ":2,".
type Name struct {
	Base string
	Info string // the flags; "" also when there is no ":2,"
	// Plain says that the name is base or base + ":2," + flags, so that it
	// can be made again from the two.
	Plain bool
}

// ParseName splits a file name. A name with another kind of info keeps it in
// Info, from the colon on, and is not Plain.
func ParseName(name string) Name {
	i := strings.IndexByte(name, ':')
	if i < 0 {
		return Name{Base: name, Plain: true}
	}
	if rest, ok := strings.CutPrefix(name[i:], ":2,"); ok && sortedFlags(rest) {
		return Name{Base: name[:i], Info: rest, Plain: true}
	}
	if rest, ok := strings.CutPrefix(name[i:], ":2,"); ok {
		return Name{Base: name[:i], Info: rest}
	}
	return Name{Base: name[:i], Info: name[i:]}
}

// sortedFlags reports whether s has letters in ascending order, each once, so
// that it would be written in the same way.
func sortedFlags(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') || i > 0 && s[i-1] >= c {
			return false
		}
	}
	return true
}

// Sizes returns what the base says of the message's size: S, the bytes of the
// file, and W, those with CRLF line ends; -1 for what it does not say.
func Sizes(base string) (size, wire int64) {
	return field(base, ",S="), field(base, ",W=")
}

// maxDigits keeps a size from a name from overflowing.
const maxDigits = 18

func field(base, key string) int64 {
	i := strings.LastIndex(base, key)
	if i < 0 {
		return -1
	}
	s := base[i+len(key):]
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	if n == 0 || n > maxDigits || n < len(s) && s[n] != ',' {
		return -1
	}
	v, _ := strconv.ParseInt(s[:n], 10, 64)
	return v
}

// Seconds returns the time of delivery that begins a base name, or 0.
func Seconds(base string) int64 {
	n := 0
	for n < len(base) && base[n] >= '0' && base[n] <= '9' {
		n++
	}
	if n == 0 || n > 12 || n < len(base) && base[n] != '.' {
		return 0
	}
	v, _ := strconv.ParseInt(base[:n], 10, 64)
	return v
}

// BaseName is a new base name with both sizes; dev, ino and the time make it
// one that nobody else makes.
func BaseName(sec int64, micro int, dev, ino uint64, host string, size, wire int64) string {
	b := make([]byte, 0, 128)
	b = append(strconv.AppendInt(b, sec, 10), ".V"...)
	b = append(strconv.AppendUint(b, dev, 16), 'I')
	b = append(strconv.AppendUint(b, ino, 16), 'M')
	b = append(strconv.AppendInt(b, int64(micro), 10), '.')
	b = append(append(b, HostPart(host)...), ",S="...)
	b = append(strconv.AppendInt(b, size, 10), ",W="...)
	return string(strconv.AppendInt(b, wire, 10))
}

// tmpName is the name of a file that is being written.
func tmpName(now time.Time, host string) string {
	b := make([]byte, 0, 128)
	b = append(strconv.AppendInt(b, now.UnixNano(), 10), ".P"...)
	b = append(strconv.AppendInt(b, int64(os.Getpid()), 10), '.')
	return string(append(b, HostPart(host)...))
}

// CheckBase reports whether a base name can stand in our files and in a
// directory: no slash, no control characters, of a sane length, not hidden.
func CheckBase(base string) bool {
	if base == "" || base[0] == '.' || len(base) > 240 {
		return false
	}
	for i := range len(base) {
		if c := base[i]; c < ' ' || c == 0x7f || c == '/' || c == ':' {
			return false
		}
	}
	return true
}
