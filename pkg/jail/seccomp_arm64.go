package jail

import "golang.org/x/sys/unix"

// auditArch is the architecture whose numbers the filter has.
const auditArch = unix.AUDIT_ARCH_AARCH64

// deniedHere are system calls that other architectures do not have.
func deniedHere() []uint32 { return nil }

// deniedWithoutFilesHere is the same for deniedWithoutFiles.
func deniedWithoutFilesHere() []uint32 { return nil }
