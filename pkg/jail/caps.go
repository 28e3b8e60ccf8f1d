package jail

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SetCaps makes the given capabilities, of those that the process has, the
// permitted and effective sets of all threads. The inheritable set is empty
// afterwards, and with it the ambient one.
func SetCaps(keep map[int]string) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have, want [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	for c := range keep {
		bit := uint32(1) << (c % 32)
		want[c/32].Permitted |= bit & have[c/32].Permitted
		want[c/32].Effective |= bit & have[c/32].Permitted
	}
	// Capget fills in the version that it prefers; pid 0 is each thread.
	header = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&want[0])), 0)
	if errno != 0 {
		return fmt.Errorf("set capabilities: %w", errno)
	}
	return nil
}
