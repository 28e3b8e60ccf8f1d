package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// becomeOwner takes the rights of the user to whom the text belongs, or else
// the directory that the index goes into. Root must not write where another
// user can put links in its way, nor read for that user what the name of the
// text leads to: it may be a link to the shadow file. The function that it
// returns goes back.
func (c *command) becomeOwner(path string) (func(), error) {
	nothing := func() {}
	if c.asRoot || os.Geteuid() != 0 {
		return nothing, nil
	}
	uid, gid, err := owner(path)
	if err != nil {
		return nil, err
	}
	if uid == 0 {
		return nothing, nil
	}
	groups, err := syscall.Getgroups()
	if err != nil {
		return nil, fmt.Errorf("get groups: %w", err)
	}
	back := func() {
		// Failing to become root again leaves fewer rights, not more.
		_ = syscall.Seteuid(0)
		_ = syscall.Setegid(os.Getgid())
		_ = syscall.Setgroups(groups)
	}
	if err := drop(uid, gid); err != nil {
		back()
		return nil, fmt.Errorf("become uid %d: %w", uid, err)
	}
	return back, nil
}

func drop(uid, gid int) error {
	if err := syscall.Setgroups([]int{gid}); err != nil {
		return err
	}
	if err := syscall.Setegid(gid); err != nil {
		return err
	}
	return syscall.Seteuid(uid)
}

// owner is of the name itself, not of what it may lead to.
func owner(path string) (uid, gid int, err error) {
	if info, err := os.Lstat(path); err == nil {
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 0 {
			return int(st.Uid), int(st.Gid), nil
		}
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return 0, 0, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return int(st.Uid), int(st.Gid), nil
}
