package queuetool

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// ownConfigDir reports whether a configuration directory and this program
// belong to one installation: nobody but root can change either, and main.cf
// names the program's folder as its command_directory. It returns the
// directory without symbolic links. A link to a setgid program in a folder of
// the caller's is therefore of no use to the caller, and neither is a main.cf
// that root wrote for something else.
func ownConfigDir(flag string) (string, bool) {
	exe, err := os.Executable()
	if err != nil {
		return "", false
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(exe))
	if err != nil || !onlyRootChanges(folder) {
		return "", false
	}
	dir, err := filepath.Abs(flag)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil || !onlyRootChanges(filepath.Join(dir, "main.cf")) {
		return "", false
	}
	cfg, err := config.Load(dir)
	if err != nil {
		return "", false
	}
	var p struct {
		CommandDir string `param:"command_directory"`
	}
	if err := cfg.Fill(&p); err != nil {
		return "", false
	}
	commands, err := filepath.EvalSymlinks(p.CommandDir)
	return dir, err == nil && commands == folder
}

// onlyRootChanges reports whether a path, which must have no symbolic links,
// leads to the same thing until root changes it.
func onlyRootChanges(path string) bool {
	for first := true; ; first = false {
		info, err := os.Lstat(path)
		if err != nil {
			return false
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || st.Uid != 0 || info.Mode()&os.ModeSymlink != 0 {
			return false
		}
		// In a sticky directory others cannot move what is root's.
		sticky := info.IsDir() && !first && info.Mode()&os.ModeSticky != 0
		if info.Mode().Perm()&0o022 != 0 && !sticky {
			return false
		}
		if path == "/" {
			return true
		}
		path = filepath.Dir(path)
	}
}
