package jail

import (
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"
)

// ConfineTo lets this process, from now on, use no other files than those
// below the given directories; what it has open stays open. Directories that
// do not exist are left out, so nothing that is made there later is within
// reach. On a kernel without landlock it does nothing.
func ConfineTo(dirs ...string) error {
	rules := landlock.RWDirs(dirs...).WithRefer().IgnoreIfMissing()
	if err := landlock.V5.BestEffort().RestrictPaths(rules); err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	return nil
}
