// Inmate enters a jail and tells what it can still do there. It is a program of
// its own because test programs may have cgo, which excludes them.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/jail"
)

// main enters a jail and prints what it can do.
func main() {
	var p jail.Profile
	for p = jail.QueueOnly; p < jail.Open && p.String() != os.Args[1]; p++ {
	}
	dir := os.Args[2]
	if err := os.Chdir(filepath.Join(dir, "queue")); err != nil {
		fmt.Println("error:", err)
		return
	}
	busyThreads()
	var a jail.Applied
	var err error
	switch os.Args[1] {
	case "confined":
		err = jail.ConfineTo(".", "nosuch")
	case "user":
		a, err = jail.ConfineUser(".", "nosuch")
	default:
		a, err = jail.Enter(p, jail.Options{
			QueueDir: filepath.Join(dir, "queue"), DataDir: filepath.Join(dir, "data"),
			Chroot: len(os.Args) > 3, UID: 1, GID: 1,
		})
	}
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	fmt.Println("applied:", a)
	for _, probe := range probes(dir) {
		fmt.Println(probe.name+":", onAllThreads(probe.try))
	}
}

// busyThreads makes sure that there are several threads before the jail.
func busyThreads() {
	for range 6 {
		ready := make(chan bool)
		go func() {
			runtime.LockOSThread()
			close(ready)
			select {}
		}()
		<-ready
	}
}

type probe struct {
	name string
	try  func() error
}

func probes(dir string) []probe {
	read := func(path string) func() error {
		return func() error { return closing(os.Open(path)) }
	}
	return []probe{
		{"read queue", read("file")},
		{"write queue", func() error { return closing(os.OpenFile("new", os.O_CREATE|os.O_WRONLY, 0o600)) }},
		{"move in queue", func() error {
			if err := closing(os.Create("sub/a")); err != nil {
				return err
			}
			return os.Rename("sub/a", "b")
		}},
		{"read outside", read("/etc/passwd")},
		{"write data", func() error { return closing(os.Create(filepath.Join(dir, "data/x"))) }},
		{"fifo", func() error { return unix.Mkfifo("fifo", 0o600) }},
		{"fifo outside", func() error { return unix.Mkfifo(filepath.Join(dir, "data/fifo"), 0o600) }},
		{"socket node", func() error { return unix.Mknod("socket", unix.S_IFSOCK|0o600, 0) }},
		{"file node", func() error { return unix.Mknod("node", unix.S_IFREG|0o600, 0) }},
		{"bind", func() error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrUnix{Name: "bound"})
		}},
		{"exec", func() error { return execNothing() }},
		{"inet", func() error { return socket(unix.AF_INET) }},
		{"unix", func() error { return socket(unix.AF_UNIX) }},
		{"packet", func() error { return socket(unix.AF_PACKET) }},
		{"root again", func() error { return rawSetuid() }},
		{"ptrace", func() error { return unix.PtraceAttach(os.Getppid()) }},
		{"unshare", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
		{"signal", func() error { return unix.Kill(os.Getppid(), 0) }},
		{"listen", func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
		}},
	}
}

// execNothing tells whether a program could be started, if there were one.
func execNothing() error {
	if err := syscall.Exec("/nonexistent", nil, nil); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// rawSetuid tries on one thread only, without the runtime's help.
func rawSetuid() error {
	if _, _, errno := syscall.RawSyscall(unix.SYS_SETUID, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func closing(f *os.File, err error) error {
	if err == nil {
		f.Close()
	}
	return err
}

func socket(family int) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// onAllThreads tries something on many threads; "yes" if any of them can.
func onAllThreads(try func() error) string {
	var wg sync.WaitGroup
	var mu sync.Mutex
	result := ""
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			err := try()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				result = "yes"
			case result == "":
				result = "no"
			}
			time.Sleep(time.Millisecond)
		}()
	}
	wg.Wait()
	return result
}
