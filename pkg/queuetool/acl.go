package queuetool

import (
	"context"
	"os/user"
	"strconv"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/table"
)

// aclTimeout bounds the lookup in an access list.
const aclTimeout = 30 * time.Second

// Allowed reports whether a list, the value of a parameter such as
// authorized_mailq_users, has the user,
// and the user's name, "unknown" for a uid without one. It must run before the
// process changes its root or working directory, since tables are opened.
func Allowed(parameter string, list []string, configDir string, uid int) (name string, ok bool, err error) {
	name = "unknown"
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		name = u.Username
	}
	m, err := table.NewStringList(list, table.ListOptions{Name: parameter, Options: table.Options{ConfigDir: configDir}})
	if err != nil {
		return name, false, err
	}
	defer m.Close()
	ctx, cancel := context.WithTimeout(context.Background(), aclTimeout)
	defer cancel()
	ok, err = m.Match(ctx, name)
	return name, ok, err
}
