package main

import (
	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/service/masterlink"
)

// keptFile returns the file in memory in which a process may leave something for
// the next one, where a service has one process at a time; else, and when there
// is no memory for it, 0. Master neither reads nor writes it, and gives up one
// that is larger than any process may leave.
func (m *master) keptFile(s *service) int {
	if s.cfg.MaxProc != 1 {
		s.dropKept()
		return 0
	}
	var st unix.Stat_t
	if s.kept > 0 && (unix.Fstat(s.kept, &st) != nil || st.Size > masterlink.MaxKept) {
		s.dropKept()
	}
	if s.kept > 0 {
		return s.kept
	}
	fd, err := unix.MemfdCreate("posthouse-kept", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // Linux before 6.3
		fd, err = unix.MemfdCreate("posthouse-kept", unix.MFD_CLOEXEC)
	}
	if err != nil {
		m.log.Warn("", "%s: file to hand on: %v", s.cfg.Name, err)
		return 0
	}
	s.kept = fd
	return fd
}

// dropKept forgets what the last process left.
func (s *service) dropKept() {
	if s.kept > 0 {
		unix.Close(s.kept)
	}
	s.kept = 0
}
