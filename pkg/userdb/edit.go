package userdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// LockTimeout is how long an edit waits for another one.
const LockTimeout = 60 * time.Second

// File is the text of one file of the database, as it is edited: comments,
// empty lines and the order of all lines stay.
type File struct {
	path  string
	lines []string // without their ends
}

// ReadFile reads a file to look at it.
func ReadFile(path string) (*File, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return parseFile(path, text), nil
}

func parseFile(path, text string) *File {
	f := &File{path: path}
	lines(text, func(_, _ int, line string) { f.lines = append(f.lines, line) })
	return f
}

// text is the file as it is written.
func (f *File) text() string {
	var b strings.Builder
	for _, l := range f.lines {
		b.WriteString(l)
		b.WriteByte('\n')
	}
	return b.String()
}

// find returns the line of a login, or -1. The name is compared as it is
// looked up, without regard to case.
func (f *File) find(login string) int {
	key := fold(login)
	for i, line := range f.lines {
		if name, _, _ := strings.Cut(line, "\t"); name != "" && name[0] != '#' && fold(name) == key {
			return i
		}
	}
	return -1
}

// Logins returns the names of all records, also of those "uid=".
func (f *File) Logins() []string {
	var names []string
	for _, line := range f.lines {
		if name, _, ok, err := splitLine(line); ok && err == nil {
			names = append(names, name)
		}
	}
	return names
}

// Fields returns the fields of a record as they stand in the line.
func (f *File) Fields(login string) (list []Field, ok bool) {
	i := f.find(login)
	if i < 0 {
		return nil, false
	}
	_, fields, _ := strings.Cut(f.lines[i], "\t")
	return splitFields(fields), true
}

// Texts returns the fields of a record as they stand in the line, "name=value"
// each.
func (f *File) Texts(login string) []string {
	i := f.find(login)
	if i < 0 {
		return nil
	}
	_, fields, _ := strings.Cut(f.lines[i], "\t")
	return strings.Split(fields, "|")
}

func splitFields(fields string) []Field {
	var list []Field
	for item := range strings.SplitSeq(fields, "|") {
		if name, value, _ := strings.Cut(item, "="); item != "" {
			list = append(list, Field{name, value})
		}
	}
	return list
}

// Record returns the record of a login, or ErrUnknown.
func (f *File) Record(login string) (*Record, error) {
	i := f.find(login)
	if i < 0 {
		return nil, ErrUnknown
	}
	r, err := ParseLine(f.lines[i])
	if err != nil {
		return nil, at(err, f.path, i+1)
	}
	if r == nil {
		return nil, ErrUnknown
	}
	return r, nil
}

// Set stores fields: those that the record has get their new value in place,
// others come behind them, and a record that is not there at the end of the
// file.
func (f *File) Set(login string, fields ...Field) error {
	if err := checkLogin(login); err != nil {
		return err
	}
	var probe Record
	for _, field := range fields {
		if err := field.check(); err != nil {
			return err
		}
		if err := probe.setField(field.Name, field.Value); err != nil {
			return err
		}
	}
	i := f.find(login)
	if i < 0 {
		return f.put(len(f.lines), login, fields)
	}
	name, rest, _ := strings.Cut(f.lines[i], "\t")
	list := splitFields(rest)
	for _, field := range fields {
		list = slices.DeleteFunc(list, func() func(Field) bool {
			// Of a name that is there twice, one stays.
			seen := false
			return func(old Field) bool {
				again := seen && old.Name == field.Name
				seen = seen || old.Name == field.Name
				return again
			}
		}())
		if j := slices.IndexFunc(list, func(old Field) bool { return old.Name == field.Name }); j >= 0 {
			list[j].Value = field.Value
		} else {
			list = append(list, field)
		}
	}
	return f.put(i, name, list)
}

