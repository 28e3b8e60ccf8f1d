package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queuetool"
)

// maxTempAge is the age at which an incomplete file is taken for abandoned.
// The longest time for which a client may take to send is far shorter.
const maxTempAge = 7 * 24 * time.Hour

// fixSuffix marks a file that has got its new name in the first pass of a
// repair. It makes the name one that no daemon takes for a message.
const fixSuffix = "#FIX"

// queueInfo is what is expected of a queue.
type queueInfo struct {
	name    string
	message bool // messages, not logs
	recurse bool // hash directories; the maildrop, in which anybody writes, has none
}

// allQueues has the logs first: they must be in their place before messages
// are renamed, whose logs are renamed with them.
var allQueues = []queueInfo{
	{queue.Defer, false, true}, {queue.Bounce, false, true}, {queue.Trace, false, true},
	{queue.Maildrop, true, false}, {queue.Incoming, true, true}, {queue.Active, true, true},
	{queue.Deferred, true, true}, {queue.Hold, true, true}, {queue.Flush, false, true},
}

// job is what a walk over all files does.
type job struct {
	*super
	queueInfo
	depth                                      int  // that hash directories should have
	structure, purge                           bool // in this walk
	remove, requeue, hold, free, expire, expFr bool
}

// repair does -p and -s: all of it, since files that got a new name are finished
// in a second walk, and only then is it known which names there are.
func (s *super) repair() error {
	if s.purge || s.structure {
		if err := s.walkQueues(0, nil); err != nil {
			return err
		}
	}
	if s.inodeMismatch > 0 {
		return s.walkQueues(0, nil)
	}
	return nil
}

// walkQueues does an operation to all messages, or without any, repairs.
func (s *super) walkQueues(option byte, defaults []string) error {
	for _, info := range allQueues {
		if len(s.queues) > 0 && !slices.Contains(s.queues, info.name) {
			continue
		}
		j := job{super: s, queueInfo: info}
		if option == 0 {
			j.structure, j.purge = s.options.structure, s.options.purge
		} else {
			j.operate(option, defaults)
		}
		if slices.Contains(s.t.HashNames, info.name) {
			j.depth = s.t.HashDepth
		}
		if j.depth > 0 && !info.recurse {
			return fmt.Errorf("%s queue must not be hashed", info.name)
		}
		if err := j.walk(info.name, 0); err != nil {
			return err
		}
	}
	return nil
}

// operate sets what is to be done to every message of this queue.
func (j *job) operate(option byte, defaults []string) {
	here := j.message && j.name != queue.Maildrop && (len(j.queues) > 0 || slices.Contains(defaults, j.name))
	j.remove = option == 'd'
	j.requeue = option == 'r' && here
	j.hold = option == 'h' && here && j.name != queue.Hold
	j.free = option == 'H' && j.name == queue.Hold
	j.expire = option == 'e' && here
	j.expFr = option == 'f' && here
}

// walk visits a directory and those below it.
func (j *job) walk(dir string, depth int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if depth > 0 && errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("open directory %s: %s", dir, queuetool.ErrnoText(err))
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() && len(e.Name()) == 1 && j.recurse {
			if err := j.walk(path, depth+1); err != nil {
				return err
			}
			if depth+1 > j.depth && j.structure {
				_ = os.Remove(path) // stays if a message came in meanwhile
			}
			continue
		}
		if err := j.visit(path, e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// visit does what has to be done for one directory entry.
func (j *job) visit(path, name string) error {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return nil
	}
	kind := st.Mode & unix.S_IFMT
	ready := st.Mode&unix.S_IRWXU == queue.ModeReady
	switch {
	case kind == unix.S_IFDIR:
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			j.t.Warn("remove subdirectory %s: %s", path, queuetool.ErrnoText(err))
		}
		return nil
	case j.remove:
		removed, err := j.removeFile(path)
		if removed && j.message && ready {
			j.deleted++
		}
		return err
	case kind != unix.S_IFREG, j.purge && j.abandoned(&st):
		_, err := j.removeFile(path)
		return err
	}
	if j.structure {
		done, err := j.finishFix(&path, &name, &st)
		if done || err != nil {
			return err
		}
	}
	if !queue.ValidID(name) {
		j.t.Warn("bogus file name: %s", path)
		return nil
	}
	return j.named(path, queue.ID(name), &st)
}

// abandoned reports whether a file was left incomplete long ago. Nobody was
// told that such a message was accepted.
func (j *job) abandoned(st *unix.Stat_t) bool {
	mode := st.Mode & unix.S_IRWXU
	return j.message && mode != queue.ModeReady && mode != queue.ModeCorrupt &&
		time.Since(time.Unix(st.Mtim.Unix())) > maxTempAge
}

