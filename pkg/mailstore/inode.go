package mailstore

import (
	"hash/crc32"
	"os"
	"syscall"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// inodeOf returns the inode number of a file.
func inodeOf(info os.FileInfo) (uint64, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Ino, true
}
