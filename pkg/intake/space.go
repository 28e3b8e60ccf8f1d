package intake

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// spaceLook is how long a look at the disk is good for. What arrives in that
// time is far less than queue_minfree and message_size_limit keep free.
const spaceLook = time.Second

// space knows how much room the queue's disk has.
type space struct {
	dir *os.File // the queue directory

	mu     sync.Mutex
	looked time.Time
	free   int64
	known  bool
}

// get returns the free bytes; false means that the disk does not tell. An
// earlier look is never the reason to say that there is less than need.
func (s *space) get(need int64) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.looked) >= spaceLook || s.free < need {
		var fs unix.Statfs_t
		s.looked, s.known = now, unix.Fstatfs(int(s.dir.Fd()), &fs) == nil
		s.free = int64(fs.Bavail) * int64(fs.Bsize)
	}
	return s.free, s.known
}
