//go:build linux && amd64

package crash

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The injector is a tracer like strace's fault injection, with two things that
// strace has not: the Nth call is counted over all threads, which matters as
// Go moves work between them, and only calls on files below one directory
// count. It runs as a process of its own, since a tracer is one thread and
// waits for everything.

// What the injector does with a call.
const (
	actCount = "count" // nothing, only tell
	actFail  = "fail"  // the call is not done and returns an error
	actKill  = "kill"  // the process is killed before the call
	actLie   = "lie"   // the call is not done and returns success
)

// injectable are the calls that can be failed, and where their file is: the
// number of the argument that is a descriptor or a path.
var injectable = map[string]struct {
	nr   uint64
	fd   int // -1: path
	path int
}{
	"write":     {unix.SYS_WRITE, 0, 0},
	"pwrite64":  {unix.SYS_PWRITE64, 0, 0},
	"fsync":     {unix.SYS_FSYNC, 0, 0},
	"fdatasync": {unix.SYS_FDATASYNC, 0, 0},
	"fchmod":    {unix.SYS_FCHMOD, 0, 0},
	"close":     {unix.SYS_CLOSE, 0, 0},
	"ftruncate": {unix.SYS_FTRUNCATE, 0, 0},
	"read":      {unix.SYS_READ, 0, 0},
	"pread64":   {unix.SYS_PREAD64, 0, 0},
	"openat":    {unix.SYS_OPENAT, -1, 1},
	"renameat":  {unix.SYS_RENAMEAT, -1, 1},
	"renameat2": {unix.SYS_RENAMEAT2, -1, 1},
	"rename":    {unix.SYS_RENAME, -1, 0},
	"unlink":    {unix.SYS_UNLINK, -1, 0},
	"unlinkat":  {unix.SYS_UNLINKAT, -1, 1},
	"link":      {unix.SYS_LINK, -1, 0},
	"linkat":    {unix.SYS_LINKAT, -1, 1},
	"chmod":     {unix.SYS_CHMOD, -1, 0},
	"fchmodat":  {unix.SYS_FCHMODAT, -1, 1},
	"utimensat": {unix.SYS_UTIMENSAT, -1, 1},
	"mkdirat":   {unix.SYS_MKDIRAT, -1, 1},
}

// injector is the state of the tracing process.
type injector struct {
	act     string
	errno   syscall.Errno
	nth     int // 0: each
	program string
	below   string // directory
	dirs    bool   // only calls on directories
	calls   map[uint64]string

	seen   int
	skip   map[int]bool   // threads inside a call that is not done
	names  map[int]string // program of a thread
	traced map[int]bool
}

func injectMain(args []string) int {
	runtime.LockOSThread()
	in := &injector{calls: map[uint64]string{}, skip: map[int]bool{}, names: map[int]string{}, traced: map[int]bool{}}
	fs := flag.NewFlagSet("inject", flag.ContinueOnError)
	fs.StringVar(&in.act, "act", actCount, "what to do")
	errno := fs.Int("errno", int(syscall.EIO), "error of failing calls")
	fs.IntVar(&in.nth, "n", 0, "which call; 0 is each")
	fs.StringVar(&in.program, "program", "", "only in this program")
	fs.StringVar(&in.below, "below", "", "only on files below this directory")
	fs.BoolVar(&in.dirs, "dirs", false, "only on directories")
	calls := fs.String("calls", "", "names of calls")
	pids := fs.String("pids", "", "processes to attach to")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	in.errno = syscall.Errno(*errno)
	for _, c := range strings.Split(*calls, ",") {
		in.calls[injectable[c].nr] = c
	}
	main := 0
	if rest := fs.Args(); len(rest) > 0 {
		pid, err := in.start(rest)
		if err != nil {
			fmt.Fprintln(os.Stderr, "inject:", err)
			return 2
		}
		main = pid
	}
	for _, p := range strings.Fields(strings.ReplaceAll(*pids, ",", " ")) {
		pid, _ := strconv.Atoi(p)
		if err := in.attach(pid); err != nil {
			fmt.Fprintln(os.Stderr, "inject:", err)
			return 2
		}
	}
	in.tell("ready")
	return in.loop(main)
}

// tell reports to the test, on descriptor 3.
func (in *injector) tell(format string, args ...any) {
	unix.Write(3, []byte(fmt.Sprintf(format, args...)+"\n"))
}

const traceOptions = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
	unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC

// start runs a command under the tracer.
func (in *injector) start(argv []string) (int, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid := cmd.Process.Pid
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &ws, syscall.WALL, nil); err != nil {
		return 0, err
	}
	if err := syscall.PtraceSetOptions(pid, traceOptions); err != nil {
		return 0, err
	}
	in.traced[pid] = true
	return pid, syscall.PtraceSyscall(pid, 0)
}

