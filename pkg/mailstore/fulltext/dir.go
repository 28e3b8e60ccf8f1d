package fulltext

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Dir is where the index of a folder is. The directory need not be there.
type Dir struct {
	FS   *safefile.FS
	Path string
	Header
}

const (
	suffix   = ".words"
	lockName = "lock"
	// maxSegments bounds what is looked at; more are not made.
	maxSegments = 64
	// manySegments of about the same size become one.
	manySegments = 6
)

// Exists reports whether there is an index, though maybe an empty one.
func (d *Dir) Exists() bool {
	_, err := os.Lstat(d.Path)
	return err == nil
}

// Index is the segments of a directory at one moment.
type Index struct {
	segments []*segment
	files    []*os.File
	names    []string
}

// Open opens the index, which is empty if there is none. Segments that are not
// good are left out.
func (d *Dir) Open() (*Index, error) {
	ix := new(Index)
	names, err := d.list()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if len(ix.segments) == maxSegments || !strings.HasSuffix(name, suffix) {
			continue
		}
		s, file, err := d.openSegment(name)
		if err != nil {
			continue // as if it were not there
		}
		ix.segments, ix.files, ix.names = append(ix.segments, s), append(ix.files, file), append(ix.names, name)
	}
	return ix, nil
}

func (d *Dir) openSegment(name string) (*segment, *os.File, error) {
	file, st, err := d.FS.Open(filepath.Join(d.Path, name), os.O_RDONLY, safefile.Check{Owner: safefile.AnyOwner})
	if err != nil {
		return nil, nil, err
	}
	s, err := readSegment(file, st.Size, d.Header)
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return s, file, nil
}

// list returns what is in the directory, in order.
func (d *Dir) list() ([]string, error) {
	f, err := os.Open(d.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(16 * maxSegments)
	if err == io.EOF {
		err = nil
	}
	sort.Strings(names)
	return names, err
}

// Close closes the files.
func (ix *Index) Close() {
	for _, f := range ix.files {
		f.Close()
	}
}

// Len is the number of messages in the index, those that are gone among them.
func (ix *Index) Len() int {
	n := 0
	for _, s := range ix.segments {
		n += len(s.docs)
	}
	return n
}

// Has reports whether a message is in the index.
func (ix *Index) Has(uid uint32) bool {
	for _, s := range ix.segments {
		if _, ok := s.find(uid); ok {
			return true
		}
	}
	return false
}

func (s *segment) find(uid uint32) (int, bool) {
	if len(s.docs) == 0 || uid < s.docs[0].uid || uid > s.docs[len(s.docs)-1].uid {
		return 0, false
	}
	i := sort.Search(len(s.docs), func(i int) bool { return s.docs[i].uid >= uid })
	return i, s.docs[i].uid == uid
}

// Update is the right to change an index, which one process has at a time.
type Update struct {
	dir  *Dir
	lock *os.File
}

// Begin begins an update. It returns nil when another one is under way.
func (d *Dir) Begin() (*Update, error) {
	if !d.Exists() {
		if err := d.FS.Mkdir(d.Path, 0o700); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(d.Path, lockName)
	check := safefile.Check{Owner: safefile.AnyOwner}
	lock, _, err := d.FS.Open(path, os.O_RDWR, check)
	if errors.Is(err, os.ErrNotExist) {
		if lock, err = d.FS.Create(path, 0o600); errors.Is(err, os.ErrExist) {
			lock, _, err = d.FS.Open(path, os.O_RDWR, check)
		}
	}
	if err != nil {
		return nil, err
	}
	if ok, err := safefile.TryLockOFD(lock); err != nil || !ok {
		lock.Close()
		return nil, err
	}
	u := &Update{d, lock}
	if err := u.clean(); err != nil {
		u.End()
		return nil, err
	}
	return u, nil
}

// End ends the update.
func (u *Update) End() { u.lock.Close() }

// clean removes what is of no use: files of an update that was killed, and
// segments that are damaged or of another mailbox.
func (u *Update) clean() error {
	names, err := u.dir.list()
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == lockName {
			continue
		}
		if strings.HasSuffix(name, suffix) {
			_, file, err := u.dir.openSegment(name)
			if err == nil {
				file.Close()
				continue
			}
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, errStale) {
				continue
			}
		}
		u.remove(name)
	}
	return nil
}

