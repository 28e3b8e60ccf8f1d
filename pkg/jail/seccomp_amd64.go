package jail

import "golang.org/x/sys/unix"

// auditArch is the architecture whose numbers the filter has.
const auditArch = unix.AUDIT_ARCH_X86_64

// deniedHere are system calls that other architectures do not have.
func deniedHere() []uint32 {
	return []uint32{unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_USELIB, unix.SYS_MKNOD,
		unix.SYS_FORK, unix.SYS_VFORK, unix.SYS__SYSCTL, unix.SYS_CREATE_MODULE}
}

// deniedWithoutFilesHere is the same for deniedWithoutFiles.
func deniedWithoutFilesHere() []uint32 {
	return []uint32{unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_UTIME, unix.SYS_UTIMES,
		unix.SYS_FUTIMESAT, unix.SYS_INOTIFY_INIT}
}
