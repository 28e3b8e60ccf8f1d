package mailstore

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/maildir/notice"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
)

// FolderInfo is a folder as LIST shows it.
type FolderInfo struct {
	Name       string // UTF-8, levels separated by '/'
	NoSelect   bool   // there are only folders below it
	Children   bool
	Subscribed bool
	SpecialUse []string // attributes without backslash: Sent, Trash ...
}

// List returns all folders that the user can see, sorted by name, INBOX first,
// and with levels that are no folders themselves. Names that are subscribed
// but not there are in Subscriptions only.
func (s *Store) List() ([]FolderInfo, error) {
	names, err := s.folderNames()
	if err != nil {
		return nil, err
	}
	subscribed, err := s.Subscriptions()
	if err != nil {
		return nil, err
	}
	uses, err := s.specialUses()
	if err != nil {
		return nil, err
	}
	set := make(map[string]*FolderInfo, len(names))
	for _, name := range names {
		set[name] = &FolderInfo{Name: name}
	}
	for _, name := range names {
		for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
			parent := set[name[:i]]
			if parent == nil {
				parent = &FolderInfo{Name: name[:i], NoSelect: true}
				set[name[:i]] = parent
			}
			parent.Children = true
		}
	}
	for _, name := range subscribed {
		if f := set[name]; f != nil {
			f.Subscribed = true
		}
	}
	out := make([]FolderInfo, 0, len(set))
	for name, f := range set {
		f.SpecialUse = uses[name]
		out = append(out, *f)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i].Name, out[j].Name
		if (a == inbox) != (b == inbox) {
			return a == inbox
		}
		return a < b
	})
	return out, nil
}

// folderNames returns the names of the folders that there are.
func (s *Store) folderNames() ([]string, error) {
	entries, err := os.ReadDir(s.o.Root)
	if err != nil {
		return nil, temporary(err)
	}
	names := []string{inbox}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if name, ok := s.folderName(s.o.Root, e.Name()); ok && isMaildir(filepath.Join(s.o.Root, e.Name())) {
			names = append(names, name)
		}
	}
	shared, err := s.sharedNames()
	return append(names, shared...), err
}

// Create makes a folder, with special-use attributes if there are some
// (RFC 6154 3). A name that ends in a separator is one without it.
func (s *Store) Create(name string, use ...string) error {
	p, err := s.place(strings.TrimSuffix(name, "/"))
	if err != nil {
		return err
	}
	if p.exists() {
		return ErrExists
	}
	if !p.rights.Has(RightCreate) {
		return p.denied()
	}
	if len(filepath.Base(p.dir)) > maxFolderName {
		return ErrBadName
	}
	if err := s.makeFolder(p, use); err != nil {
		s.unmake(p)
		return err
	}
	return nil
}

func (s *Store) makeFolder(p place, use []string) error {
	if err := s.dirs.Make(p.dir); err != nil {
		return temporary(err)
	}
	f, err := s.fs.Create(filepath.Join(p.dir, "maildirfolder"), 0o600)
	if err == nil {
		err = s.fs.Close(f)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return temporary(err)
	}
	s.sh.forget(p.dir)
	if err := s.inheritACL(p); err != nil {
		return err
	}
	if len(use) > 0 {
		return s.setSpecialUse(p.name, use)
	}
	return nil
}

