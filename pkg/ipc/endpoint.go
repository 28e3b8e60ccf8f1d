package ipc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/nowait"
)

// Dial connects to the Unix socket at path. The limit holds for the connect,
// and then as the connection's Timeout.
func Dial(ctx context.Context, path string, limit time.Duration) (*Conn, error) {
	d := net.Dialer{Timeout: limit}
	raw, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		// The system's word is enough; the path need not be there twice.
		var sys *os.SyscallError
		if errors.As(err, &sys) {
			err = sys.Err
		}
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	c := NewConn(nowait.Quiet(raw))
	c.Timeout = limit
	return c, nil
}

// RemoveStale removes a socket or FIFO that an earlier process left, so that
// another can be made in its place. It removes nothing else.
func RemoveStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&(os.ModeSocket|os.ModeNamedPipe) == 0 {
		return fmt.Errorf("%s is in the way: it is no socket or FIFO", path)
	}
	return os.Remove(path)
}
