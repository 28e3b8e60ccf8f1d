package service

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/service/masterlink"
)

// Keep hands what one process of a service knows to the next. It is a file in
// memory that master made and gives to each process in turn, and that has no
// name: nobody else can read or write it, and it ends with master. A nil Keep
// belongs to a process without master.
//
// The file is empty but between the end of one process and the start of the
// next, so what is in it counts once, and a process that is killed leaves
// nothing.
type Keep struct{ f *os.File }

// MaxKeep bounds what may be left.
const MaxKeep = masterlink.MaxKept - keepHeader

// A kept file begins with a mark, the time of leaving since the machine was
// started, the length, and a hash of what follows.
const (
	keepMark   = "kept1\n\x00\x00"
	keepHeader = 8 + 8 + 8 + sha256.Size
)

// errKept reports a file that no process left in order.
var errKept = errors.New("what the process before left is damaged")

// Take returns what the process before left and how long ago that was, and
// empties the file. There is nothing after the first start, or when the process
// was killed. Prepare calls it; nothing may count before it is known that the
// file is empty.
func (k *Keep) Take() (data []byte, age time.Duration, err error) {
	if k == nil {
		return nil, 0, nil
	}
	info, err := k.f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if size := info.Size(); size > 0 && size <= keepHeader+MaxKeep {
		data = make([]byte, size)
		if _, err := k.f.ReadAt(data, 0); err != nil {
			data = nil
		}
	}
	if err := k.f.Truncate(0); err != nil {
		return nil, 0, fmt.Errorf("empty what the process before left: %w", err)
	}
	if info.Size() == 0 {
		return nil, 0, nil
	}
	return openKept(data)
}

// openKept checks the header.
func openKept(b []byte) (data []byte, age time.Duration, err error) {
	if len(b) < keepHeader || string(b[:8]) != keepMark {
		return nil, 0, errKept
	}
	data = b[keepHeader:]
	left, n := int64(binary.LittleEndian.Uint64(b[8:])), binary.LittleEndian.Uint64(b[16:])
	if n != uint64(len(data)) || sha256.Sum256(data) != [sha256.Size]byte(b[24:keepHeader]) {
		return nil, 0, errKept
	}
	now, err := sinceBoot()
	if err != nil || left < 0 || left > now {
		return nil, 0, errors.Join(errKept, err)
	}
	return data, time.Duration(now - left), nil
}

// Leave keeps data for the next process. Drain calls it, when no session is
// left that could change anything.
func (k *Keep) Leave(data []byte) error {
	if k == nil {
		return nil
	}
	if len(data) > MaxKeep {
		return fmt.Errorf("more than %d bytes to leave", MaxKeep)
	}
	now, err := sinceBoot()
	if err != nil {
		return err
	}
	// The header comes last: half of the data shall not count.
	if _, err := k.f.WriteAt(data, keepHeader); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	h := []byte(keepMark)
	h = binary.LittleEndian.AppendUint64(h, uint64(now))
	h = binary.LittleEndian.AppendUint64(h, uint64(len(data)))
	sum := sha256.Sum256(data)
	if _, err := k.f.WriteAt(append(h, sum[:]...), 0); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}

// sinceBoot is a clock that nobody sets.
func sinceBoot() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("read clock: %w", err)
	}
	return ts.Nano(), nil
}
