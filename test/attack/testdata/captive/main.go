// Captive is a daemon that somebody else took over: it has the start-up and
// the jail of the daemon that it stands for, and then tries what a client
// tells it to. The profile is the last part of its name.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	name := filepath.Base(os.Args[0])
	var p jail.Profile
	for p = jail.QueueOnly; p < jail.Open && !strings.HasSuffix(name, "captive-"+p.String()); p++ {
	}
	service.Main(service.Daemon{Name: name, Kind: service.Stream, Jail: p,
		Prepare: func(*service.Env) (*service.Hooks, error) { return &service.Hooks{Session: session}, nil }})
}

// session answers each line "probe arg arg" with "yes", or with why not.
func session(_ context.Context, conn net.Conn) error {
	runtime.LockOSThread()
	in := bufio.NewScanner(conn)
	for in.Scan() {
		words := strings.Fields(in.Text())
		for len(words) < 4 {
			words = append(words, "")
		}
		answer := "yes"
		if err := try(words[0], words[1], words[2], words[3]); err != nil {
			answer = "no: " + strings.ReplaceAll(err.Error(), "\n", " ")
		}
		fmt.Fprintln(conn, answer)
	}
	return in.Err()
}

func try(probe, a, b, c string) error {
	pid, _ := strconv.Atoi(a)
	switch probe {
	case "read", "write", "create", "list", "unlink", "rename", "link", "symlink", "mkdir", "chmod", "chown",
		"utime", "setxattr", "truncate", "mkfifo", "mknod", "watch", "bind":
		return file(probe, a, b)
	case "kill", "tkill", "tgkill", "queue", "pidfd", "owner", "ptrace", "peek", "limits", "nice", "affinity", "ioprio", "scheduler":
		return process(probe, pid)
	case "connect", "tcp", "listen", "socket", "datagram":
		return network(probe, a, b)
	}
	return rights(probe, a)
}