func (j *job) removeFile(path string) (bool, error) {
	err := j.q.FS().Remove(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("remove file %s: %s", path, queuetool.ErrnoText(err))
	}
	return err == nil, nil
}

// finishFix takes the suffix off a name that fits. done means that nothing
// more can be done with this file.
func (j *job) finishFix(path, name *string, st *unix.Stat_t) (done bool, err error) {
	base, ok := strings.CutSuffix(*name, fixSuffix)
	if !ok {
		return false, nil
	}
	id := queue.ID(base)
	ino, known := id.Inode()
	switch {
	case !queue.ValidID(base), j.message && !known:
		j.t.Warn("bogus file name: %s", *path)
		return true, nil
	case j.message && ino != st.Ino:
		j.t.Warn("name/inode mismatch: %s", *path)
		return true, nil
	}
	wanted := j.q.Path(j.name, id)
	if err := j.rename(*path, j.name, id, wanted); err != nil {
		return true, err
	}
	if j.message {
		j.inodeFixed++
	}
	*path, *name = wanted, base
	return false, nil
}

// named does what concerns a file with a possible name.
func (j *job) named(path string, id queue.ID, st *unix.Stat_t) error {
	if j.structure && j.message {
		done, err := j.checkInode(path, id, st)
		if done || err != nil {
			return err
		}
	}
	if to, count := j.target(); to != "" {
		if err := j.rename(path, to, id, j.q.Path(to, id)); err != nil {
			return err
		}
		*count++
		return j.afterMove(to, id, st)
	}
	if (j.expire || j.expFr) && expirable(st) {
		if err := os.Chmod(path, os.FileMode(st.Mode&0o777)|queue.ModeExpire); err != nil {
			return fmt.Errorf("expire file %s: cannot set permission: %s", path, queuetool.ErrnoText(err))
		}
		j.expired++
	}
	if wanted := j.q.Path(j.name, id); j.structure && filepath.Clean(path) != filepath.Clean(wanted) {
		j.misplaced++
		return j.rename(path, j.name, id, wanted)
	}
	return nil
}

// expirable reports whether a message is whole and not yet marked: the mode
// of one that is still being written belongs to its writer.
func expirable(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IRWXU == queue.ModeReady && st.Mode&queue.ModeExpire == 0
}

// target is the queue to which all messages of this one are to go.
func (j *job) target() (string, *int) {
	switch {
	case j.requeue:
		return queue.Maildrop, &j.requeued
	case j.hold:
		return queue.Hold, &j.held
	case j.free, j.expFr && j.name == queue.Hold:
		return queue.Deferred, &j.released
	}
	return "", nil
}

// afterMove does what goes with a move.
func (j *job) afterMove(to string, id queue.ID, st *unix.Stat_t) error {
	switch {
	case to == queue.Maildrop:
		return j.q.SetTime(to, id, time.Now())
	case j.expFr && expirable(st):
		j.expired++
		return j.q.Chmod(to, id, os.FileMode(st.Mode&0o777)|queue.ModeExpire)
	}
	return nil
}

// checkInode renames a message, and before it its logs, whose name does not
// fit the inode number: after a restore, two new messages could collide.
func (j *job) checkInode(path string, id queue.ID, st *unix.Stat_t) (done bool, err error) {
	ino, ok := id.Inode()
	if !ok {
		j.t.Warn("bogus file name: %s", path)
		return true, nil
	}
	long := id.Long()
	if long && j.t.LongIDs && (!j.redundant || ino == st.Ino) || !long && ino == st.Ino {
		return false, nil
	}
	fixed, ok := id.WithInode(st.Ino, j.t.LongIDs)
	if !ok {
		j.t.Warn("bogus file name: %s", path)
		return true, nil
	}
	j.inodeMismatch++
	for _, log := range []string{queue.Bounce, queue.Defer, queue.Trace} {
		from, to := j.q.Path(log, id), j.q.Path(log, fixed)+fixSuffix
		if err := j.rename(from, log, fixed, to); err != nil {
			return true, err
		}
	}
	return true, j.rename(path, j.name, fixed, j.q.Path(j.name, fixed)+fixSuffix)
}

// rename moves a file, which may have gone meanwhile, into a queue.
func (j *job) rename(from, queueName string, id queue.ID, to string) error {
	err := j.q.FS().Rename(from, to)
	if errors.Is(err, os.ErrNotExist) {
		if _, serr := os.Lstat(from); serr != nil {
			return nil
		}
		if err = j.q.MakeDirs(queueName, id); err == nil {
			err = j.q.FS().Rename(from, to)
		}
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("rename file %s as %s: %s", from, to, queuetool.ErrnoText(err))
	}
	return nil
}
