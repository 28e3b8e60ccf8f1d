package attack

import (
	"fmt"
	"os"
)

// playRole runs one of the programs that the tests start under other users.
func playRole(role string, args []string) int {
	fmt.Fprintln(os.Stderr, "unknown role", role, args)
	return 1
}
