package usertool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// The control files of Courier that have a place in the configuration
// directory. What a tool makes of SOURCE is the table SOURCE.map, in the form of
// postmap(1), which main.cf names: hash:$config_directory/SOURCE.map. So there
// is one table, however it is written.
const (
	LocalsFile  = "locals"                 // a list that mydestination can name as it is
	HostedFile  = "hosteddomains"          // makehosteddomains, for virtual_mailbox_domains
	AcceptFile  = "esmtpacceptmailfor"     // a list that relay_domains can name as it is
	AcceptDir   = "esmtpacceptmailfor.dir" // makeacceptmailfor
	AliasesFile = "aliases"                // makealiases, for virtual_alias_maps
	MapSuffix   = ".map"
)

// Limits of the control files.
const (
	maxSource  = 64 << 20
	maxSources = 10000
)

// Line is one line of a control file.
type Line struct {
	File   string
	Number int
	Text   string
}

// Errorf makes an error about the line.
func (l Line) Errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", l.File, l.Number, fmt.Sprintf(format, args...))
}

// ReadSource reads a file, or all files in a directory whose names do not start
// with a dot, line by line. Comments and empty lines are left out; white space
// at the start of a line stays.
func ReadSource(path string) ([]Line, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return readSourceFile(nil, path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	if len(entries) > maxSources {
		return nil, fmt.Errorf("%s: more than %d files", path, maxSources)
	}
	var list []Line
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		if info, err := os.Stat(name); strings.HasPrefix(e.Name(), ".") || err != nil || !info.Mode().IsRegular() {
			continue
		}
		if list, err = readSourceFile(list, name); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func readSourceFile(list []Line, path string) ([]Line, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxSource))
	lines.Buffer(make([]byte, 0, 4096), 1<<20)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimRight(lines.Text(), " \t\r")
		if strings.TrimSpace(text) != "" && text[0] != '#' {
			list = append(list, Line{path, n, text})
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return list, nil
}

// Pair is an entry of a table.
type Pair struct{ Key, Value string }

// WriteMap writes a table in the form of postmap(1), and its index.
func (s *Site) WriteMap(source string, pairs []Pair) error {
	path := source + MapSuffix
	var files safefile.FS
	err := files.WriteAtomic(path, 0o644, func(w io.Writer) error {
		out := bufio.NewWriter(w)
		fmt.Fprintf(out, "# Made from %s, which is the file to edit.\n", filepath.Base(source))
		for _, p := range pairs {
			fmt.Fprintf(out, "%s\t%s\n", p.Key, p.Value)
		}
		return out.Flush()
	})
	if err != nil {
		return err
	}
	// Daemons read the text where the index is missing or older.
	postmap := s.command("postmap")
	if _, err := os.Stat(postmap); err != nil {
		return nil
	}
	out, err := exec.Command(postmap, "-c", s.Dir, "hash:"+path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", postmap, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// command finds a command beside this one, or in command_directory.
func (s *Site) command(name string) string {
	if exe, err := os.Executable(); err == nil {
		path := filepath.Join(filepath.Dir(exe), name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return filepath.Join(s.CommandDir, name)
}

// Mentions tells whether a parameter names a file of the configuration
// directory.
func (s *Site) Mentions(param, file string) bool {
	value, err := s.Config.Value(param)
	if err != nil {
		return false
	}
	full := filepath.Join(s.Dir, file)
	for _, word := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
		if i := strings.LastIndexByte(word, ':'); word == full || i >= 0 && word[i+1:] == full {
			return true
		}
	}
	return false
}

// EditLines changes a text file that has a line for each thing. Comments stay
// with their lines. A file that is not there is made.
func EditLines(path string, change func(lines []string) ([]string, error)) error {
	lock, err := os.OpenFile(filepath.Join(filepath.Dir(path), ".lock."+filepath.Base(path)), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := safefile.Flock(ctx, lock); err != nil {
		return fmt.Errorf("somebody else is editing: %w", err)
	}
	var lines []string
	mode := os.FileMode(0o644)
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Mode().IsRegular() && info.Size() < maxSource:
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		mode = info.Mode().Perm()
		if len(text) > 0 {
			lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		}
	case err == nil:
		return fmt.Errorf("%s: not a file", path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if lines, err = change(lines); err != nil {
		return err
	}
	var files safefile.FS
	return files.WriteAtomic(path, mode, func(w io.Writer) error {
		for _, l := range lines {
			if _, err := io.WriteString(w, l+"\n"); err != nil {
				return err
			}
		}
		return nil
	})
}
