// Package masterlink is what master(8) and the daemons agree on: which file
// descriptors a daemon inherits, and what it tells master about itself.
//
// A daemon gets one end of a socket pair as its status channel. It sends a
// [Report] when it is ready, and whenever it goes from free to full or back.
// When it reads end of file there, master is gone or wants it replaced: it
// finishes its sessions and exits. (Postfix's daemons use a pipe and a signal
// for the same purpose; a socket pair tells a reader that the other end is
// gone.)
package masterlink

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// File descriptors of a daemon that master started.
const (
	StatusFD = 3 // the status channel
	ListenFD = 4 // the first listener, more follow; and behind them, with -k, the file of the service
)

// MaxKept bounds the file that processes of a service hand on.
const MaxKept = 64<<20 + 64

// State is what a daemon can do for a client.
type State byte

// The states.
const (
	Available State = 'A' // takes clients
	Taken     State = 'T' // has as many as it may have
	Retiring  State = 'R' // takes no more, and exits when the last one left
)

// Report is one message on the status channel.
type Report struct {
	PID        int
	Generation int
	State      State
	// Solitary means that no second process of this service may start
	// before this one has exited.
	Solitary bool
}

// Size is the length of an encoded Report.
const Size = 10

// ErrReport means that bytes are no report.
var ErrReport = errors.New("malformed status report")

// Encode returns the report as bytes.
func (r Report) Encode() []byte {
	b := make([]byte, Size)
	binary.LittleEndian.PutUint32(b, uint32(r.PID))
	binary.LittleEndian.PutUint32(b[4:], uint32(r.Generation))
	b[8] = byte(r.State)
	if r.Solitary {
		b[9] = 1
	}
	return b
}

// Decode reads one report.
func Decode(b []byte) (Report, error) {
	if len(b) != Size {
		return Report{}, fmt.Errorf("%w: %d bytes", ErrReport, len(b))
	}
	r := Report{
		PID:        int(binary.LittleEndian.Uint32(b)),
		Generation: int(binary.LittleEndian.Uint32(b[4:])),
		State:      State(b[8]),
		Solitary:   b[9] == 1,
	}
	switch {
	case r.State != Available && r.State != Taken && r.State != Retiring:
		return Report{}, fmt.Errorf("%w: state %d", ErrReport, r.State)
	case b[9] > 1:
		return Report{}, fmt.Errorf("%w: flag %d", ErrReport, b[9])
	}
	return r, nil
}