// attach traces all threads of a process.
func (in *injector) attach(pid int) error {
	for again := true; again; {
		again = false
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return err
		}
		for _, task := range tasks {
			tid, _ := strconv.Atoi(task.Name())
			if in.traced[tid] {
				continue
			}
			_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(tid), 0, traceOptions, 0, 0)
			if errno == syscall.ESRCH {
				continue
			}
			if errno == syscall.EPERM && in.traced[pid] {
				in.traced[tid] = true // followed already, as a new thread of a traced one
				continue
			}
			if errno != 0 {
				return fmt.Errorf("attach to %d: %w", tid, errno)
			}
			in.traced[tid], again = true, true
			syscall.Syscall6(syscall.SYS_PTRACE, unix.PTRACE_INTERRUPT, uintptr(tid), 0, 0, 0, 0)
		}
	}
	return nil
}

// loop handles the stops of all threads until nothing is left to trace. It is
// killed when the test has seen enough; the kernel then lets all threads go.
func (in *injector) loop(main int) int {
	for {
		var ws syscall.WaitStatus
		tid, err := syscall.Wait4(-1, &ws, syscall.WALL, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 0
		}
		if ws.Exited() || ws.Signaled() {
			delete(in.names, tid)
			delete(in.skip, tid)
			if tid == main && ws.Exited() {
				return ws.ExitStatus()
			}
			if tid == main {
				return 111 // killed
			}
			continue
		}
		in.stopped(tid, ws)
	}
}

// stopped handles one stop and lets the thread go on.
func (in *injector) stopped(tid int, ws syscall.WaitStatus) {
	in.traced[tid] = true
	signal := 0
	switch sig := ws.StopSignal(); {
	case sig == syscall.SIGTRAP|0x80:
		in.syscallStop(tid)
	case int(ws)>>16 == unix.PTRACE_EVENT_EXEC:
		delete(in.names, tid)
	case int(ws)>>16 != 0:
		// A new thread or process, or an attached one that stopped.
	case sig == syscall.SIGSTOP || sig == syscall.SIGTRAP:
		// The first stop of a child that is followed.
	default:
		signal = int(sig)
	}
	syscall.PtraceSyscall(tid, signal)
}

func (in *injector) syscallStop(tid int) {
	var regs syscall.PtraceRegs
	if in.skip[tid] {
		delete(in.skip, tid)
		if syscall.PtraceGetRegs(tid, &regs) == nil {
			regs.Rax = 0
			if in.act == actFail {
				regs.Rax = uint64(-int64(in.errno))
			}
			syscall.PtraceSetRegs(tid, &regs)
		}
		return
	}
	if syscall.PtraceGetRegs(tid, &regs) != nil {
		return
	}
	call, ok := in.calls[regs.Orig_rax]
	// At the entry the result register holds ENOSYS; at the exit hardly ever.
	if !ok || int64(regs.Rax) != -int64(syscall.ENOSYS) {
		return
	}
	path, ok := in.concerns(tid, call, &regs)
	if !ok {
		return
	}
	in.seen++
	hit := in.nth == 0 || in.nth == in.seen
	in.tell("%d %v %s %s", in.seen, hit && in.act != actCount, call, path)
	if !hit {
		return
	}
	switch in.act {
	case actKill:
		syscall.Kill(tid, syscall.SIGKILL)
	case actFail, actLie:
		if call == "close" {
			in.skip[tid] = true // Linux closes the descriptor even if it reports an error
			return
		}
		regs.Orig_rax = ^uint64(0)
		if syscall.PtraceSetRegs(tid, &regs) == nil {
			in.skip[tid] = true
		}
	}
}

// concerns reports whether a call is one of those that count.
func (in *injector) concerns(tid int, call string, regs *syscall.PtraceRegs) (string, bool) {
	name, ok := in.names[tid]
	if !ok {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", tid))
		name = filepath.Base(exe)
		in.names[tid] = name
	}
	if in.program != "" && name != in.program {
		return "", false
	}
	args := []uint64{regs.Rdi, regs.Rsi}
	c := injectable[call]
	var path string
	if c.fd >= 0 {
		path, _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, args[c.fd]))
		info, err := os.Stat(fmt.Sprintf("/proc/%d/fd/%d", tid, args[c.fd]))
		if err != nil || !info.Mode().IsRegular() && !info.IsDir() || in.dirs && !info.IsDir() {
			return "", false
		}
		if call == "close" && info.IsDir() {
			return "", false
		}
	} else {
		path = in.absolute(tid, readString(tid, args[c.path]))
	}
	return strings.TrimPrefix(path, in.below), strings.HasPrefix(path, in.below+"/spool/") || strings.HasPrefix(path, in.below+"/mail/")
}

// absolute gives a path as the tracer sees it: the process may be jailed.
func (in *injector) absolute(tid int, path string) string {
	if !filepath.IsAbs(path) {
		dir, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", tid))
		return filepath.Join(dir, path)
	}
	if root, _ := os.Readlink(fmt.Sprintf("/proc/%d/root", tid)); root != "/" {
		return filepath.Join(root, path)
	}
	return path
}

func readString(tid int, addr uint64) string {
	buf := make([]byte, 4096)
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", tid))
	if err != nil {
		return ""
	}
	defer f.Close()
	n, _ := f.ReadAt(buf[:256], int64(addr))
	if i := strings.IndexByte(string(buf[:n]), 0); i >= 0 {
		return string(buf[:i])
	}
	return ""
}
