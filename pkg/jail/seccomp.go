//go:build amd64 || arm64

package jail

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The filter is a list of what is forbidden, not of what is allowed: the Go
// runtime's needs change between releases, and a daemon that dies of a new
// system call loses more than the list gains. A forbidden call fails with
// EPERM, which the program can log.

// Offsets in struct seccomp_data, and what a filter returns.
const (
	offNumber   = 0
	offArch     = 4
	offArg0     = 16 // low half; amd64 and arm64 are little endian
	offArg2     = 32
	retAllow    = unix.SECCOMP_RET_ALLOW
	retEPERM    = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	retENOSYS   = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	cloneSpaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
)

// denied are the system calls that no jailed daemon has a use for.
func denied() []uint32 {
	return append(deniedHere(),
		// other programs, other processes
		unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV,
		unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD,
		unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_KILL, unix.SYS_TKILL, unix.SYS_RT_SIGQUEUEINFO,
		unix.SYS_RT_TGSIGQUEUEINFO, unix.SYS_SETPRIORITY, unix.SYS_IOPRIO_SET, unix.SYS_SCHED_SETAFFINITY,
		unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETATTR,
		// mounts, namespaces, root directory
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT,
		unix.SYS_OPEN_TREE, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK,
		unix.SYS_MOUNT_SETATTR, unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_NAME_TO_HANDLE_AT,
		unix.SYS_OPEN_BY_HANDLE_AT,
		// parts of the kernel with a history
		unix.SYS_BPF, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_USERFAULTFD,
		unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
		unix.SYS_PERF_EVENT_OPEN, unix.SYS_FANOTIFY_INIT, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_PERSONALITY,
		unix.SYS_VMSPLICE, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES, unix.SYS_REMAP_FILE_PAGES,
		// the machine
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD,
		unix.SYS_KEXEC_FILE_LOAD, unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT,
		unix.SYS_QUOTACTL, unix.SYS_SYSLOG, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME,
		unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
		unix.SYS_VHANGUP, unix.SYS_NFSSERVCTL,
	)
}

// deniedWithoutFiles are the calls on names and open files that landlock does
// not know. A process with the mail owner's uid could open the queue's
// directories to everybody with them, although it can open no file itself.
func deniedWithoutFiles() []uint32 {
	return append(deniedWithoutFilesHere(),
		unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT,
		unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR,
		unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR,
		unix.SYS_INOTIFY_INIT1, unix.SYS_INOTIFY_ADD_WATCH)
}

// program assembles the filter.
type program []unix.SockFilter

func (p *program) add(code uint16, jt, jf uint8, k uint32) {
	*p = append(*p, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

func (p *program) load(offset uint32) { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, offset) }
func (p *program) ret(value uint32)   { p.add(unix.BPF_RET|unix.BPF_K, 0, 0, value) }

// ifEqual returns value when the loaded word is k.
func (p *program) ifEqual(k, value uint32) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, k)
	p.ret(value)
}

// filter builds the program for a profile.
func filter(r rules) program {
	var p program
	p.load(offArch)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 1, 0, auditArch)
	p.ret(retEPERM)
	p.load(offNumber)
	// The x32 numbers of amd64 would be a way around the list.
	p.add(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, 0, 1, 0x40000000)
	p.ret(retEPERM)
	for _, n := range denied() {
		p.ifEqual(n, retEPERM)
	}
	if r.files == noFiles {
		for _, n := range deniedWithoutFiles() {
			p.ifEqual(n, retEPERM)
		}
	}
	p.nodes(r.fifos)
	p.ownLimits()
	// Its flags are in memory, where a filter cannot look. Whoever uses it
	// falls back to clone.
	p.ifEqual(unix.SYS_CLONE3, retENOSYS)
	// Threads yes, namespaces no.
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 4, unix.SYS_CLONE)
	p.load(offArg0)
	p.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, 0, 1, cloneSpaces)
	p.ret(retEPERM)
	p.ret(retAllow)
	p.sockets(r.network)
	p.ret(retAllow)
	return p
}

// nodes forbids special files, with or without FIFOs.
func (p *program) nodes(fifos bool) {
	if !fifos {
		p.ifEqual(unix.SYS_MKNODAT, retEPERM)
		return
	}
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 5, unix.SYS_MKNODAT)
	p.load(offArg2)
	p.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, 0, 0, unix.S_IFMT)
	p.ifEqual(unix.S_IFIFO, retAllow)
	p.ret(retEPERM)
}

// ownLimits allows a process its own resource limits only: a limit of zero
// seconds would end a sibling of the same user.
func (p *program) ownLimits() {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 4, unix.SYS_PRLIMIT64)
	p.load(offArg0)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 1, 0, 0)
	p.ret(retEPERM)
	p.ret(retAllow)
}

// sockets allows the address families that the profile needs.
func (p *program) sockets(network bool) {
	families := []uint32{unix.AF_UNIX}
	if network {
		families = append(families, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK)
	}
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, uint8(2+2*len(families)), unix.SYS_SOCKET)
	p.load(offArg0)
	for _, f := range families {
		p.ifEqual(f, retAllow)
	}
	p.ret(retEPERM)
}

// seccomp installs the filter for all threads at once.
func (e *entry) seccomp() error {
	if e.rules.programs {
		return nil
	}
	p := filter(e.rules)
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	tid, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC|unix.SECCOMP_FILTER_FLAG_LOG, uintptr(unsafe.Pointer(&prog)))
	if errno == 0 && tid != 0 {
		return fmt.Errorf("seccomp: thread %d did not follow", tid)
	}
	switch errno {
	case 0:
		e.applied.Seccomp = true
		return nil
	case unix.ENOSYS, unix.EINVAL:
		e.skip("seccomp", errno)
		return nil
	}
	return fmt.Errorf("seccomp: %w", errno)
}
