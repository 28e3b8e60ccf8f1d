package queue

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// TryLockShared takes the lock of a delivery agent, and reports whether it got
// it. Agents share it, since several may deliver one message to different
// recipients; the queue manager's [Message.TryLock] excludes them all.
func (m *Message) TryLockShared() (bool, error) { return safefile.TryFlockShared(m.f) }

// Exists returns os.ErrNotExist if the file was removed since it was opened.
func (m *Message) Exists() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(m.f.Fd()), &st); err != nil {
		return &os.PathError{Op: "fstat", Path: m.f.Name(), Err: err}
	}
	if st.Nlink == 0 {
		return fmt.Errorf("%s was removed: %w", m.f.Name(), os.ErrNotExist)
	}
	return nil
}
