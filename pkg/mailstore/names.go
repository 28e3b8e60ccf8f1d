package mailstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/posthouse-mail/posthouse/pkg/mutf7"
)

// Separator stands between the levels of a folder name.
const Separator = '/'

const inbox = "INBOX"

// Limits of folder names.
const (
	maxFolderName = 250 // of a directory, as file systems allow 255
	maxLevels     = 32
)

// place is where a folder is, or would be.
type place struct {
	name   string // as clients have it, INBOX in capitals
	root   string // the Maildir that it belongs to
	dir    string
	rights Rights
}

func (p *place) isInbox() bool { return p.dir == p.root }

// exists reports whether there is a folder.
func (p *place) exists() bool { return isMaildir(p.dir) }

func isMaildir(dir string) bool {
	info, err := os.Lstat(filepath.Join(dir, "cur"))
	return err == nil && info.IsDir()
}

// missing is the error about a folder that is not there.
func (p *place) missing() error { return ErrNoMailbox }

// denied is the error of somebody who lacks a right. Who may not even look
// must not learn that the folder is there (RFC 4314 6).
func (p *place) denied() error {
	if !p.rights.Has(RightLookup) {
		return ErrNoMailbox
	}
	return ErrNoPermission
}

// Canonical returns a folder name in the form that List has, or ErrBadName.
func Canonical(name string) (string, error) {
	if len(name) >= len(inbox) && strings.EqualFold(name[:len(inbox)], inbox) && (len(name) == len(inbox) || name[len(inbox)] == Separator) {
		name = inbox + name[len(inbox):]
	}
	if name == "" || len(name) > maxFolderName || !utf8.ValidString(name) || strings.Count(name, "/") >= maxLevels {
		return "", ErrBadName
	}
	for _, level := range strings.Split(name, "/") {
		// A dot separates levels on disk.
		if level == "" || strings.ContainsRune(level, '.') || level[0] == '~' {
			return "", ErrBadName
		}
	}
	for _, r := range name {
		if unicode.IsControl(r) || r == utf8.RuneError || r == '\u2028' || r == '\u2029' {
			return "", ErrBadName
		}
	}
	return name, nil
}

// place finds a folder by its name.
func (s *Store) place(name string) (place, error) {
	name, err := Canonical(name)
	if err != nil {
		return place{}, err
	}
	return s.placeIn(name)
}

// dirName is the name of a folder's directory in the Maildir.
func (s *Store) dirName(root, name string) string {
	name = strings.ReplaceAll(name, "/", ".")
	if !s.utf8[root] {
		name = mutf7.Encode(name)
	}
	return "." + name
}

// folderName is the reverse of dirName. ok is false for directories that are
// no folders.
func (s *Store) folderName(root, dir string) (name string, ok bool) {
	if len(dir) < 2 || dir[0] != '.' || dir[1] == '.' {
		return "", false
	}
	name = dir[1:]
	if !s.utf8[root] {
		decoded, err := mutf7.Decode(name)
		if err != nil {
			return "", false
		}
		name = decoded
	}
	if strings.ContainsRune(name, '/') {
		return "", false
	}
	name, err := Canonical(strings.ReplaceAll(name, ".", "/"))
	return name, err == nil && name != inbox
}

// knownNames is the decision about a tree, and the time that its root had.
type knownNames struct {
	mtime int64
	utf8  bool
}

// maxKnownNames bounds the trees of a process.
const maxKnownNames = 4096

// decideNames is the function of that name, which is asked again only when
// something came to the root, or went.
func (sh *Shared) decideNames(root string) (bool, error) {
	at, err := mtime(root)
	if err != nil {
		return decideNames(root) // which may be a link
	}
	sh.mu.Lock()
	known, ok := sh.names[root]
	sh.mu.Unlock()
	if ok && known.mtime == at {
		return known.utf8, nil
	}
	utf8, err := decideNames(root)
	// What comes within the same tick of the clock leaves no trace.
	if err == nil && sh.now().UnixNano()-at > int64(2*time.Second) {
		sh.mu.Lock()
		if sh.names == nil || len(sh.names) >= maxKnownNames {
			sh.names = make(map[string]knownNames)
		}
		sh.names[root] = knownNames{at, utf8}
		sh.mu.Unlock()
	}
	return utf8, err
}

// decideNames finds out in which form the tree has its folder names: Dovecot
// and old Courier write modified UTF-7, Courier 5 UTF-8. A tree without names
// that tell gets modified UTF-7, which both understand.
func decideNames(root string) (bool, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if !e.IsDir() || e.Name()[0] != '.' {
			continue
		}
		for i := range len(e.Name()) {
			if e.Name()[i] >= 0x80 {
				return true, nil
			}
		}
	}
	// An & in a name tells UTF-8 only if it is no modified UTF-7.
	for _, e := range entries {
		if e.IsDir() && e.Name()[0] == '.' && strings.Contains(e.Name(), "&") {
			if _, err := mutf7.Decode(e.Name()); errors.Is(err, mutf7.ErrInvalid) {
				return true, nil
			}
		}
	}
	return false, nil
}
