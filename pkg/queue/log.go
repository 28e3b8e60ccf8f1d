package queue

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// OpenLog opens a message's log in the bounce, defer, trace or flush queue.
// flag is as for os.OpenFile, without O_CREATE.
func (q *Queue) OpenLog(logName string, id ID, flag int) (*os.File, *unix.Stat_t, error) {
	if err := checkNames(id, logName); err != nil {
		return nil, nil, err
	}
	return q.fs.Open(q.Path(logName, id), flag, safefile.Check{Owner: q.owner})
}

// CreateLog makes a message's log, which must not exist. Its name is durable
// after a sync of its directory.
func (q *Queue) CreateLog(logName string, id ID) (*os.File, error) {
	if err := checkNames(id, logName); err != nil {
		return nil, err
	}
	path := q.Path(logName, id)
	f, err := q.fs.Create(path, ModeNew)
	if errors.Is(err, os.ErrNotExist) && q.hashed[strings.ToLower(logName)] {
		if err := q.MakeDirs(logName, id); err != nil {
			return nil, err
		}
		f, err = q.fs.Create(path, ModeNew)
	}
	return f, err
}
