package mbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// dotlock makes PATH.lock, which programs that know no other lock look for.
// It returns the function that takes it away.
func dotlock(ctx context.Context, fs *safefile.FS, path string, o Options) (unlock func(), err error) {
	name := path + ".lock"
	for try := 0; ; try++ {
		err := createLock(fs, name, o.identity())
		if err == nil {
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

// createLock makes the lock file. It appears with its content, where the file
// system can do that: a lock that does not tell whose it is holds the mailbox
// up for long when its owner is killed.
func createLock(fs *safefile.FS, name, identity string) error {
	f, err := fs.CreateUnnamed(filepath.Dir(name), 0o644)
	if err == nil {
		if err = sign(f, identity); err == nil {
			err = fs.LinkUnnamed(f, name)
		}
		f.Close()
		if err == nil || errors.Is(err, os.ErrExist) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			return err
		}
	}
	if f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644); err == nil {
		if err = sign(f, identity); err != nil {
			os.Remove(name)
		}
		f.Close()
	}
	return err
}

// sign writes whose lock it is. Either of two ways will do: after a power cut
// the file is there without its content, which is not worth a sync, while
// attributes come with the name; and not all file systems have attributes.
func sign(f *os.File, identity string) error {
	id := strconv.Itoa(os.Getpid()) + identity + "\n"
	_, err := f.WriteString(id)
	if unix.Fsetxattr(int(f.Fd()), lockName, []byte(id), 0) == nil {
		return nil
	}
	return err
}

// lockName is the attribute that repeats the content of a dot lock.
const lockName = "user.posthouse.lock"

func (o Options) identity() string {
	if o.Identity != "" {
		return o.Identity
	}
	return Identity()
}

// Identity says in which world a process number counts: which machine, which
// start of it, and which PID namespace. It is empty if that cannot be known. A
// process that is going to be confined asks while it can.
func Identity() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	// Short, so that the attribute fits into the inode even on a full disk.
	machine := anyMachine
	if id, err := os.ReadFile("/etc/machine-id"); err == nil && len(id) > 1 {
		machine = short(host + string(id))
	}
	return fmt.Sprintf(" %s %s %s", machine, short(host+string(boot)), short(space))
}

// anyMachine stands for a machine without an identity of its own.
const anyMachine = "-"

func short(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
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
	return (abandoned(f, o.identity()) || tooOld(name, o)) && os.Remove(name) == nil
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

// abandoned reports a lock of this machine whose process exists no more: it is
// not there, or the machine was started again since.
func abandoned(f *os.File, identity string) bool {
	buf := make([]byte, 400)
	n, _ := io.ReadFull(f, buf)
	if n == 0 {
		n, _ = unix.Fgetxattr(int(f.Fd()), lockName, buf)
	}
	text, whole := strings.CutSuffix(string(buf[:max(n, 0)]), "\n")
	theirs, ours := strings.Fields(text), strings.Fields(identity)
	if !whole || len(theirs) != 4 || len(ours) != 3 || theirs[1] != ours[0] {
		return false
	}
	if theirs[2] != ours[1] {
		return ours[0] != anyMachine
	}
	pid, err := strconv.Atoi(theirs[0])
	return err == nil && pid > 1 && theirs[3] == ours[2] && unix.Kill(pid, 0) == unix.ESRCH
}
