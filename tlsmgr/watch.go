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

// halfSettle is how long a pair of which only one file has changed is waited
// for: the keys in memory fit their certificates, and what is on disk probably
// does not. A certificate that was renewed for the same key is in use only
// then, which is soon enough.
const halfSettle = time.Minute

// watcher notices changes of files that the process cannot reach any more:
// inotify watches that were set by root go on inside the jail.
type watcher struct {
	fd    int
	files map[place][]side
	seen  map[side]bool // what changed and was not yet acted upon
	last  time.Time     // of the last such change
	unfit map[int]bool  // pairs that any change can only mend
}

// place is a name in a watched directory.
type place struct {
	wd   int32
	name string
}

// side is the certificate or the key of a pair.
type side struct {
	pair int
	key  bool
}

// newWatcher watches the directories of the files, and of what the files are
// symbolic links to.
func newWatcher(pairs []pair) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	w := &watcher{fd: fd, files: make(map[place][]side), seen: make(map[side]bool)}
	var all error
	for i, p := range pairs {
		all = errors.Join(all, w.add(p.cert, side{i, false}), w.add(p.key, side{i, true}))
	}
	return w, all
}

// add watches one file.
func (w *watcher) add(file string, s side) error {
	paths := []string{file}
	if real, err := filepath.EvalSymlinks(file); err == nil && real != file {
		paths = append(paths, real)
	}
	var all error
	for _, path := range paths {
		const mask = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_CREATE | unix.IN_DELETE
		wd, err := unix.InotifyAddWatch(w.fd, filepath.Dir(path), mask)
		if err != nil {
			all = errors.Join(all, fmt.Errorf("watch %s: %w", filepath.Dir(path), err))
			continue
		}
		at := place{int32(wd), filepath.Base(path)}
		w.files[at] = append(w.files[at], s)
	}
	return all
}

// changed reports that files changed and have been quiet since, longer if
// there may be more to come.
func (w *watcher) changed() bool {
	if w == nil {
		return false
	}
	w.read()
	wait := settle
	for s := range w.seen {
		if !w.seen[side{s.pair, !s.key}] && !w.unfit[s.pair] {
			wait = halfSettle
		}
	}
	return !w.last.IsZero() && time.Since(w.last) >= wait
}

// forget drops what has changed so far, since the files are about to be read.
func (w *watcher) forget() {
	if w != nil {
		w.read()
		clear(w.seen)
		w.last = time.Time{}
	}
}

// expect names the pairs for which one changed file is enough.
func (w *watcher) expect(unfit []int) {
	if w != nil {
		w.unfit = make(map[int]bool)
		for _, i := range unfit {
			w.unfit[i] = true
		}
	}
}

// read takes the events that there are.
func (w *watcher) read() {
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
}

// ours notes events about our files and reports whether there was one. A record
// is four 32-bit words, the first of which is the watch and the last the length
// of the name behind it.
func (w *watcher) ours(b []byte) bool {
	found := false
	for len(b) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(b))
		mask := binary.NativeEndian.Uint32(b[4:])
		size := binary.NativeEndian.Uint32(b[12:])
		b = b[unix.SizeofInotifyEvent:]
		if uint64(size) > uint64(len(b)) {
			break
		}
		name, _, _ := strings.Cut(string(b[:size]), "\x00")
		for at, sides := range w.files {
			if at != (place{wd, name}) && mask&unix.IN_Q_OVERFLOW == 0 {
				continue
			}
			found = true
			for _, s := range sides {
				w.seen[s] = true
			}
		}
		b = b[size:]
	}
	return found
}
