package mbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// dotlock makes PATH.lock, which programs that know no other lock look for.
// It returns the function that takes it away.
func dotlock(ctx context.Context, path string, o Options) (unlock func(), err error) {
	name := path + ".lock"
	for try := 0; ; try++ {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err == nil {
			f.WriteString(strconv.Itoa(os.Getpid()) + identity() + "\n")
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

// identity says in which world a process number counts: which start of which
// machine, and which PID namespace. It is empty if that cannot be known.
func identity() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return " " + strings.TrimSpace(string(boot)) + " " + space
}

// removeStale removes a lock that a program left behind: one of ours whose
// process is gone, or any that is old.
func removeStale(name string, o Options) bool {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return errors.Is(err, os.ErrNotExist) || tooOld(name, o) && os.Remove(name) == nil
	}
	defer f.Close()
	// Of several that wait, one removes the lock, and not the next one's.
	if ok, err := safefile.TryFlock(f); err != nil || !ok || !sameFile(f, name) {
		return false
	}
	return (abandoned(f) || tooOld(name, o)) && os.Remove(name) == nil
}

func sameFile(f *os.File, name string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(name)
	return err == nil && os.SameFile(opened, named)
}

func tooOld(name string, o Options) bool {
	info, err := os.Lstat(name)
	return err == nil && o.Stale > 0 && o.now().Sub(info.ModTime()) >= o.Stale
}

// abandoned reports a lock of a process of this start of this machine that
// exists no more.
func abandoned(f *os.File) bool {
	buf := make([]byte, 200)
	n, _ := io.ReadFull(f, buf)
	text, whole := strings.CutSuffix(string(buf[:n]), "\n")
	number, rest, _ := strings.Cut(text, " ")
	pid, err := strconv.Atoi(number)
	id := identity()
	if err != nil || !whole || pid <= 1 || id == "" {
		return false
	}
	if " "+rest == id {
		return unix.Kill(pid, 0) == unix.ESRCH
	}
	return false
}
