package jail

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Landlock is done with its three system calls: the rules are few, and the
// call that restricts must reach all threads, which the syscall package does
// for programs without cgo.

// Rights in the file system.
const (
	fsRead  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	fsWrite = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_REFER |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE
	fsOther = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR |
		unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM |
		unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// errataSameProcess is the bit of the kernel's fix that lets threads of one
// process signal each other although each has a domain of its own. Without it
// scoping signals would break the preemption of goroutines.
const errataSameProcess = 1 << 1

// pathRule allows rights below one directory.
type pathRule struct {
	path   string
	rights uint64
}

// landlock restricts what can be opened, and for profiles without network also
// TCP. Unix sockets are not concerned: connecting is up to their modes.
func (e *entry) landlock() error {
	if e.rules.files == anyFile {
		return nil
	}
	abi, errno := landlockVersion()
	if errno != 0 {
		e.skip("landlock", errno)
		return nil
	}
	if abi < 2 && e.rules.files == queueFiles {
		// Version 1 forbids to move files between directories.
		e.skip("landlock", fmt.Errorf("version %d is too old", abi))
		return nil
	}
	attr, size := handled(abi, e.rules.network)
	if err := restrict(attr, size, e.pathRules()); err != nil {
		return err
	}
	e.applied.Landlock = abi
	return nil
}

// landlockVersion returns what the kernel has.
func landlockVersion() (abi int, errno syscall.Errno) {
	n, _, errno := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	return int(n), errno
}

// restrict applies rules to all threads of the process.
func restrict(attr unix.LandlockRulesetAttr, size uintptr, rules []pathRule) error {
	fd, _, errno := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return fmt.Errorf("landlock ruleset: %w", errno)
	}
	defer unix.Close(int(fd))
	for _, r := range rules {
		if err := allowBelow(int(fd), r.path, r.rights&attr.Handled_access_fs); err != nil {
			return err
		}
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	return nil
}

// pathRules are the directories of the profile. The working directory is the
// queue directory, inside and outside of the chroot.
func (e *entry) pathRules() []pathRule {
	switch e.rules.files {
	case queueFiles:
		return []pathRule{{".", fsRead | fsWrite}}
	case readAll:
		rules := []pathRule{{"/", fsRead}}
		if !e.applied.Chroot && e.options.DataDir != "" {
			rules = append(rules, pathRule{e.options.DataDir, fsRead | fsWrite})
		}
		return rules
	}
	return nil
}

// handled returns what is forbidden unless a rule allows it, as far as this
// version of landlock knows it, and how much of the structure it knows.
func handled(abi int, network bool) (unix.LandlockRulesetAttr, uintptr) {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: fsRead | fsWrite | fsOther}
	if abi < 5 {
		attr.Handled_access_fs &^= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi < 3 {
		attr.Handled_access_fs &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi < 2 {
		attr.Handled_access_fs &^= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi < 4 {
		return attr, 8
	}
	if !network {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi < 6 {
		return attr, 16
	}
	attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	errata, _, errno := syscall.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_ERRATA)
	if errno == 0 && errata&errataSameProcess != 0 {
		attr.Scoped |= unix.LANDLOCK_SCOPE_SIGNAL
	}
	return attr, 24
}

// pathBeneath is struct landlock_path_beneath_attr, which is packed; the
// fields happen to need no padding before the end.
type pathBeneath struct {
	allowed uint64
	parent  int32
}

func allowBelow(ruleset int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("landlock: open %s: %w", path, err)
	}
	defer unix.Close(fd)
	attr := pathBeneath{allowed: rights, parent: int32(fd)}
	_, _, errno := syscall.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset),
		unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("landlock: allow %s: %w", path, errno)
	}
	return nil
}
