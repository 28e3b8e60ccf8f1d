// Package takeover reads what Dovecot and Courier-IMAP know of a Maildir, so
// that its messages keep their UIDs, flags, keywords and POP3 UIDLs. It writes
// nothing: with the files of the other server untouched, going back works.
//
// Flags are in the names of the message files for all servers. What is in the
// files here was found by looking at Maildirs that Debian's packages had made;
// the tests do so too.
package takeover

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/maildir"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/uidlist"
	"github.com/posthouse-mail/posthouse/pkg/mutf7"
)

// The files of the other servers.
const (
	dovecotList      = "dovecot-uidlist"
	dovecotKeywords  = "dovecot-keywords"
	dovecotValidity  = "dovecot-uidvalidity"
	dovecotSubs      = "subscriptions"
	courierList      = "courierimapuiddb"
	courierKeywords  = "courierimapkeywords"
	courierSubs      = "courierimapsubscribed"
	courierPOP3      = "courierpop3dsizelist"
	maxLine          = 8 << 10
	maxLines         = 1 << 27
	maxSubscriptions = 100000
)

// lines calls f for each line of a file, until it returns false.
func lines(path string, f func(line string) bool) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}
	r := bufio.NewReaderSize(file, maxLine)
	for range maxLines {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			// No server writes such a line. It is left out.
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.ReadSlice('\n')
			}
			line = nil
		}
		if len(line) > 0 && !f(strings.TrimRight(string(line), "\r\n")) {
			return nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// modified is when a file was changed last; zero if it is not there.
func modified(path string) time.Time {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return time.Time{}
	}
	return info.ModTime()
}

// Find returns the UID list of the folder at dir as another server left it, or
// nil if none did. Of two servers the one that was there last counts.
func Find(dir string) (*uidlist.List, error) {
	dovecot, courier := modified(filepath.Join(dir, dovecotList)), modified(filepath.Join(dir, courierList))
	pop3 := modified(filepath.Join(dir, courierPOP3))
	var list *uidlist.List
	var err error
	switch {
	case !dovecot.IsZero() && dovecot.After(courier):
		list, err = fromDovecot(dir)
	case !courier.IsZero():
		list, err = fromCourier(dir)
	case pop3.IsZero():
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = new(uidlist.List)
	}
	if pop3.After(dovecot) {
		err = courierUIDLs(dir, list)
	}
	if list.Validity == 0 && len(list.Entries) == 0 {
		return nil, err
	}
	return list, err
}

// add adds a message, unless its UID or name was there before or cannot be.
type adder struct {
	list  *uidlist.List
	last  uint32
	bases map[string]int
}

func newAdder(list *uidlist.List) *adder { return &adder{list: list, bases: make(map[string]int)} }

func (a *adder) add(uid uint64, name, uidl string) {
	base := maildir.ParseName(name).Base
	if uid == 0 || uid >= 1<<32-1 || uint32(uid) <= a.last || !maildir.CheckBase(base) {
		return
	}
	if _, twice := a.bases[base]; twice {
		return
	}
	if !checkUIDL(uidl) {
		uidl = ""
	}
	a.last = uint32(uid)
	a.bases[base] = len(a.list.Entries)
	a.list.Entries = append(a.list.Entries, uidlist.Entry{UID: a.last, Base: base, GUID: uidlist.GUID(base), UIDL: uidl})
}

// checkUIDL: RFC 1939 7: up to 70 characters, 0x21 to 0x7e.
func checkUIDL(s string) bool {
	if len(s) > 70 {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

func number(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// LastValidity returns the highest UIDVALIDITY that a server noted at the root
// of a Maildir, or 0.
func LastValidity(root string) (v uint32) {
	_ = lines(filepath.Join(root, dovecotValidity), func(line string) bool {
		n, err := strconv.ParseUint(strings.TrimSpace(line), 16, 32)
		if err == nil {
			v = uint32(n)
		}
		return false
	})
	return v
}

// Subscriptions returns the subscribed folders of another server, in UTF-8
// with '/' between the levels. utf8 says that the tree has its names in UTF-8.
func Subscriptions(root string, utf8 bool) ([]string, error) {
	dovecot, courier := filepath.Join(root, dovecotSubs), filepath.Join(root, courierSubs)
	var out []string
	var err error
	switch a, b := modified(dovecot), modified(courier); {
	case !a.IsZero() && a.After(b):
		v2, first := false, true
		err = lines(dovecot, func(line string) bool {
			if first && strings.HasPrefix(line, "V\t") {
				v2 = true
			} else if line != "" {
				sep := "."
				if v2 {
					sep = "\t"
				}
				out = append(out, decode(strings.ReplaceAll(line, sep, "/"), utf8))
			}
			first = false
			return len(out) < maxSubscriptions
		})
	case !b.IsZero():
		err = lines(courier, func(line string) bool {
			if rest, ok := strings.CutPrefix(line, "INBOX."); ok {
				line = rest
			}
			if line != "" {
				out = append(out, decode(strings.ReplaceAll(line, ".", "/"), utf8))
			}
			return len(out) < maxSubscriptions
		})
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return out, err
}

func decode(name string, utf8 bool) string {
	if utf8 {
		return name
	}
	for i := range len(name) {
		if name[i] >= 0x80 {
			return name
		}
	}
	if s, err := mutf7.Decode(name); err == nil {
		return s
	}
	return name
}
