package queuetool

import (
	"fmt"
	"os"
	"syscall"
)

// DropToOwner gives up root for the mail owner, for good. Queue directories
// could be compromised, and then a superuser would be led elsewhere; and what
// is made must belong to the owner. It does nothing for others than root.
func (t *Tool) DropToOwner() error {
	if os.Geteuid() != 0 || t.OwnerUID == 0 {
		return nil
	}
	if err := syscall.Setgroups([]int{t.OwnerGID}); err != nil {
		return fmt.Errorf("setgroups: %w", err)
	}
	if err := syscall.Setresgid(t.OwnerGID, t.OwnerGID, t.OwnerGID); err != nil {
		return fmt.Errorf("setgid %d: %w", t.OwnerGID, err)
	}
	if err := syscall.Setresuid(t.OwnerUID, t.OwnerUID, t.OwnerUID); err != nil {
		return fmt.Errorf("setuid %d: %w", t.OwnerUID, err)
	}
	return nil
}
