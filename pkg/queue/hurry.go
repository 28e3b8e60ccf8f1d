package queue

import (
	"errors"
	"os"
	"time"
)

// Hurry makes a deferred message due: its destination is to be tried even if
// it was dead, and its time is now. A message that is not deferred needs no
// hurry, and is no error.
func (q *Queue) Hurry(id ID) error {
	fi, err := q.Stat(Deferred, id)
	if err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o700 == ModeReady {
		err = q.Chmod(Deferred, id, fi.Mode().Perm()|ModeUnflush)
	}
	if err == nil {
		err = q.SetTime(Deferred, id, time.Now())
	}
	if err == nil {
		err = q.Move(id, Deferred, Incoming)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil // qmgr was faster
	}
	return err
}