// remove removes a file. One that stays costs room only.
func (u *Update) remove(name string) { _ = u.dir.FS.Remove(filepath.Join(u.dir.Path, name)) }

// Add writes what a builder has as a new segment and empties the builder.
func (u *Update) Add(b *Builder) error {
	err := u.write(func(w io.Writer) error { return b.write(w, u.dir.Header) })
	*b = Builder{}
	return err
}

func (u *Update) write(fill func(io.Writer) error) error {
	name := fmt.Sprintf("%016x%s", time.Now().UnixNano(), suffix)
	f, err := u.dir.FS.Replace(filepath.Join(u.dir.Path, name), 0o600, fill)
	if err != nil {
		return err
	}
	return f.Close()
}

// Tidy merges segments where there are many of like size or much in them is of
// no use. keep tells which messages are still there. It is called again until
// it returns false.
func (u *Update) Tidy(keep func(uid uint32) bool) (more bool, err error) {
	ix, err := u.dir.Open()
	if err != nil {
		return false, err
	}
	defer ix.Close()
	chosen := ix.choose(keep)
	if len(chosen) == 0 {
		return false, nil
	}
	var segments []*segment
	for _, i := range chosen {
		segments = append(segments, ix.segments[i])
	}
	err = u.write(func(w io.Writer) error { return merge(w, u.dir.Header, segments, keep) })
	if err != nil && !errors.Is(err, ErrDamaged) {
		return false, err
	}
	if err != nil {
		// One of them cannot be read: that one goes, the others stay.
		for _, i := range chosen {
			if ix.segments[i].verify() != nil {
				u.remove(ix.names[i])
			}
		}
		return false, nil
	}
	for _, i := range chosen {
		u.remove(ix.names[i])
	}
	return true, nil
}

// choose returns the segments to merge next.
func (ix *Index) choose(keep func(uid uint32) bool) []int {
	order := make([]int, len(ix.segments))
	for i, s := range ix.segments {
		order[i] = i
		gone := 0
		for _, d := range s.docs {
			if !keep(d.uid) {
				gone++
			}
		}
		if gone > 0 && gone >= len(s.docs)/3 {
			return []int{i}
		}
	}
	slices.SortFunc(order, func(a, b int) int { return len(ix.segments[a].docs) - len(ix.segments[b].docs) })
	for n := 0; n+manySegments <= len(order); n++ {
		total := 0
		for _, i := range order[n : n+manySegments] {
			total += len(ix.segments[i].docs)
		}
		biggest := len(ix.segments[order[n+manySegments-1]].docs)
		if total <= maxDocs && (biggest <= total/3 || len(order) > maxSegments/2) {
			return order[n : n+manySegments]
		}
	}
	return nil
}

// verify reads all of a segment.
func (s *segment) verify() error {
	var e entries
	for n := range s.blocks {
		if err := e.read(s, n); err != nil {
			return err
		}
		for {
			ok, err := e.next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if _, _, err := e.postings(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Remove removes the index.
func (u *Update) Remove() error {
	names, err := u.dir.list()
	for _, name := range names {
		if name != lockName {
			err = errors.Join(err, u.dir.FS.Remove(filepath.Join(u.dir.Path, name)))
		}
	}
	return err
}

// Size is how many bytes the files have.
func (d *Dir) Size() (n int64) {
	names, _ := d.list()
	for _, name := range names {
		if info, err := os.Lstat(filepath.Join(d.Path, name)); err == nil {
			n += info.Size()
		}
	}
	return n
}
