package safefile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// TryFlockShared takes a shared flock on f and reports whether it got it.
// Several processes may hold it at once, but none with [TryFlock].
func TryFlockShared(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	return true, nil
}
