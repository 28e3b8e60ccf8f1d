package mailstore

import (
	"errors"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/fulltext"
)

// dirFullText is the directory of the full-text index in a folder.
const dirFullText = "posthouse.fts"

// FullText is where the full-text index of the folder is. version is that of
// how callers find words: another one makes an index worthless. A message with
// a UID never changes, so an index is good as long as the folder has its
// UIDVALIDITY.
func (m *Mailbox) FullText(version uint32) *fulltext.Dir {
	return &fulltext.Dir{FS: m.f.sh.fs, Path: m.f.path(dirFullText), Header: fulltext.Header{Validity: m.st.validity, Mailbox: m.st.id, Version: version}}
}

// OwnsFiles reports whether the session may write files beside the messages,
// which is not so in somebody else's folder.
func (m *Mailbox) OwnsFiles() bool { return m.rights.Has(RightsAll) }

// removeFullText removes the index of a folder.
func (f *folder) removeFullText() error {
	dir := &fulltext.Dir{FS: f.sh.fs, Path: f.path(dirFullText)}
	if !dir.Exists() {
		return nil
	}
	update, err := dir.Begin() // which removes what is not of this header: all of it
	if err != nil {
		return err
	}
	if update == nil {
		return errors.New("full-text index: it is being updated now")
	}
	defer update.End()
	return update.Remove()
}
