// Package dbfile is what the tables in databases have in common: the file of
// name = value lines that describes one (pgsql_table(5), ldap_table(5)), and
// the templates with %s, %u and %d in it.
package dbfile

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// maxFile bounds the file of a table.
const maxFile = 1 << 20

// File is the description of one table.
type File struct {
	path   string
	values map[string]string
	used   map[string]bool
}

// Read reads a description.
func Read(path string) (*File, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("%s: the name of the file must begin with /", path)
	}
	b, err := readAll(path)
	if err != nil {
		return nil, err
	}
	m, err := config.ParseMain(bytes.NewReader(b), path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, values: map[string]string{}, used: map[string]bool{}}
	for name, e := range m.Entries {
		f.values[name] = e.Value
	}
	return f, nil
}

func readAll(path string) ([]byte, error) {
	var fs safefile.FS
	f, st, err := fs.Open(path, 0, safefile.Check{Owner: safefile.AnyOwner, Forbidden: 0o002})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st.Size > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	b := make([]byte, st.Size)
	n, err := f.ReadAt(b, 0)
	if n < len(b) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}

// Path returns the name of the file.
func (f *File) Path() string { return f.path }

// Has reports whether a name is set.
func (f *File) Has(name string) bool { return f.values[name] != "" }

// Str returns a value.
func (f *File) Str(name, def string) string {
	f.used[name] = true
	if v := f.values[name]; v != "" {
		return v
	}
	return def
}

// Words returns a value that is a list.
func (f *File) Words(name string, def ...string) []string {
	v := strings.FieldsFunc(f.Str(name, ""), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\n' })
	if len(v) == 0 {
		return def
	}
	return v
}

// Int returns a number.
func (f *File) Int(name string, def, low, high int) (int, error) {
	n, err := strconv.Atoi(f.Str(name, strconv.Itoa(def)))
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s: %s: want a number from %d to %d", f.path, name, low, high)
	}
	return n, nil
}

// Bool returns yes or no.
func (f *File) Bool(name string, def bool) (bool, error) {
	switch strings.ToLower(f.Str(name, "")) {
	case "":
		return def, nil
	case "yes":
		return true, nil
	case "no":
		return false, nil
	}
	return false, fmt.Errorf("%s: %s: want yes or no", f.path, name)
}

// Seconds returns a time, in seconds where it has no unit.
func (f *File) Seconds(name string, def time.Duration) (time.Duration, error) {
	v := f.Str(name, "")
	if v == "" {
		return def, nil
	}
	if n, err := strconv.Atoi(v); err == nil {
		v = strconv.Itoa(n) + "s"
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 || d > 24*time.Hour {
		return 0, fmt.Errorf("%s: %s: want a time", f.path, name)
	}
	return d, nil
}

// Unknown returns the names that nobody asked for, for a warning.
func (f *File) Unknown() []string {
	var names []string
	for n := range f.values {
		if !f.used[n] {
			names = append(names, n)
		}
	}
	return names
}
