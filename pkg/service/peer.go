package service

import (
	"os"
	"os/user"
	"strconv"
)

// OnlyUser returns a function that accepts the user ids of root and of the
// named user as those of a client, and without root, where nobody changes ids,
// the own one. A name that is not known is nobody's.
func OnlyUser(name string) func(uid int) bool {
	one := -1
	if os.Getuid() != 0 {
		one = os.Getuid()
	} else if u, err := user.Lookup(name); err == nil {
		if n, err := strconv.Atoi(u.Uid); err == nil {
			one = n
		}
	}
	return func(uid int) bool { return uid == 0 || uid == one }
}
