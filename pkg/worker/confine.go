package worker

import (
	"os"
	"path/filepath"
	"slices"
)

// Confine returns the Dirs of an Identity that works in a mailbox and a home
// directory. One that is not there yet is replaced by the nearest directory
// above it that is, in which the worker makes it if it has the right to.
func Confine(dirs ...string) []string {
	var list []string
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			continue
		}
		dir = filepath.Clean(dir)
		for dir != "/" {
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				break
			}
			dir = filepath.Dir(dir)
		}
		// The root directory would be no confinement.
		if dir != "/" && !slices.Contains(list, dir) {
			list = append(list, dir)
		}
	}
	if list == nil {
		return dirs // a worker without any would not be confined at all
	}
	return list
}
