package queue

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Options are what a queue's layout depends on.
type Options struct {
	HashDepth int      // hash_queue_depth
	HashNames []string // hash_queue_names: the queues with sub-directories
	LongIDs   bool     // enable_long_queue_ids

	// Owner is the uid that queue files must have; 0 is the effective uid of
	// the process.
	Owner int

	// FS does the file operations; nil is a new one.
	FS *safefile.FS
}

// Queue is a queue directory. It is safe for concurrent use.
type Queue struct {
	dir    string // with a slash at its end, or ""
	opts   Options
	hashed map[string]bool
	owner  int
	fs     *safefile.FS
	bufs   sync.Pool // of writers
	reads  Buffers
}

// Open returns the queue in dir; daemons, whose working directory it is, use
// ".". Nothing is read or made.
func Open(dir string, o Options) *Queue {
	q := &Queue{opts: o, hashed: make(map[string]bool), owner: o.Owner, fs: o.FS}
	if dir != "" && dir != "." {
		q.dir = strings.TrimSuffix(dir, "/") + "/"
	}
	for _, name := range o.HashNames {
		q.hashed[strings.ToLower(name)] = true
	}
	if q.owner == 0 {
		q.owner = os.Geteuid()
	}
	if q.fs == nil {
		q.fs = new(safefile.FS)
	}
	return q
}

// FS returns what does the queue's file operations.
func (q *Queue) FS() *safefile.FS { return q.fs }

// Owner returns the uid that queue files must have.
func (q *Queue) Owner() int { return q.owner }

// Dir returns the directory in which a file of the named queue belongs, with
// a slash at its end.
func (q *Queue) Dir(queueName string, id ID) string {
	d := q.dir + queueName + "/"
	if q.hashed[strings.ToLower(queueName)] {
		d += id.hashDirs(q.opts.HashDepth)
	}
	return d
}

// Path returns the name of a queue file. Name and id must be valid.
func (q *Queue) Path(queueName string, id ID) string { return q.Dir(queueName, id) + string(id) }

// checkNames refuses names that could lead out of the queue.
func checkNames(id ID, queues ...string) error {
	for _, name := range queues {
		if !ValidQueueName(name) {
			return fmt.Errorf("bad queue name %q", name)
		}
	}
	if !ValidID(string(id)) {
		return fmt.Errorf("bad queue id %q", string(id))
	}
	return nil
}

// Move moves a message from one queue to another. Nothing is synced: the
// message is found in one of the two after a power cut, and both are scanned.
func (q *Queue) Move(id ID, from, to string) error {
	if err := checkNames(id, from, to); err != nil {
		return err
	}
	oldpath, newpath := q.Path(from, id), q.Path(to, id)
	err := q.fs.Rename(oldpath, newpath)
	if !errors.Is(err, os.ErrNotExist) || !q.hashed[strings.ToLower(to)] {
		return err
	}
	if merr := q.MakeDirs(to, id); merr != nil {
		return merr
	}
	return q.fs.Rename(oldpath, newpath)
}

// MakeDirs makes the hash directories for an id, durably.
func (q *Queue) MakeDirs(queueName string, id ID) error {
	path := q.dir + queueName
	for _, part := range strings.Split(strings.TrimSuffix(id.hashDirs(q.opts.HashDepth), "/"), "/") {
		if part == "" {
			break
		}
		path += "/" + part
		if err := q.fs.Mkdir(path, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// Remove removes a message. The removal is not synced: after a power cut the
// message may be there again, to be sent twice but not to be lost.
func (q *Queue) Remove(queueName string, id ID) error {
	if err := checkNames(id, queueName); err != nil {
		return err
	}
	return q.fs.Remove(q.Path(queueName, id))
}

// Stat returns what the file system knows about a queue file, without
// following a link.
func (q *Queue) Stat(queueName string, id ID) (os.FileInfo, error) {
	if err := checkNames(id, queueName); err != nil {
		return nil, err
	}
	return os.Lstat(q.Path(queueName, id))
}

// Has reports whether a queue has a file of this id, or whether that cannot be told.
func (q *Queue) Has(queueName string, id ID) bool {
	if checkNames(id, queueName) != nil {
		return false
	}
	var st unix.Stat_t
	return unix.Lstat(q.Path(queueName, id), &st) != unix.ENOENT
}

// SetTime sets the time before which a deferred message is not tried again.
func (q *Queue) SetTime(queueName string, id ID, t time.Time) error {
	if err := checkNames(id, queueName); err != nil {
		return err
	}
	return q.fs.SetTimes(q.Path(queueName, id), t)
}

// Chmod sets the mode of a queue file: its state and the hints in it.
func (q *Queue) Chmod(queueName string, id ID, mode os.FileMode) error {
	if err := checkNames(id, queueName); err != nil {
		return err
	}
	return os.Chmod(q.Path(queueName, id), mode)
}

// Entry is a file that a scan found.
type Entry struct {
	Queue string
	ID    ID     // the name of the file
	Path  string // where it was found, which may be another hash directory than its own
	Bad   bool   // not a possible queue id: a foreign file or a temporary one
}

const (
	scanBatch    = 1024
	maxScanDepth = 32
)

// Scan returns the files in a queue and in its hash directories, in no order,
// while the queue may change. Directories are read in pieces, so that a large
// queue costs no memory. An error ends the scan of one directory only.
func (q *Queue) Scan(queueName string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if !ValidQueueName(queueName) {
			yield(Entry{}, fmt.Errorf("bad queue name %q", queueName))
			return
		}
		q.scanDir(queueName, q.dir+queueName, 0, yield)
	}
}

func (q *Queue) scanDir(queueName, dir string, depth int, yield func(Entry, error) bool) bool {
	d, err := q.fs.OpenDir(dir)
	if err != nil {
		return yield(Entry{Queue: queueName, Path: dir}, err)
	}
	defer d.Close()
	var subs []string
	for {
		names, err := d.Readdirnames(scanBatch)
		for _, name := range names {
			if len(name) == 1 && depth < maxScanDepth {
				subs = append(subs, name)
				continue
			}
			e := Entry{Queue: queueName, ID: ID(name), Path: dir + "/" + name, Bad: !ValidID(name)}
			if !yield(e, nil) {
				return false
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil && !yield(Entry{Queue: queueName, Path: dir}, err) {
			return false
		}
		if err != nil {
			break
		}
	}
	for _, sub := range subs {
		if !q.scanDir(queueName, dir+"/"+sub, depth+1, yield) {
			return false
		}
	}
	return true
}

// Find returns the first of the named queues that has the message.
func (q *Queue) Find(id ID, queues ...string) (string, os.FileInfo, error) {
	for _, name := range queues {
		fi, err := q.Stat(name, id)
		if err == nil {
			return name, fi, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", nil, err
		}
	}
	return "", nil, &os.PathError{Op: "find", Path: string(id), Err: os.ErrNotExist}
}

// Free returns how many bytes of the file system the queue may still use.
func (q *Queue) Free() (int64, error) {
	var st unix.Statfs_t
	dir := filepath.Clean(q.dir + ".")
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}
