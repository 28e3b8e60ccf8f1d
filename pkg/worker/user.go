package worker

import (
	"path/filepath"
	"strings"
)

// UserDirs returns the directories that a process of a mail user needs: home
// and mail, or base where both are below it, so that users of one uid share a
// process and those that do not exist yet can be made. base may be empty.
func UserDirs(home, mail, base string) []string {
	mail = filepath.Clean(mail)
	if filepath.IsAbs(base) && filepath.Clean(base) != "/" && Below(mail, base) && (home == "" || Below(home, base)) {
		return []string{filepath.Clean(base)}
	}
	if home == "" {
		return []string{mail}
	}
	if Below(mail, home) {
		return []string{filepath.Clean(home)}
	}
	return []string{filepath.Clean(home), mail}
}

// Below reports whether path is dir or in it.
func Below(path, dir string) bool {
	path, dir = filepath.Clean(path), filepath.Clean(dir)
	return path == dir || strings.HasPrefix(path, dir+"/")
}
