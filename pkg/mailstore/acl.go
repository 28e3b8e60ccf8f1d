package mailstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// Tree is a Maildir of somebody else whose folders appear below a prefix.
type Tree struct {
	Prefix string // "shared/sales", without a separator at its end
	Root   string
	Owner  string // "" for one that belongs to nobody
}

// fileACL is in each folder that has access rights of its own: an identifier
// and rights in each line. A minus before the identifier takes rights away.
const fileACL = "posthouse-acl"

// The identifiers that are no logins.
const (
	aclOwner  = "owner"
	aclAnyone = "anyone"
)

// ErrBadRights reports letters that are no rights.
var ErrBadRights = errors.New("invalid access rights")

const rightLetters = "lrswipkxtea"

// ParseRights reads rights by their letters. RFC 4314 2.1.1: c and d are what
// RFC 2086 had.
func ParseRights(text string) (r Rights, err error) {
	for _, c := range text {
		switch i := strings.IndexRune(rightLetters, c); {
		case i >= 0:
			r |= 1 << i
		case c == 'c':
			r |= RightCreate | RightDeleteMailbox
		case c == 'd':
			r |= RightDelete | RightExpunge
		default:
			return 0, fmt.Errorf("%w: %q", ErrBadRights, text)
		}
	}
	return r, nil
}

// String returns the letters.
func (r Rights) String() string {
	var b strings.Builder
	for i := range len(rightLetters) {
		if r&(1<<i) != 0 {
			b.WriteByte(rightLetters[i])
		}
	}
	return b.String()
}

// ACLEntry gives an identifier rights, or takes them away.
type ACLEntry struct {
	Identifier string // a login, "anyone" or "owner"
	Negative   bool
	Rights     Rights
}

func (e ACLEntry) name() string {
	if e.Negative {
		return "-" + e.Identifier
	}
	return e.Identifier
}

// owner is whose the user's own folders are.
func (s *Store) owner() string {
	if s.o.Owner != "" {
		return s.o.Owner
	}
	return s.o.User
}

// placeIn finds a folder by its canonical name.
func (s *Store) placeIn(name string) (place, error) {
	root, owner, rest := s.o.Root, s.owner(), name
	for _, t := range s.o.Trees {
		if name == t.Prefix || strings.HasPrefix(name, t.Prefix+"/") {
			root, owner = t.Root, t.Owner
			if rest = strings.TrimPrefix(strings.TrimPrefix(name, t.Prefix), "/"); rest == "" {
				rest = inbox
			}
			break
		}
	}
	p := place{name: name, root: root, dir: root}
	if rest != inbox {
		p.dir = filepath.Join(root, s.dirName(root, rest))
	}
	own := root == s.o.Root && owner == s.o.User
	if own {
		p.rights = RightsAll
	}
	dir := p.dir
	if !p.exists() {
		// What may be made is what the level above says.
		dir = root
		for i := strings.LastIndexByte(rest, '/'); i > 0; i = strings.LastIndexByte(rest[:i], '/') {
			if up := filepath.Join(root, s.dirName(root, rest[:i])); isMaildir(up) {
				dir = up
				break
			}
		}
	}
	entries, err := s.readACL(dir)
	if err != nil {
		return p, err
	}
	p.rights = s.effective(entries, owner, p.rights)
	if own {
		p.rights |= RightLookup | RightAdmin // nobody locks himself out
	}
	return p, nil
}

// effective computes the user's rights from the entries of a folder.
func (s *Store) effective(entries []ACLEntry, owner string, base Rights) Rights {
	var plus, minus Rights
	named := false
	for _, e := range entries {
		switch {
		case e.Identifier == aclAnyone:
		case e.Identifier == s.o.User && s.o.User != "":
			named = true
		case e.Identifier == aclOwner && owner != "" && owner == s.o.User:
			named = true
		default:
			continue
		}
		if e.Negative {
			minus |= e.Rights
		} else {
			plus |= e.Rights
		}
	}
	if named {
		base = 0
	}
	return (base | plus) &^ minus
}

func (s *Store) readACL(dir string) ([]ACLEntry, error) {
	lines, err := s.readLines(dir, fileACL)
	if errors.Is(err, os.ErrNotExist) {
		return s.peerACL(dir)
	}
	if err != nil {
		return nil, temporary(err)
	}
	var out []ACLEntry
	for _, line := range lines {
		id, letters, ok := strings.Cut(line, "\t")
		r, err := ParseRights(letters)
		if !ok || err != nil || id == "" {
			s.sh.log.Warn("access rights are not understood", "folder", dir, "line", line)
			continue
		}
		e := ACLEntry{Identifier: id, Rights: r}
		e.Identifier, e.Negative = strings.CutPrefix(id, "-")
		out = append(out, e)
	}
	return out, nil
}