// put writes line i, or a new one behind all others.
func (f *File) put(i int, login string, list []Field) error {
	line := login + "\t" + joinFields(list)
	if len(list) == 0 {
		line = login
	}
	if len(line) > MaxLine {
		return syntaxErrorf("the record of %s would be longer than %d bytes", login, MaxLine)
	}
	if i == len(f.lines) {
		f.lines = append(f.lines, "")
	}
	f.lines[i] = line
	return nil
}

// Replace stores a whole record in place of the old one, or at the end.
func (f *File) Replace(r *Record) error {
	line, err := r.Format()
	if err != nil {
		return err
	}
	_, fields, _ := strings.Cut(line, "\t")
	i := f.find(r.Login)
	if i < 0 {
		i = len(f.lines)
	}
	return f.put(i, r.Login, splitFields(fields))
}

// Unset takes fields out of a record, and reports whether there is a record.
func (f *File) Unset(login string, names ...string) bool {
	i := f.find(login)
	if i < 0 {
		return false
	}
	name, rest, _ := strings.Cut(f.lines[i], "\t")
	list := slices.DeleteFunc(splitFields(rest), func(old Field) bool { return slices.Contains(names, old.Name) })
	return f.put(i, name, list) == nil
}

// Delete removes a record, and reports whether there was one.
func (f *File) Delete(login string) bool {
	i := f.find(login)
	if i < 0 {
		return false
	}
	f.lines = slices.Delete(f.lines, i, i+1)
	return true
}

// EditOptions say who owns a file that an edit makes; -1 is the process.
type EditOptions struct {
	UID, GID int
}

// Edit changes a file of the database: change gets its text, and what it made
// of it replaces the file at once, with the same mode and owner. Others that
// edit the file wait, Courier's userdb among them. A file that is not there is
// made, with mode 0600. When change returns an error, nothing happens.
func Edit(ctx context.Context, path string, o EditOptions, change func(*File) error) error {
	path, err := follow(path)
	if err != nil {
		return err
	}
	unlock, err := lockFile(ctx, filepath.Join(filepath.Dir(path), ".lock."+filepath.Base(path)))
	if err != nil {
		return err
	}
	defer unlock()
	mode := os.FileMode(0o600)
	f := &File{path: path}
	var st unix.Stat_t
	switch err := unix.Stat(path, &st); {
	case err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%s: not a file", path)
	case err == nil:
		if f, err = ReadFile(path); err != nil {
			return err
		}
		mode, o = os.FileMode(st.Mode&0o777), EditOptions{UID: int(st.Uid), GID: int(st.Gid)}
	case !errors.Is(err, fs.ErrNotExist):
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	before := f.text()
	if err := change(f); err != nil {
		return err
	}
	after := f.text()
	if before == after && mode&0o077 == 0 && st.Ino != 0 {
		return nil
	}
	if len(after) > MaxFile {
		return fmt.Errorf("%s: would be larger than %d bytes", path, MaxFile)
	}
	return replaceFile(path, mode, o, after)
}

// replaceFile writes the new text.
func replaceFile(path string, mode os.FileMode, o EditOptions, text string) error {
	var fs safefile.FS
	return fs.WriteAtomic(path, mode, func(w io.Writer) error {
		if err := chown(w, o.UID, o.GID); err != nil {
			return err
		}
		_, err := io.WriteString(w, text)
		return err
	})
}

// chown gives a file that is being written to its owner. Only root can, and
// only root needs to.
func chown(w io.Writer, uid, gid int) error {
	f, ok := w.(*os.File)
	if !ok || uid < 0 && gid < 0 || os.Geteuid() != 0 {
		return nil
	}
	return f.Chown(uid, gid)
}

// follow returns where a symbolic link leads, so that the link stays.
func follow(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	return real, err
}

// lockFile takes the lock that Courier's tool takes.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, LockTimeout)
	defer cancel()
	if err := safefile.Flock(ctx, f); err != nil {
		f.Close()
		return nil, fmt.Errorf("somebody else is editing: %w", err)
	}
	return func() { f.Close() }, nil
}