func file(probe, a, b string) error {
	switch probe {
	case "read":
		return closing(os.Open(a))
	case "write":
		return closing(os.OpenFile(a, os.O_WRONLY|unix.O_NONBLOCK, 0))
	case "create":
		return closing(os.OpenFile(a, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600))
	case "list":
		_, err := os.ReadDir(a)
		return err
	case "unlink":
		return unix.Unlink(a)
	case "rename":
		return unix.Rename(a, b)
	case "link":
		return unix.Link(a, b)
	case "symlink":
		return unix.Symlink(a, b)
	case "mkdir":
		return unix.Mkdir(a, 0o755)
	case "chmod":
		return unix.Chmod(a, 0o777)
	case "chown":
		return unix.Lchown(a, -1, os.Getgid())
	case "utime":
		return unix.Utimes(a, []unix.Timeval{{Sec: 1}, {Sec: 1}})
	case "setxattr":
		return unix.Setxattr(a, "user.x", []byte("x"), 0)
	case "truncate":
		return unix.Truncate(a, 0)
	case "mkfifo":
		return unix.Mkfifo(a, 0o666)
	case "mknod":
		return unix.Mknod(a, unix.S_IFCHR|0o666, 0x101)
	case "watch":
		fd, err := unix.InotifyInit1(0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_, err = unix.InotifyAddWatch(fd, a, unix.IN_ALL_EVENTS)
		return err
	}
	ln, err := net.Listen("unix", a)
	if err == nil {
		ln.Close()
	}
	return err
}

// process tries things on another process; signals are 0, which asks only.
func process(probe string, pid int) error {
	call := func(n uintptr, args ...uintptr) error {
		args = append(args, 0, 0, 0, 0, 0, 0)
		if _, _, errno := unix.RawSyscall6(n, args[0], args[1], args[2], args[3], args[4], args[5]); errno != 0 {
			return errno
		}
		return nil
	}
	p := uintptr(pid)
	switch probe {
	case "kill":
		return unix.Kill(pid, 0)
	case "tkill":
		return call(unix.SYS_TKILL, p, 0)
	case "tgkill":
		return unix.Tgkill(pid, pid, 0)
	case "queue":
		var info [128]byte
		return call(unix.SYS_RT_SIGQUEUEINFO, p, 0, uintptr(unsafe.Pointer(&info[0])))
	case "pidfd":
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.PidfdSendSignal(fd, 0, nil, 0)
	case "ptrace":
		return unix.PtraceAttach(pid)
	case "peek":
		buf := make([]byte, 8)
		_, err := unix.ProcessVMReadv(pid, []unix.Iovec{{Base: &buf[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		return err
	case "limits":
		var now unix.Rlimit
		if err := unix.Prlimit(pid, unix.RLIMIT_CPU, nil, &now); err != nil {
			return err
		}
		return unix.Prlimit(pid, unix.RLIMIT_CPU, &now, nil)
	case "nice":
		return unix.Setpriority(unix.PRIO_PROCESS, pid, 1)
	case "affinity":
		var set unix.CPUSet
		set.Set(0)
		return unix.SchedSetaffinity(pid, &set)
	case "ioprio":
		return call(unix.SYS_IOPRIO_SET, 1, p, 3<<13)
	case "scheduler":
		var param int32
		return call(unix.SYS_SCHED_SETSCHEDULER, p, 3, uintptr(unsafe.Pointer(&param)))
	case "owner":
		return signalByFile(pid)
	}
	return errors.New("unknown probe " + probe)
}

// signalByFile has the kernel send a signal when a pipe becomes readable, and
// tells whether it was sent: F_SETOWN itself always works. The test sees it in
// the other process.
func signalByFile(pid int) error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK); err != nil {
		return err
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	if _, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETOWN, pid); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETSIG, int(unix.SIGKILL)); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETFL, unix.O_ASYNC|unix.O_NONBLOCK); err != nil {
		return err
	}
	unix.Write(p[1], []byte("x"))
	time.Sleep(50 * time.Millisecond)
	return nil
}

func network(probe, a, b string) error {
	switch probe {
	case "connect":
		conn, err := net.DialTimeout("unix", a, time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		// A server that refuses closes at once; others wait for a request.
		conn.SetDeadline(time.Now().Add(150 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("hung up: %w", err)
		}
		return nil
	case "datagram":
		conn, err := net.Dial("unixgram", a)
		if err != nil {
			return err
		}
		return conn.Close()
	case "tcp":
		conn, err := net.DialTimeout("tcp", a, time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	case "listen":
		ln, err := net.Listen("tcp", a)
		if err != nil {
			return err
		}
		return ln.Close()
	}
	family, _ := strconv.Atoi(a)
	kind, _ := strconv.Atoi(b)
	fd, err := unix.Socket(family, kind, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func rights(probe, a string) error {
	call := func(n uintptr, args ...uintptr) error {
		args = append(args, 0, 0, 0, 0, 0, 0)
		if _, _, errno := unix.RawSyscall6(n, args[0], args[1], args[2], args[3], args[4], args[5]); errno != 0 {
			return errno
		}
		return nil
	}
	switch probe {
	case "setuid":
		return call(unix.SYS_SETUID, 0)
	case "setgid":
		return call(unix.SYS_SETGID, 0)
	case "setgroups":
		return call(unix.SYS_SETGROUPS, 0)
	case "mount":
		return unix.Mount("none", "/", "tmpfs", 0, "")
	case "unshare":
		return unix.Unshare(unix.CLONE_NEWUSER)
	case "chroot":
		return unix.Chroot(".")
	case "exec":
		if err := syscall.Exec(a, []string{a}, nil); !errors.Is(err, unix.ENOENT) {
			return err
		}
		return nil // it would have worked on a file that exists
	case "memfd":
		fd, err := unix.MemfdCreate("x", 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return call(unix.SYS_EXECVEAT, uintptr(fd), uintptr(unsafe.Pointer(&[]byte{0}[0])), 0, 0, unix.AT_EMPTY_PATH)
	case "fork":
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		if pid == 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		return nil
	case "bpf":
		return call(unix.SYS_BPF, 0, 0, 0)
	case "keyctl":
		return call(unix.SYS_KEYCTL, 0, 0, 0)
	case "uring":
		return call(unix.SYS_IO_URING_SETUP, 1, 0)
	case "userfault":
		return call(unix.SYS_USERFAULTFD, 0)
	case "perf":
		return call(unix.SYS_PERF_EVENT_OPEN, 0)
	}
	return errors.New("unknown probe " + probe)
}

func closing(f *os.File, err error) error {
	if err == nil {
		f.Close()
	}
	return err
}
