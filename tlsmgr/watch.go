package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// settle is how long the files must be quiet before they are loaded again:
// whoever renews a certificate writes more than one.
const settle = 3 * time.Second

// watcher notices changes of files that the process cannot reach any more:
// inotify watches that were set by root go on inside the jail.
type watcher struct {
	fd   int
	last time.Time // of the last change not yet acted upon
}

// newWatcher watches the directories of the files, and of what the files are
// symbolic links to.
func newWatcher(pairs []pair) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	w := &watcher{fd: fd}
	var all error
	for _, p := range pairs {
		for _, f := range []string{p.cert, p.key} {
			dirs := []string{filepath.Dir(f)}
			if real, err := filepath.EvalSymlinks(f); err == nil {
				dirs = append(dirs, filepath.Dir(real))
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
		w.last = time.Now()
	}
	return !w.last.IsZero() && time.Since(w.last) >= settle
}
