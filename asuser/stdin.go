package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// inputInMemory is the size up to which a command's input is kept in memory.
const inputInMemory = 256 << 10

// inputDirs are where larger ones go, in files without a name.
var inputDirs = []string{"/var/tmp", "/tmp"}

// commandInput returns a file with all that fill writes, to be read from its
// beginning. A command gets that, and not a pipe that is filled while it runs:
// whoever dies meanwhile, the command never takes a part of a message for the
// whole, and it does no harm if the command does not read it.
func commandInput(fs *safefile.FS, fill func(io.Writer) error) (*os.File, error) {
	in := &input{fs: fs}
	defer in.close()
	if err := fill(in); err != nil {
		return nil, err
	}
	return in.finish()
}

// input collects the message, in memory as long as it is small.
type input struct {
	fs   *safefile.FS
	buf  []byte
	file *os.File // nil while it is small
}

func (in *input) Write(p []byte) (int, error) {
	if in.file == nil && len(in.buf)+len(p) <= inputInMemory {
		in.buf = append(in.buf, p...)
		return len(p), nil
	}
	if in.file == nil {
		if err := in.spill(); err != nil {
			return 0, err
		}
	}
	return in.file.Write(p)
}

// spill moves to a file on disk.
func (in *input) spill() error {
	var errs error
	for _, dir := range inputDirs {
		f, err := in.fs.CreateUnnamed(dir, 0o600)
		if err == nil {
			in.file = f
			_, err = f.Write(in.buf)
			in.buf = nil
			return err
		}
		errs = errors.Join(errs, err)
	}
	return fmt.Errorf("no place for a large message: %w", errs)
}

// finish returns the input, which nobody can write to any more.
func (in *input) finish() (*os.File, error) {
	if in.file == nil {
		if err := in.seal(); err != nil {
			return nil, err
		}
	}
	// A descriptor of its own, for reading only, at the beginning.
	return os.Open("/proc/self/fd/" + strconv.Itoa(int(in.file.Fd())))
}

// seal makes a file of what is in memory.
func (in *input) seal() error {
	fd, err := unix.MemfdCreate("message", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	in.file = os.NewFile(uintptr(fd), "message")
	if _, err := in.file.Write(in.buf); err != nil {
		return err
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return os.NewSyscallError("seal message", err)
	}
	return nil
}

func (in *input) close() {
	if in.file != nil {
		in.file.Close()
	}
}
