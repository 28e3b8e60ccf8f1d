package table

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// unixRefresh is how long a copy of /etc/passwd or /etc/group is used before
// its file is looked at again. In a jail the file is out of sight, and the
// descriptor tells when it was replaced: the daemon then restarts.
const unixRefresh = 10 * time.Second

// unixTable is passwd.byname or group.byname: the whole line under the name.
// The file is read by our own parser, before the jail, since the C library
// is not there and nothing can be read later.
type unixTable struct {
	path string
	fold func(key string) string
	now  func() time.Time

	mu      sync.Mutex
	lines   map[string]string
	source  sources
	checked time.Time
}

// maxUnixLine bounds a line: a group may have many members.
const maxUnixLine = 1 << 20

func openUnix(name string, o *Options) (Table, error) {
	t := &unixTable{now: time.Now, fold: o.fold}
	switch name {
	case "passwd.byname":
		t.path = o.Root + "/etc/passwd"
	case "group.byname":
		t.path = o.Root + "/etc/group"
	default:
		return nil, fmt.Errorf("unknown table: unix:%s", name)
	}
	if err := t.load(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *unixTable) load() error {
	f, _, err := openSource(t.path)
	if err != nil {
		return err
	}
	var s sources
	if err := s.watch(f); err != nil {
		f.Close()
		return err
	}
	lines, err := readColonFile(f)
	if err != nil {
		s.close()
		return fmt.Errorf("read %s: %w", t.path, err)
	}
	t.source.close()
	t.source, t.lines, t.checked = s, lines, t.now()
	return nil
}

// readColonFile maps the first field of each line to the line. The first line
// of a name counts, as for the C library.
func readColonFile(f *os.File) (map[string]string, error) {
	lines := map[string]string{}
	in := bufio.NewScanner(f)
	in.Buffer(nil, maxUnixLine)
	for in.Scan() {
		line := in.Text()
		name, rest, ok := strings.Cut(line, ":")
		// "+" and "-" lines refer to NIS.
		if !ok || name == "" || strings.ContainsAny(name[:1], "#+-") || !strings.Contains(rest, ":") {
			continue
		}
		if _, dup := lines[name]; !dup {
			lines[name] = line
		}
	}
	return lines, in.Err()
}

func (t *unixTable) Lookup(_ context.Context, key string) (string, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now().Sub(t.checked) > unixRefresh {
		t.checked = t.now()
		if t.source.Changed() {
			// This fails in a jail, where the old copy has to do until the
			// daemon restarts.
			_ = t.load()
		}
	}
	v, ok := t.lines[key]
	if !ok {
		// Postfix asks for names in lower case only.
		v, ok = t.lines[t.fold(key)]
	}
	return v, ok, nil
}

// Changed reports whether the file changed and could not be read again.
func (t *unixTable) Changed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.source.Changed()
}

func (t *unixTable) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.source.close()
}
