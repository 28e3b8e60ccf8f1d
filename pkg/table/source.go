package table

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/table/text"
)

// source is an open file that a table was read from. The descriptor stays
// open so that changes are seen from inside a jail, where the path means
// something else.
type source struct {
	f            *os.File
	mtime, ctime unix.Timespec
}

// sources is embedded by tables that come from files.
type sources struct{ files []source }

// watch keeps f open and remembers its state.
func (s *sources) watch(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	s.files = append(s.files, source{f: f, mtime: st.Mtim, ctime: st.Ctim})
	return nil
}

// Changed reports whether a file of this table was edited, replaced or
// removed since it was opened.
func (s *sources) Changed() bool {
	for i := range s.files {
		var st unix.Stat_t
		src := &s.files[i]
		// The change time moves when an editor renames the old file to a
		// backup name, which leaves the link count and mtime alone.
		if unix.Fstat(int(src.f.Fd()), &st) != nil || st.Nlink == 0 ||
			st.Mtim != src.mtime || st.Ctim != src.ctime {
			return true
		}
	}
	return false
}

func (s *sources) close() error {
	var first error
	for _, src := range s.files {
		if err := src.f.Close(); err != nil && first == nil {
			first = err
		}
	}
	s.files = nil
	return first
}

// maxSource bounds a table source that is read into memory.
const maxSource = 512 << 20

// openSource opens a file for reading without waiting for the writer of a
// FIFO, and refuses what is not a regular file.
func openSource(path string) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: not a regular file", path)
	}
	if err == nil && info.Size() > maxSource {
		err = fmt.Errorf("open %s: larger than %d bytes", path, maxSource)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// openDatabaseError is Postfix's text about a file that cannot be opened.
func openDatabaseError(path string, err error) error {
	if reason := Reason(err); reason != err {
		return fmt.Errorf("open database %s: %w", path, reason)
	}
	return err
}

// Reason is an error of a call without the call.
func Reason(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// openTextHash reads a postmap source into memory.
func openTextHash(name string, o *Options) (Table, error) {
	if strings.HasPrefix(name, "{") {
		rules, err := inlineRules("texthash", name)
		if err != nil {
			return nil, err
		}
		return readMem(strings.NewReader(rules), name, false, o)
	}
	f, _, err := openSource(name)
	if err != nil {
		return nil, openDatabaseError(name, err)
	}
	return readMemFile(f, name, false, o)
}

// readMemFile reads the text in f, and keeps f open to see changes.
func readMemFile(f *os.File, name string, aliases bool, o *Options) (*memTable, error) {
	var s sources
	// Watch first: an edit while we read must count as a change.
	if err := s.watch(f); err != nil {
		f.Close()
		return nil, err
	}
	t, err := readMem(f, name, aliases, o)
	if err != nil {
		f.Close()
		return nil, err
	}
	t.sources = s
	return t, nil
}

func readMem(r io.Reader, name string, aliases bool, o *Options) (*memTable, error) {
	t := newMem(o)
	add := func(e text.Entry) error {
		if !t.add(e.Key, e.Value) {
			o.warn("%s, line %d: duplicate entry: \"%s\"", name, e.Line, e.Key)
		}
		return nil
	}
	report := func(p text.Problem) {
		o.warn("%s", p.Ignored().In(name))
	}
	s := text.Source{Add: add, Report: report, UTF8: o.UTF8}
	read := s.ReadMap
	if aliases {
		read = s.ReadAliases
	}
	if err := read(r); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return t, nil
}
