package jail

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ConfineTo lets this process, from now on, use no other files than those
// below the given directories; what it has open stays open. It can no longer
// gain rights by starting programs either. Directories that do not exist are
// left out, so nothing that is made there later is within reach. A kernel
// without landlock, or with its first version, which forbids to move files
// between directories, does not confine.
func ConfineTo(dirs ...string) error { return confine(fsRead|fsWrite, false, dirs) }

// ConfineUser is ConfineTo for a process that serves a user's mail: it may
// make FIFOs in the directories as well, by which processes that use the same
// mail wake each other, and it may start no program, connect nowhere, and use
// none of the system calls that no jailed daemon has a use for.
func ConfineUser(dirs ...string) (Applied, error) {
	e := &entry{rules: rules{name: "user", owner: current, files: queueFiles, fifos: true}}
	e.applied = Applied{Profile: "user", Caps: "none", NoNewPrivs: true, UID: os.Getuid(), GID: os.Getgid()}
	if err := e.noCore(); err != nil {
		return e.applied, err
	}
	if err := confine(fsRead|fsWrite|unix.LANDLOCK_ACCESS_FS_MAKE_FIFO, true, dirs); err != nil {
		return e.applied, err
	}
	if err := e.seccomp(); err != nil {
		return e.applied, err
	}
	if abi, errno := landlockVersion(); errno == 0 && abi >= 2 {
		e.applied.Landlock = abi
	}
	return e.applied, e.noPtrace()
}

func confine(rights uint64, alone bool, dirs []string) error {
	if err := pureGo(); err != nil {
		return err
	}
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	abi, errno := landlockVersion()
	if errno != 0 || abi < 2 {
		return nil
	}
	attr, size := handled(abi, !alone)
	if !alone {
		// Only files are to be confined.
		attr.Scoped = 0
	}
	var rules []pathRule
	for _, dir := range dirs {
		_, err := os.Stat(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		rules = append(rules, pathRule{dir, rights})
	}
	return restrict(attr, size, rules)
}
