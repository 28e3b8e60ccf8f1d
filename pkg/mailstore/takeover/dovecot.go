package takeover

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/uidlist"
)

// fromDovecot reads dovecot-uidlist, of version 1 or 3, and dovecot-keywords.
func fromDovecot(dir string) (*uidlist.List, error) {
	list, err := readList(filepath.Join(dir, dovecotList))
	if err != nil || list == nil {
		return nil, err
	}
	// The letters a to z in the names of files are numbers in this file.
	err = lines(filepath.Join(dir, dovecotKeywords), func(line string) bool {
		num, name, ok := strings.Cut(line, " ")
		n, err := strconv.Atoi(num)
		if ok && err == nil && n >= 0 && n < 26 && uidlist.CheckKeyword(name) {
			for len(list.Keywords) <= n {
				list.Keywords = append(list.Keywords, "")
			}
			list.Keywords[n] = name
		}
		return true
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return list, nil
}

// readList reads a UID list. Courier's is Dovecot's version 1. It is nil if
// the file is none.
func readList(path string) (*uidlist.List, error) {
	list := new(uidlist.List)
	a := newAdder(list)
	version, first := "", true
	err := lines(path, func(line string) bool {
		if first {
			first = false
			version = listHeader(line, list)
			return version != ""
		}
		if version == "3" {
			a.line3(line)
		} else if uid, name, ok := strings.Cut(line, " "); ok {
			a.add(uint64(number(uid)), name, "")
		}
		return true
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil || version == "" || list.Validity == 0 {
		return nil, err
	}
	return list, nil
}

// listHeader reads the first line and returns the version.
func listHeader(line string, list *uidlist.List) string {
	f := strings.Fields(line)
	if len(f) < 3 {
		return ""
	}
	switch f[0] {
	case "1":
		list.Validity, list.Limit = number(f[1]), number(f[2])
	case "3":
		for _, word := range f[1:] {
			switch word[0] {
			case 'V':
				list.Validity = number(word[1:])
			case 'N':
				list.Limit = number(word[1:])
			case 'G':
				if id, err := hex.DecodeString(word[1:]); err == nil && len(id) == 16 {
					copy(list.Folder[:], id)
				}
			}
		}
	default:
		return ""
	}
	return f[0]
}

// line3 reads a line of version 3: a UID, keys with values, a colon and the
// name.
func (a *adder) line3(line string) {
	num, rest, ok := strings.Cut(line, " ")
	uidl := ""
	for ok && !strings.HasPrefix(rest, ":") {
		var word string
		word, rest, ok = strings.Cut(rest, " ")
		if strings.HasPrefix(word, "P") {
			uidl = word[1:]
		}
	}
	if ok {
		a.add(uint64(number(num)), rest[1:], uidl)
	}
}