// ACL returns the access rights of a folder (RFC 4314 3.3). The owner's are
// among them.
func (s *Store) ACL(name string) ([]ACLEntry, error) {
	p, err := s.adminPlace(name)
	if err != nil {
		return nil, err
	}
	entries, err := s.readACL(p.dir)
	if err != nil {
		return nil, err
	}
	if owner := s.owner(); p.root == s.o.Root && owner != "" &&
		!slices.ContainsFunc(entries, func(e ACLEntry) bool { return e.Identifier == owner || e.Identifier == aclOwner }) {
		entries = append([]ACLEntry{{Identifier: owner, Rights: RightsAll}}, entries...)
	}
	return entries, nil
}

// adminPlace finds a folder whose rights the user may see and change.
func (s *Store) adminPlace(name string) (place, error) {
	p, err := s.place(name)
	if err != nil {
		return p, err
	}
	if !p.exists() {
		return p, p.missing()
	}
	if !p.rights.Has(RightAdmin) {
		return p, p.denied()
	}
	return p, nil
}

// MyRights returns the user's rights on a folder.
func (s *Store) MyRights(name string) (Rights, error) {
	p, err := s.place(name)
	if err != nil {
		return 0, err
	}
	if !p.exists() || p.rights == 0 {
		return 0, p.missing()
	}
	return p.rights, nil
}

// SetACL changes an entry: mode is '+' to add rights, '-' to take some away,
// and 0 to set them. An identifier with a minus before it is a negative entry.
func (s *Store) SetACL(name, identifier string, mode byte, rights Rights) error {
	if identifier == "" || identifier == "-" || len(identifier) > 255 || strings.ContainsAny(identifier, "\t\r\n\x00") {
		return ErrBadRights
	}
	e := ACLEntry{Rights: rights}
	e.Identifier, e.Negative = strings.CutPrefix(identifier, "-")
	return s.editACL(name, func(list []ACLEntry) []ACLEntry {
		i := slices.IndexFunc(list, func(o ACLEntry) bool { return o.name() == e.name() })
		if i < 0 {
			i = len(list)
			list = append(list, ACLEntry{Identifier: e.Identifier, Negative: e.Negative})
			if e.Identifier == s.owner() && !e.Negative && mode != 0 {
				list[i].Rights = RightsAll
			}
		}
		switch mode {
		case '+':
			list[i].Rights |= rights
		case '-':
			list[i].Rights &^= rights
		default:
			list[i].Rights = rights
		}
		return list
	})
}

// DeleteACL removes an entry.
func (s *Store) DeleteACL(name, identifier string) error {
	return s.editACL(name, func(list []ACLEntry) []ACLEntry {
		return slices.DeleteFunc(list, func(e ACLEntry) bool { return e.name() == identifier })
	})
}

// maxACL bounds the entries of a folder.
const maxACL = 1000

func (s *Store) editACL(name string, edit func([]ACLEntry) []ACLEntry) error {
	p, err := s.adminPlace(name)
	if err != nil {
		return err
	}
	return s.rootLocked(p.root, func() error {
		list, err := s.readACL(p.dir)
		if err != nil {
			return err
		}
		list = edit(list)
		if len(list) > maxACL {
			return fmt.Errorf("%w: too many entries", ErrBadRights)
		}
		return s.writeACL(p.dir, list)
	})
}

func (s *Store) writeACL(dir string, list []ACLEntry) error {
	lines := make([]string, 0, len(list))
	for _, e := range list {
		lines = append(lines, e.name()+"\t"+e.Rights.String())
	}
	return s.writeLines(dir, fileACL, lines)
}

// inheritACL gives a new folder the rights of the one above it (RFC 4314 3).
func (s *Store) inheritACL(p place) error {
	up := p.name
	for i := strings.LastIndexByte(up, '/'); i > 0; i = strings.LastIndexByte(up, '/') {
		up = up[:i]
		q, err := s.placeIn(up)
		if err != nil {
			return err
		}
		if !q.exists() {
			continue
		}
		list, err := s.readACL(q.dir)
		if err != nil || len(list) == 0 {
			return err
		}
		return temporary(s.writeACL(p.dir, list))
	}
	return nil
}

// sharedNames returns the names of folders of the trees that the user can see.
func (s *Store) sharedNames() ([]string, error) {
	var out []string
	for _, t := range s.o.Trees {
		entries, err := os.ReadDir(t.Root)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			continue
		}
		if err != nil {
			return nil, temporary(err)
		}
		names := []string{t.Prefix}
		for _, e := range entries {
			if name, ok := s.folderName(t.Root, e.Name()); e.IsDir() && ok {
				names = append(names, t.Prefix+"/"+name)
			}
		}
		for _, name := range names {
			p, err := s.placeIn(name)
			if err == nil && p.exists() && p.rights.Has(RightLookup) {
				out = append(out, name)
			}
		}
	}
	sort.Strings(out)
	return out, nil
}

// Trees returns the trees of others, for NAMESPACE.
func (s *Store) Trees() []Tree { return s.o.Trees }
