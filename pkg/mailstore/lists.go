package mailstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/takeover"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Text files in the root of a store, one thing a line.
const (
	fileSubscriptions = "posthouse-subscriptions"
	fileUses          = "posthouse-special-use"
	fileRootLock      = "posthouse-root.lock"
)

const maxTextFile = 4 << 20

// readLines reads a text file of the root; missing ones are empty.
func (s *Store) readLines(dir, name string) ([]string, error) {
	f, st, err := s.fs.Open(filepath.Join(dir, name), os.O_RDONLY, safefile.Check{Owner: safefile.AnyOwner})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st.Size > maxTextFile {
		return nil, fmt.Errorf("%s: %w", f.Name(), safefile.ErrUnsafe)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxTextFile))
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			out = append(out, line)
		}
	}
	return out, nil
}

func (s *Store) writeLines(dir, name string, lines []string) error {
	return s.fs.WriteAtomic(filepath.Join(dir, name), 0o600, func(w io.Writer) error {
		for _, line := range lines {
			if _, err := io.WriteString(w, line+"\n"); err != nil {
				return err
			}
		}
		return nil
	})
}

// rootLocked calls fn with the lock of the store's text files and its quota.
func (s *Store) rootLocked(dir string, fn func() error) error {
	unlock, err := s.lockRoot(dir)
	if err != nil {
		return err
	}
	defer unlock()
	return temporary(fn())
}

// lockRoot takes the lock of rootLocked.
func (s *Store) lockRoot(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, fileRootLock)
	f, _, err := s.fs.Open(path, os.O_RDWR, safefile.Check{Owner: safefile.AnyOwner})
	if errors.Is(err, os.ErrNotExist) {
		if f, err = s.fs.Create(path, 0o600); errors.Is(err, os.ErrExist) {
			f, _, err = s.fs.Open(path, os.O_RDWR, safefile.Check{Owner: safefile.AnyOwner})
		}
	}
	if err != nil {
		return nil, temporary(err)
	}
	ctx, cancel := contextFor(lockPatience)
	defer cancel()
	if err := lockSoon(ctx, f); err != nil {
		f.Close()
		return nil, temporary(err)
	}
	return func() { f.Close() }, nil
}

// Subscriptions returns the names that the user has subscribed to, sorted,
// also those of folders that are not there. The first time they are those of
// the server that had the Maildir before.
func (s *Store) Subscriptions() ([]string, error) {
	lines, err := s.readLines(s.o.Root, fileSubscriptions)
	if errors.Is(err, os.ErrNotExist) {
		if lines, err = takeover.Subscriptions(s.o.Root, s.utf8[s.o.Root]); err != nil {
			return nil, temporary(err)
		}
	}
	if err != nil {
		return nil, temporary(err)
	}
	out := lines[:0]
	for _, line := range lines {
		if name, err := Canonical(line); err == nil {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return slices.Compact(out), nil
}

// Subscribe adds a name to the subscriptions, whether there is such a folder
// or not (RFC 9051 6.3.7 leaves that to the server).
func (s *Store) Subscribe(name string) error {
	return s.changeSubscriptions(name, func(list []string, name string) []string { return append(list, name) })
}

// Unsubscribe takes a name out of the subscriptions.
func (s *Store) Unsubscribe(name string) error {
	return s.changeSubscriptions(name, func(list []string, name string) []string {
		return slices.DeleteFunc(list, func(n string) bool { return n == name })
	})
}

func (s *Store) changeSubscriptions(name string, change func([]string, string) []string) error {
	name, err := Canonical(name)
	if err != nil {
		return err
	}
	return s.rootLocked(s.o.Root, func() error {
		list, err := s.Subscriptions()
		if err != nil {
			return err
		}
		list = change(list, name)
		sort.Strings(list)
		return s.writeLines(s.o.Root, fileSubscriptions, slices.Compact(list))
	})
}

// specialUses returns the special-use attributes by folder name: those that
// were set, else those of the options.
func (s *Store) specialUses() (map[string][]string, error) {
	lines, err := s.readLines(s.o.Root, fileUses)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, temporary(err)
	}
	out := make(map[string][]string)
	given := make(map[string]bool)
	for _, line := range lines {
		if attr, name, ok := strings.Cut(line, " "); ok && attr != "-" {
			out[name] = append(out[name], attr)
			given[attr] = true
		}
	}
	for name, attr := range s.o.SpecialUse {
		// One folder for each use, lest a client finds two for Sent.
		if !given[attr] {
			out[name] = append(out[name], attr)
		}
	}
	return out, nil
}

// knownUses are the attributes of RFC 6154 2 and RFC 8457 4.
var knownUses = []string{"All", "Archive", "Drafts", "Flagged", "Important", "Junk", "Sent", "Trash"}

// ErrBadUse reports a special-use attribute that is not known.
var ErrBadUse = errors.New("unknown special use")

func (s *Store) setSpecialUse(name string, use []string) error {
	for _, u := range use {
		if !slices.Contains(knownUses, u) {
			return ErrBadUse
		}
	}
	return s.editUses(func(lines []string) []string {
		lines = slices.DeleteFunc(lines, func(l string) bool {
			_, n, _ := strings.Cut(l, " ")
			return n == name
		})
		for _, u := range use {
			lines = append(lines, u+" "+name)
		}
		return lines
	})
}

func (s *Store) renameUse(from, to string) error {
	return s.editUses(func(lines []string) []string {
		for i, l := range lines {
			if attr, n, _ := strings.Cut(l, " "); n == from {
				lines[i] = attr + " " + to
			}
		}
		return lines
	})
}

// editUses changes the file if edit changes something.
func (s *Store) editUses(edit func([]string) []string) error {
	return s.rootLocked(s.o.Root, func() error {
		lines, err := s.readLines(s.o.Root, fileUses)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		changed := edit(slices.Clone(lines))
		if slices.Equal(changed, lines) {
			return nil
		}
		return s.writeLines(s.o.Root, fileUses, changed)
	})
}

// makeSpecialUse makes the folders of the options when the store is opened
// first: somebody who deletes one later does not get it again.
func (s *Store) makeSpecialUse() error {
	if len(s.o.SpecialUse) == 0 {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(s.o.Root, fileUses)); err == nil {
		return nil
	}
	names := make([]string, 0, len(s.o.SpecialUse))
	for name := range s.o.SpecialUse {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := s.Create(name); err != nil && !errors.Is(err, ErrExists) {
			return err
		}
		if !s.o.Subscribe {
			continue
		}
		if err := s.Subscribe(name); err != nil {
			return err
		}
	}
	return s.rootLocked(s.o.Root, func() error { return s.writeLines(s.o.Root, fileUses, []string{"- made"}) })
}
