package jail

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Enter gives up rights according to the profile. The working directory must
// be the queue directory. An error means that a step that must not fail did;
// the caller has to exit, since the process may be in between.
func Enter(p Profile, o Options) (Applied, error) {
	r := p.rules()
	if o.Unprivileged && r.owner == root {
		r.owner = mailOwner
	}
	e := &entry{rules: r, options: o, privileged: os.Geteuid() == 0}
	e.applied.Profile = p.String()
	for _, step := range []func() error{
		pureGo, e.noCore, e.dropBounding, e.chroot, e.dropIDs, e.dropCaps, e.noNewPrivs, e.landlock, e.seccomp, e.noPtrace,
	} {
		if err := step(); err != nil {
			return e.applied, err
		}
	}
	e.applied.UID, e.applied.GID = os.Getuid(), os.Getgid()
	return e.applied, nil
}

// ErrCgo means that threads exist of which the Go runtime does not know.
var ErrCgo = errors.New("this program has cgo and cannot be jailed; build it with CGO_ENABLED=0")

// pureGo makes sure that system calls for all threads work.
func pureGo() error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0, 0)
	if errno == unix.ENOTSUP {
		return ErrCgo
	}
	return nil
}

// entry is one passage into a jail.
type entry struct {
	rules      rules
	options    Options
	privileged bool
	applied    Applied
}

func (e *entry) skip(step string, why error) {
	e.applied.Skipped = append(e.applied.Skipped, fmt.Sprintf("%s (%v)", step, why))
}

// errNotRoot is why a process of an ordinary user keeps its place and its id.
var errNotRoot = errors.New("not root")

// noCore keeps mail and keys out of core files.
func (e *entry) noCore() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		e.skip("no core files", err)
	}
	return nil
}

// noPtrace keeps other processes of the same user from reading our memory or
// taking our descriptors. It comes last: changing the user id resets it.
func (e *entry) noPtrace() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		e.skip("no ptrace", err)
	}
	return nil
}

// chroot makes the queue directory the root directory. All threads of a Go
// process share it.
func (e *entry) chroot() error {
	if !e.options.Chroot {
		return nil
	}
	if !e.privileged {
		e.skip("chroot", errNotRoot)
		return nil
	}
	if err := unix.Chroot(e.options.QueueDir); err != nil {
		return fmt.Errorf("chroot to %s: %w", e.options.QueueDir, err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("chdir into jail: %w", err)
	}
	e.applied.Chroot = true
	return nil
}

// dropIDs becomes the mail owner. The order matters: who is no longer root
// cannot change groups. The syscall package changes all threads.
func (e *entry) dropIDs() error {
	if e.rules.owner == root || e.rules.owner == current {
		return nil
	}
	if !e.privileged {
		e.skip("user", errNotRoot)
		return nil
	}
	uid, gid := e.options.UID, e.options.GID
	if uid <= 0 || gid <= 0 {
		return fmt.Errorf("jail %s wants an unprivileged user, got uid %d gid %d", e.applied.Profile, uid, gid)
	}
	groups := []int{gid}
	if (e.rules.owner == loginOwner || e.rules.owner == submissionOwner) && e.options.MailGID > 0 {
		groups = append(groups, e.options.MailGID)
	}
	groups = append(groups, e.options.Groups...)
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if e.rules.files == noFiles {
		gid = StrangersGID
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("set gid %d: %w", gid, err)
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("set uid %d: %w", uid, err)
	}
	if syscall.Setuid(0) == nil {
		return fmt.Errorf("uid %d could become root again", uid)
	}
	return nil
}

// noNewPrivs keeps set-uid programs and file capabilities from helping us, and
// is the condition for seccomp and landlock without root. A parent whose
// children run users' commands must not have it: those call set-gid postdrop.
func (e *entry) noNewPrivs() error {
	if e.rules.programs {
		return nil
	}
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	e.applied.NoNewPrivs = true
	return nil
}

// keepCaps are what a root parent needs to start workers as users, to hand
// files to them and to end them.
func keepCaps() map[int]string {
	return map[int]string{
		unix.CAP_CHOWN: "chown", unix.CAP_DAC_OVERRIDE: "dac_override",
		unix.CAP_DAC_READ_SEARCH: "dac_read_search", unix.CAP_FOWNER: "fowner",
		unix.CAP_KILL: "kill", unix.CAP_SETGID: "setgid", unix.CAP_SETUID: "setuid",
	}
}

// DropBounding removes all capabilities but the given ones from the bounding
// set of all threads, so that no program that this process or its children
// execute can have them.
func DropBounding(keep map[int]string) error {
	for c := 0; c < 64; c++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
		if err != nil {
			return nil // past the last one
		}
		if _, ok := keep[c]; ok || has == 0 {
			continue
		}
		_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0, 0)
		if errno != 0 {
			return fmt.Errorf("drop capability %d: %w", c, errno)
		}
	}
	return nil
}

func (e *entry) dropBounding() error {
	if !e.privileged || e.rules.owner == current {
		return nil
	}
	keep := map[int]string{}
	if e.rules.owner == root {
		keep = keepCaps()
	}
	// Chroot and ids are still to come; they use the effective set, which
	// this does not touch.
	if err := DropBounding(keep); err != nil {
		e.skip("bounding set", err)
	}
	return nil
}

// dropCaps sets the capabilities that are left. Those of a process that is no
// longer root went with its user id; setting them again makes sure.
func (e *entry) dropCaps() error {
	e.applied.Caps = "none"
	if e.rules.owner == current {
		if e.privileged {
			e.applied.Caps = "all"
		}
		return nil
	}
	keep := map[int]string{}
	if e.privileged && e.rules.owner == root {
		keep = keepCaps()
	}
	if err := SetCaps(keep); err != nil {
		return err
	}
	if len(keep) > 0 {
		e.applied.Caps = capNames(keep)
	}
	return nil
}

// capNames lists capabilities in the order of their numbers.
func capNames(caps map[int]string) string {
	var names []string
	for c := 0; c < 64; c++ {
		if name, ok := caps[c]; ok {
			names = append(names, name)
		}
	}
	return strings.Join(names, "+")
}
