package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startWait is how long a start in the background may take.
const startWait = 100 * time.Second

// background starts the real master in a session of its own and waits until it
// serves. (A Go program cannot fork; it starts itself once more.)
func background(o options, argv []string) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("where am I: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	defer r.Close()
	cmd := exec.Command(exe, append(argv[1:len(argv):len(argv)], "--ready-fd", "3")...)
	cmd.Args[0] = argv[0]
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return fmt.Errorf("start in the background: %w", err)
	}
	w.Close()
	r.SetReadDeadline(time.Now().Add(startWait))
	text, err := io.ReadAll(io.LimitReader(r, 4096))
	switch {
	case string(text) == readyWord:
		return nil
	case len(text) > 0:
		return errors.New(strings.TrimSpace(string(text)))
	case err != nil:
		cmd.Process.Kill()
		return fmt.Errorf("start in the background: %w", err)
	}
	return fmt.Errorf("start in the background: %w", cmd.Wait())
}

// readyWord tells the starter that master serves.
const readyWord = "ready"

// tellStarter reports the outcome of the start to the waiting process, and
// then lets go of its terminal.
func tellStarter(o options, outcome error) error {
	if o.readyFD <= 0 {
		return nil
	}
	unix.CloseOnExec(o.readyFD)
	f := os.NewFile(uintptr(o.readyFD), "starter "+strconv.Itoa(o.readyFD))
	defer f.Close()
	if outcome != nil {
		_, err := f.WriteString(outcome.Error())
		return err
	}
	if err := dropStdio(o.stdout); err != nil {
		return err
	}
	_, err := f.WriteString(readyWord)
	return err
}

// quietIfTold hides an error that the starter prints already.
func quietIfTold(o options, err error) error {
	if o.readyFD > 0 {
		return errQuiet
	}
	return err
}

func dropStdio(keepStdout bool) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := range 3 {
		if fd == 1 && keepStdout {
			continue
		}
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return fmt.Errorf("detach from terminal: %w", err)
		}
	}
	return nil
}

// notifier speaks to the service manager: sd_notify(3), without the library.
// A nil notifier is that of a process without one.
type notifier struct{ conn net.Conn }

func newNotifier(path string) *notifier {
	if path == "" {
		return nil
	}
	// The name must not reach the daemons.
	os.Unsetenv("NOTIFY_SOCKET")
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return nil
	}
	return &notifier{conn: conn}
}

func (n *notifier) send(text string) {
	if n == nil {
		return
	}
	n.conn.SetWriteDeadline(time.Now().Add(time.Second))
	n.conn.Write([]byte(text))
}

func (n *notifier) ready() {
	n.send("READY=1\nMAINPID=" + strconv.Itoa(os.Getpid()))
}

func (n *notifier) reloading() {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	n.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/1000, 10))
}

func (n *notifier) stopping() { n.send("STOPPING=1") }
