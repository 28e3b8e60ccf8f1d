package safefile

import (
	"context"
	"errors"
	"os"
	"time"
)

// ErrLocked reports a lock that somebody else held until the context ended.
var ErrLocked = errors.New("file is locked")

// lockPoll is how long the waiting locks pause between two tries. Waiting in
// the kernel instead could not be given up.
const lockPoll = 20 * time.Millisecond

// Flock is [TryFlock], repeated until it succeeds or ctx ends; then the error
// is [ErrLocked].
func Flock(ctx context.Context, f *os.File) error { return wait(ctx, f, TryFlock) }

// LockOFD is [TryLockOFD], repeated until it succeeds or ctx ends; then the
// error is [ErrLocked].
func LockOFD(ctx context.Context, f *os.File) error { return wait(ctx, f, TryLockOFD) }

func wait(ctx context.Context, f *os.File, try func(*os.File) (bool, error)) error {
	pause := lockPoll
	for {
		ok, err := try(f)
		if ok || err != nil {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return &os.PathError{Op: "lock", Path: f.Name(), Err: ErrLocked}
		case <-t.C:
		}
		if pause < time.Second {
			pause += pause / 2
		}
	}
}
