package usertool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNoInput reports that standard input ended before the answer.
var ErrNoInput = errors.New("no input")

// maxAnswer bounds a line that a person types.
const maxAnswer = 4096

// IsTerminal tells whether a person may sit in front of f.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// ReadLine reads one line and no byte more, so that what follows is there for
// the next reader. A last line may lack its end.
func ReadLine(in io.Reader) (string, error) {
	var line []byte
	var p [1]byte
	for len(line) <= maxAnswer {
		n, err := in.Read(p[:])
		if n == 1 {
			if p[0] == '\n' {
				return strings.TrimSuffix(string(line), "\r"), nil
			}
			line = append(line, p[0])
			continue
		}
		if err == io.EOF && len(line) > 0 {
			return string(line), nil
		}
		if err == io.EOF {
			return "", ErrNoInput
		}
		if err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("a line is longer than %d bytes", maxAnswer)
}

// ReadSecret asks for a line that is not shown while it is typed. Without a
// terminal nothing is asked, and the line is read.
func ReadSecret(in *os.File, out io.Writer, prompt string) (string, error) {
	fd := int(in.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return ReadLine(in)
	}
	fmt.Fprint(out, prompt)
	quiet := *old
	quiet.Lflag &^= unix.ECHO
	quiet.Lflag |= unix.ICANON | unix.ISIG
	// A terminal must not be left without echo when the person gives up.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(stop)
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &quiet); err != nil {
		return "", err
	}
	defer func() {
		unix.IoctlSetTermios(fd, unix.TCSETS, old)
		fmt.Fprintln(out)
	}()
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := ReadLine(bufio.NewReaderSize(in, 1))
		got <- answer{line, err}
	}()
	select {
	case a := <-got:
		return a.line, a.err
	case s := <-stop:
		return "", fmt.Errorf("interrupted (%v)", s)
	}
}

// NewPassword asks for a new password, twice at a terminal.
func NewPassword(in *os.File, out io.Writer) (string, error) {
	plaintext, err := ReadSecret(in, out, "Password: ")
	if err != nil {
		return "", err
	}
	if IsTerminal(in) {
		again, err := ReadSecret(in, out, "Reenter password: ")
		if err != nil {
			return "", err
		}
		if again != plaintext {
			return "", errors.New("the passwords are not the same")
		}
	}
	return plaintext, nil
}
