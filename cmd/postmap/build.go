package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/cdb"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/text"
)

// content is the entries of a table on their way into its index.
type content struct {
	values map[string]string
	order  []string
}

// set stores a value. It reports false, and does nothing, if the key is there
// and must not be replaced.
func (n *content) set(key, value string, replace bool) bool {
	if _, dup := n.values[key]; dup {
		if replace {
			n.values[key] = value
		}
		return replace
	}
	n.values[key] = value
	n.order = append(n.order, key)
	return true
}

// build makes or extends the index of one table.
func (c *command) build(kind, path string) error {
	if kind == "proxy" {
		return errors.New("can't create maps via the proxy service")
	}
	restore, err := c.becomeOwner(path)
	if errors.Is(err, os.ErrNotExist) {
		err = c.notThere(path, err)
	}
	if err != nil {
		return err
	}
	defer restore()
	source, start, mode, err := c.openText(path)
	if err != nil {
		return err
	}
	if source != nil {
		defer source.Close()
	}
	if err := indexed(kind); err != nil {
		return err
	}
	unlock, err := c.lock(path)
	if err != nil {
		return err
	}
	defer unlock()
	n := &content{values: map[string]string{}}
	in := io.Reader(source)
	if c.add {
		if err := c.loadIndex(n, kind, path); err != nil {
			return err
		}
		in, start = c.in, time.Now()
	}
	if err := c.readText(n, in, path); err != nil {
		return err
	}
	if c.name == "postalias" {
		c.sign(n, path)
	}
	return c.write(n, path, mode, start)
}

// notThere is the error about a file in a directory that does not exist.
func (c *command) notThere(path string, err error) error {
	if c.add {
		return fmt.Errorf("open database %s%s: %w", path, table.IndexSuffix, table.Reason(err))
	}
	return fmt.Errorf("open %s: %w", path, table.Reason(err))
}

// openText opens the source and finds the mode and the time that its index
// is to have. With -i there need be no source.
func (c *command) openText(path string) (*os.File, time.Time, os.FileMode, error) {
	mode := os.FileMode(0o644)
	f, err := os.Open(path)
	if err != nil {
		if c.add && errors.Is(err, os.ErrNotExist) {
			return nil, time.Now(), mode, nil
		}
		return nil, time.Time{}, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory", path)
	}
	if err != nil {
		f.Close()
		return nil, time.Time{}, 0, err
	}
	if !c.ownMode {
		mode = 0o600 | info.Mode().Perm()&0o044
	}
	// An edit from now on must leave the text newer than the index; one
	// second allows for clocks that tick slowly.
	start := time.Now().Add(-time.Second)
	if info.ModTime().After(start) {
		start = info.ModTime()
	}
	return f, start, mode, nil
}

// readText adds the entries of a text.
func (c *command) readText(n *content, in io.Reader, path string) error {
	name := path
	if c.add {
		name = "stdin"
	}
	report := func(p text.Problem) { c.log.Warn("", "%s", p.In(name)) }
	add := func(e text.Entry) error {
		if c.fromFiles {
			v, err := fileContents(e.Value)
			if err != nil {
				c.log.Warn("", "%s, line %d: %v: skipping this entry", name, e.Line, err)
				return nil
			}
			e.Value = v
		}
		c.put(n, path, c.fold(e.Key), e.Value, c.replace)
		return nil
	}
	s := text.Source{Add: add, Report: report, UTF8: c.param.UTF8 && !c.noUTF8}
	read := s.ReadMap
	if c.name == "postalias" {
		read = s.ReadAliases
	}
	if err := read(in); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// put stores a value, and warns about a key that is there already.
func (c *command) put(n *content, path, key, value string, replace bool) {
	if !n.set(key, value, replace) && !c.ignore {
		c.log.Warn("", "%s%s: duplicate entry: \"%s\"", path, table.IndexSuffix, key)
	}
}

// fileContents reads the files of a -F value, with a newline in between, and
// returns them in base64.
func fileContents(names string) (string, error) {
	var all []byte
	for i, name := range strings.FieldsFunc(names, func(r rune) bool { return strings.ContainsRune(", \t", r) }) {
		b, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		if i > 0 {
			all = append(all, '\n')
		}
		all = append(all, b...)
	}
	if len(all) == 0 {
		return "", fmt.Errorf("empty file: %s", names)
	}
	return base64.StdEncoding.EncodeToString(all), nil
}

// sign adds what Sendmail and NIS expect in an alias file.
func (c *command) sign(n *content, path string) {
	for _, e := range [][2]string{
		{"@", "@"},
		{"YP_LAST_MODIFIED", strconv.FormatInt(time.Now().Unix(), 10)},
		{"YP_MASTER_NAME", c.param.Hostname},
	} {
		// With -i, what an earlier run wrote is replaced.
		c.put(n, path, e[0], e[1], c.add || c.replace)
	}
}

// loadIndex reads the entries that are there already.
func (c *command) loadIndex(n *content, kind, path string) error {
	t, err := c.open(kind+":"+path, "")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer t.Close()
	l, ok := t.(table.Lister)
	if !ok {
		return fmt.Errorf("table %s:%s: sequence operation is not supported", kind, path)
	}
	return l.All(func(k, v string) bool {
		n.set(k, v, false)
		return true
	})
}

// write replaces the index in one step.
func (c *command) write(n *content, path string, mode os.FileMode, mtime time.Time) error {
	var w cdb.Writer
	end := ""
	if c.withNUL {
		end = "\x00"
	}
	for _, k := range n.order {
		v, ok := n.values[k]
		if !ok {
			continue
		}
		if err := w.Put(k+end, v+end); err != nil {
			return err
		}
	}
	index := path + table.IndexSuffix
	err := c.fs.WriteAtomic(index, mode, func(dst io.Writer) error {
		_, err := w.WriteTo(dst)
		return err
	})
	if err != nil {
		return err
	}
	if err := os.Chtimes(index, mtime, mtime); err != nil {
		return err
	}
	if c.verbose {
		c.log.Info("", "%s: %d entries", index, len(n.values))
	}
	return nil
}

// lock keeps two runs from losing each other's changes. The lock is on the
// directory, since the index is replaced and the text belongs to editors.
func (c *command) lock(path string) (func(), error) {
	dir := "."
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		dir = path[:i+1]
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := safefile.Flock(c.ctx, d); err != nil {
		d.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { d.Close() }, nil
}