// unmake removes what there is of a folder that could not be made. One that
// has got a message meanwhile stays.
func (s *Store) unmake(p place) {
	for _, name := range []string{"cur", "new", "tmp", "maildirfolder", fileACL} {
		if err := os.Remove(filepath.Join(p.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return
		}
	}
	if err := os.Remove(p.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.sh.log.Warn("rest of a folder that could not be made stays", "folder", p.dir, "reason", err)
	}
	s.sh.forget(p.dir)
}

// Delete removes a folder and its messages. Folders below it stay.
func (s *Store) Delete(name string) error {
	p, err := s.place(name)
	if err != nil {
		return err
	}
	if p.isInbox() {
		return ErrNoPermission
	}
	if !p.exists() {
		if below, err := s.below(p.name); err != nil {
			return err
		} else if len(below) > 0 {
			return ErrHasChildren
		}
		return p.missing()
	}
	if !p.rights.Has(RightDeleteMailbox) {
		return p.denied()
	}
	// The folder is gone at once, and what is slow comes after. Two dots are
	// no folder to anybody.
	trash := filepath.Join(p.root, "..posthouse-deleted."+time.Now().UTC().Format("20060102150405.000000000"))
	if err := s.fs.RenameNew(p.dir, trash); err != nil {
		return temporary(err)
	}
	s.sh.forget(p.dir)
	notice.Post(s.fs, trash, "")
	if err := s.fs.SyncDir(p.root); err != nil {
		return temporary(err)
	}
	if err := s.setSpecialUse(p.name, nil); err != nil {
		return err
	}
	if err := os.RemoveAll(trash); err != nil {
		s.sh.log.Warn("rest of a deleted folder stays", "folder", trash, "reason", err)
	}
	s.quotaForget(p.root)
	return nil
}

// below returns the names of the folders below one.
func (s *Store) below(name string) ([]string, error) {
	names, err := s.folderNames()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range names {
		if strings.HasPrefix(n, name+"/") {
			out = append(out, n)
		}
	}
	return out, nil
}

// Rename gives a folder and those below it another name. INBOX is moved
// without those below it, and is there again, empty (RFC 9051 6.3.6).
func (s *Store) Rename(from, to string) error {
	p, err := s.place(from)
	if err != nil {
		return err
	}
	q, err := s.place(strings.TrimSuffix(to, "/"))
	if err != nil {
		return err
	}
	if q.exists() {
		return ErrExists
	}
	if !p.rights.Has(RightDeleteMailbox) {
		return p.denied()
	}
	if !q.rights.Has(RightCreate) {
		return q.denied()
	}
	if p.isInbox() && p.root != s.o.Root {
		return ErrNoPermission // the inbox of another tree is not to be emptied
	}
	if p.isInbox() {
		return s.renameInbox(q)
	}
	if p.root != q.root || strings.HasPrefix(q.name, p.name+"/") {
		return ErrBadName
	}
	below, err := s.belowIn(p)
	if err != nil {
		return err
	}
	if !p.exists() && len(below) == 0 {
		return p.missing()
	}
	return s.renameTree(p, q, below)
}

// belowIn returns the folders below one, those too that the user cannot see: a
// rename would leave them behind. Each is to be one that the user may take
// away from its place (RFC 4314 4).
func (s *Store) belowIn(p place) ([]string, error) {
	prefix := p.name + "/"
	var out []string
	entries, err := os.ReadDir(p.root)
	if err != nil {
		return nil, temporary(err)
	}
	tree := s.treeOf(p.root)
	for _, e := range entries {
		name, ok := s.folderName(p.root, e.Name())
		if !ok || !e.IsDir() || !strings.HasPrefix(tree+name, prefix) {
			continue
		}
		child, err := s.placeIn(tree + name)
		if err != nil {
			return nil, err
		}
		if !child.exists() {
			continue
		}
		if !child.rights.Has(RightDeleteMailbox) {
			return nil, ErrNoPermission
		}
		out = append(out, child.name)
	}
	return out, nil
}

// treeOf is what is in front of the names of folders in a Maildir.
func (s *Store) treeOf(root string) string {
	for _, t := range s.o.Trees {
		if t.Root == root {
			return t.Prefix + "/"
		}
	}
	return ""
}

func (s *Store) renameTree(p, q place, below []string) error {
	moves := make(map[string]place)
	if p.exists() {
		moves[p.name] = q
	}
	for _, name := range below {
		dst, err := s.place(q.name + strings.TrimPrefix(name, p.name))
		if err != nil {
			return err
		}
		if dst.exists() {
			return ErrExists
		}
		if len(filepath.Base(dst.dir)) > maxFolderName {
			return ErrBadName
		}
		moves[name] = dst
	}
	for name, dst := range moves {
		src, err := s.place(name)
		if err != nil {
			return err
		}
		if err := s.fs.RenameNew(src.dir, dst.dir); err != nil {
			return temporary(err)
		}
		s.sh.forget(src.dir)
		s.sh.forget(dst.dir)
		notice.Post(s.fs, dst.dir, "")
		if err := s.renameUse(name, dst.name); err != nil {
			return err
		}
	}
	return temporary(s.fs.SyncDir(p.root))
}

// renameInbox moves all messages of INBOX.
func (s *Store) renameInbox(q place) error {
	if err := s.Create(q.name); err != nil {
		return err
	}
	m, err := s.Mailbox(inbox, false)
	if err != nil {
		return err
	}
	defer m.Close()
	uids := make([]uint32, 0, m.Len())
	err = m.view.Range(0, m.Len(), func(_ int, r *index.Record) bool {
		uids = append(uids, r.UID)
		return true
	})
	if err != nil {
		return temporary(err)
	}
	for len(uids) > 0 {
		n := min(len(uids), batch)
		if _, err := m.Move(uids[:n], q.name); err != nil && !errors.Is(err, ErrExpunged) {
			return err
		}
		uids = uids[n:]
	}
	return nil
}

// Status is what STATUS tells of a folder.
type Status struct {
	Messages, Recent, Unseen, Deleted int
	UIDNext, UIDValidity              uint32
	HighestModSeq                     uint64
	MailboxID                         string
	Size, DeletedSize                 int64 // only if they were asked for
	FirstUnseen                       int
}

// Status returns the state of a folder; size is computed only if asked for,
// as it may need a look at each message once.
func (s *Store) Status(name string, size bool) (Status, error) {
	m, err := s.Mailbox(name, true)
	if err != nil {
		return Status{}, err
	}
	defer m.Close()
	sum := m.Counts()
	out := Status{Messages: m.Len(), Unseen: sum.Unseen, Deleted: sum.Deleted, UIDNext: m.UIDNext(),
		UIDValidity: m.UIDValidity(), HighestModSeq: m.HighestModSeq(), MailboxID: m.MailboxID()}
	if i, _ := m.Find(m.st.recent); m.st.recent > 0 {
		out.Recent = m.Len() - i + 1
	}
	if size {
		out.Size, err = m.Size()
		if err == nil && out.Deleted > 0 {
			out.DeletedSize, err = m.deletedSize()
		}
	}
	return out, err
}

// deletedSize is the size of all messages with \Deleted, after Size.
func (m *Mailbox) deletedSize() (total int64, err error) {
	var failed error
	err = m.RangeIf(1, m.Len(), func(s *Summary) bool { return s.Deleted > 0 }, func(_ int, msg *Message) bool {
		if msg.Flags&Deleted == 0 {
			return true
		}
		facts, err := m.Facts(msg)
		if err != nil && !errors.Is(err, ErrExpunged) {
			failed = err
			return false
		}
		total += max(facts.Size, 0)
		return true
	})
	return total, cmp.Or(err, failed)
}

// Size is the size of all messages of the view.
func (m *Mailbox) Size() (int64, error) {
	sum := m.Counts()
	if sum.NoSize == 0 {
		return sum.Bytes, nil
	}
	total := int64(0)
	var unknown []Message
	err := m.Range(1, m.Len(), func(_ int, msg *Message) bool {
		if msg.Size == Unknown {
			unknown = append(unknown, *msg)
		} else {
			total += msg.Size
		}
		return true
	})
	if err != nil {
		return 0, err
	}
	for i := range unknown {
		facts, err := m.Facts(&unknown[i])
		if errors.Is(err, ErrExpunged) {
			continue
		}
		if err != nil {
			return 0, err
		}
		total += facts.Size
	}
	return total, m.flushFacts()
}
