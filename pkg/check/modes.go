package check

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// mode reports a file that others than root may change, because of its own
// owner or mode or because of its directory's. Who can write a table can read
// mail, and who can write main.cf can run programs as root.
func (k *checker) mode(path string, s config.Severity) {
	if k.files[path] || strings.HasPrefix(path, "{") {
		return
	}
	k.files[path] = true
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	if os.Geteuid() != 0 {
		// Without root there are no rights to gain.
		s = config.Caution
	}
	if text := writable(path, info); text != "" {
		k.add(config.Pos{File: path}, s, text)
	}
	dir := filepath.Dir(path)
	if k.files[dir] {
		return
	}
	k.files[dir] = true
	if info, err := os.Stat(dir); err == nil && info.Mode()&fs.ModeSticky == 0 {
		if text := writable(dir, info); text != "" {
			k.add(config.Pos{File: dir}, s, text)
		}
	}
}

// writable says who but the owner may write a file, or that the owner is
// neither root nor the one who asks, and what mends it.
func writable(path string, info fs.FileInfo) string {
	perm := info.Mode().Perm()
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case perm&0o002 != 0:
		return fmt.Sprintf("everybody may write it (mode %04o); run `chmod o-w %s`", perm, path)
	case perm&0o020 != 0 && ok && st.Gid != 0:
		return fmt.Sprintf("its group may write it (mode %04o); run `chmod g-w %s`", perm, path)
	case ok && st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Sprintf("it belongs to user %d, who may write it; it must belong to root: run `chown root %s`", st.Uid, path)
	}
	return ""
}

// secret reports a private key that everybody may read.
func (k *checker) secret(s *setting) {
	for _, path := range config.SplitList(s.value) {
		info, err := os.Stat(path)
		switch {
		case err != nil && os.IsNotExist(err) && strings.HasPrefix(path, "/"):
			k.add(s.at(path), config.Error, fmt.Sprintf("%s: %v", s.name, err))
		case err == nil && info.Mode().Perm()&0o006 != 0:
			k.add(s.at(path), config.Error, fmt.Sprintf("%s: everybody may read %s (mode %04o); run `chmod o-rw %s`", s.name, path, info.Mode().Perm(), path))
		}
	}
}
