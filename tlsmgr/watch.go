package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// settle is how long the files must be quiet before they are loaded again:
// whoever renews a certificate writes more than one.
const settle = 3 * time.Second

// watcher notices changes of files that the process cannot reach any more:
// inotify watches that were set by root go on inside the jail.
type watcher struct {
	fd    int
	names map[string]bool // of the files, without their directories
	last  time.Time       // of the last change not yet acted upon
}

// newWatcher watches the directories of the files, and of what the files are
// symbolic links to.
func newWatcher(pairs []pair) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	w := &watcher{fd: fd, names: make(map[string]bool)}
	var all error
	for _, p := range pairs {
		for _, f := range []string{p.cert, p.key} {
			dirs := []string{filepath.Dir(f)}
			w.names[filepath.Base(f)] = true
			if real, err := filepath.EvalSymlinks(f); err == nil {
				dirs = append(dirs, filepath.Dir(real))
				w.names[filepath.Base(real)] = true
			}
			for _, d := range dirs {
				const mask = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_CREATE | unix.IN_DELETE
				if _, err := unix.InotifyAddWatch(fd, d, mask); err != nil {
					all = errors.Join(all, fmt.Errorf("watch %s: %w", d, err))
				}
			}
		}
	}
	return w, all
}

// changed reports that files changed and have been quiet since.
func (w *watcher) changed() bool {
	if w == nil {
		return false
	}
	buf := make([]byte, 16<<10)
	for range 100 {
		n, err := unix.Read(w.fd, buf)
		if n <= 0 || err != nil {
			break
		}
		if w.ours(buf[:n]) {
			w.last = time.Now()
		}
	}
	return !w.last.IsZero() && time.Since(w.last) >= settle
}

// ours reports whether one of the events is about one of our files. A record
// is four 32-bit words, the last of which is the length of the name behind it.
func (w *watcher) ours(b []byte) bool {
	for len(b) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(b[4:])
		size := binary.NativeEndian.Uint32(b[12:])
		b = b[unix.SizeofInotifyEvent:]
		if uint64(size) > uint64(len(b)) {
			break
		}
		name, _, _ := strings.Cut(string(b[:size]), "\x00")
		if w.names[name] || mask&unix.IN_Q_OVERFLOW != 0 {
			return true
		}
		b = b[size:]
	}
	return false
}
