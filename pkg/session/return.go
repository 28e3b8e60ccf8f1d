package session

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A proxied session may give its connection back (RFC 8437: UNAUTHENTICATE).
// The worker marks the place in the stream with a descriptor, which cannot
// come from a client; what follows it until the end is what the client sent
// behind the command, in base64.

// ErrReturned reports that the session gave the connection back.
var ErrReturned = errors.New("session gave its connection back")

// GiveBack ends a proxied session whose client goes on with the login server.
// The connection must not be used any more but for closing it.
func GiveBack(conn *net.UnixConn, pending []byte) error {
	marker, err := os.Open(os.DevNull)
	if err != nil {
		// A worker cannot open it; the socket itself is as good.
		if marker, err = conn.File(); err != nil {
			return fmt.Errorf("mark the end of a session: %w", err)
		}
	}
	defer marker.Close()
	if _, _, err := conn.WriteMsgUnix([]byte{'\n'}, unix.UnixRights(int(marker.Fd())), nil); err != nil {
		return fmt.Errorf("mark the end of a session: %w", err)
	}
	if _, err := conn.Write([]byte(base64.StdEncoding.EncodeToString(pending))); err != nil {
		return fmt.Errorf("give pending input back: %w", err)
	}
	return nil
}

// Reader reads what a worker sends for the client.
type Reader struct {
	Conn    *net.UnixConn
	marked  bool
	pending []byte
	oob     [64]byte
}

// Read is like io.Reader. It returns ErrReturned when the session gave its
// connection back; Pending then has what it had read from the client.
func (r *Reader) Read(p []byte) (int, error) {
	if r.marked {
		return 0, r.finish()
	}
	n, oobn, _, _, err := r.Conn.ReadMsgUnix(p, r.oob[:])
	if oobn > 0 {
		// The kernel joins the mark, one byte, with what is before it.
		closeRights(r.oob[:oobn])
		r.marked = true
		if n > 1 {
			return n - 1, nil
		}
		return 0, r.finish()
	}
	if n == 0 && err == nil {
		return 0, net.ErrClosed
	}
	return n, err
}

// closeRights closes the descriptors of a message.
func closeRights(oob []byte) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			syscall.Close(fd)
		}
	}
}

// finish reads what follows the mark.
func (r *Reader) finish() error {
	buf := make([]byte, 0, base64.StdEncoding.EncodedLen(MaxPending)+1)
	for len(buf) < cap(buf) {
		n, err := r.Conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil {
			break
		}
	}
	pending, err := base64.StdEncoding.DecodeString(string(buf))
	if err != nil || len(pending) > MaxPending {
		return fmt.Errorf("a session gave back more than it may")
	}
	r.pending = pending
	return ErrReturned
}

// Pending is what the session had read behind the command that ended it.
func (r *Reader) Pending() []byte { return r.pending }
