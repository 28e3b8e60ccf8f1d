// Package index holds what is known of the messages of one folder: a table of
// records in ascending order of UID, and its file form.
//
// A table never changes. An edit of one makes another that shares the chunks
// in which nothing changed, so that each session can keep the state that its
// client knows, and the difference between two states is found by looking only
// at the chunks that differ. Chunks that are in the file can be dropped from
// memory and are read again when somebody looks.
package index

// Flags are the system flags of a message, and what else is yes or no.
type Flags uint16

// The flags. InNew is about the file: it is in new and has no flags yet.
const (
	Answered Flags = 1 << iota
	Flagged
	Deleted
	Seen
	Draft
	Forwarded // the P of Maildir, $Forwarded to clients
	InNew
	OddName // the name of the file is not made from base and flags
	// Gone marks a message in a session's view that others have expunged
	// and whose client was not told so far.
	Gone

	// System are those that clients know as system flags.
	System = Answered | Flagged | Deleted | Seen | Draft
	// Kept are those that a file name keeps.
	Kept = System | Forwarded
)

// Unknown is a size or time that was not needed so far.
const Unknown = -1 << 62

// Record is one message.
type Record struct {
	UID      uint32
	Flags    Flags
	Keywords uint64 // bit n is the keyword with number n
	ModSeq   uint64
	Size     int64 // with CRLF line ends
	Internal int64 // the internal date, seconds of Unix time
	GUID     [16]byte
	Base     string // of the file name
}

// letters are the flags of Maildir in the order in which they are written.
var letters = [...]struct {
	letter byte
	flag   Flags
}{{'D', Draft}, {'F', Flagged}, {'P', Forwarded}, {'R', Answered}, {'S', Seen}, {'T', Deleted}}

// InNames is how many keywords have a letter, a to z, in file names.
const InNames = 26

// Info returns the flags as they stand in a file name, behind ":2,".
func (r *Record) Info() string {
	var b [len(letters) + InNames]byte
	return string(r.info(b[:0]))
}

func (r *Record) info(out []byte) []byte {
	for _, l := range letters {
		if r.Flags&l.flag != 0 {
			out = append(out, l.letter)
		}
	}
	for k := range InNames {
		if r.Keywords&(1<<k) != 0 {
			out = append(out, byte('a'+k))
		}
	}
	return out
}

// ParseInfo is the reverse of Info. odd reports letters that have no meaning.
func ParseInfo(info string) (flags Flags, keywords uint64, odd bool) {
next:
	for i := range len(info) {
		c := info[i]
		if c >= 'a' && c < 'a'+InNames {
			keywords |= 1 << (c - 'a')
			continue
		}
		for _, l := range letters {
			if l.letter == c {
				flags |= l.flag
				continue next
			}
		}
		odd = true
	}
	return flags, keywords, odd
}

// Path returns the name of the file relative to the folder; for a message with
// an odd name it is only where to look first.
func (r *Record) Path() string {
	if r.Flags&InNew != 0 {
		return "new/" + r.Base
	}
	var b [256]byte
	out := append(b[:0], "cur/"...)
	out = append(append(out, r.Base...), ":2,"...)
	return string(r.info(out))
}
