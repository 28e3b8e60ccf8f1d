package mbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// dotlock makes PATH.lock, which programs that know no other lock look for.
// It returns the function that takes it away.
func dotlock(ctx context.Context, path string, o Options) (unlock func(), err error) {
	name := path + ".lock"
	for try := 0; ; try++ {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err == nil {
			f.WriteString(strconv.Itoa(os.Getpid()))
			f.Close()
			return func() { os.Remove(name) }, nil
		}
		if errors.Is(err, os.ErrPermission) && o.DotlockMayFail {
			return func() {}, nil
		}
		if !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		if removeStale(name, o) && try < o.Attempts {
			continue
		}
		if try+1 >= max(o.Attempts, 1) {
			return nil, fmt.Errorf("%w: %s exists", ErrLocked, name)
		}
		t := time.NewTimer(max(o.Delay, 10*time.Millisecond))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("%w: %w", ErrLocked, ctx.Err())
		case <-t.C:
		}
	}
}

// removeStale removes a lock that a program left behind long ago.
func removeStale(name string, o Options) bool {
	info, err := os.Lstat(name)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	if o.Stale <= 0 || o.now().Sub(info.ModTime()) < o.Stale {
		return false
	}
	return os.Remove(name) == nil
}
