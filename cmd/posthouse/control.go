package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// stopWait is how long stop waits for sessions to finish before it ends them;
// master has its own, shorter, patience with its children.
const stopWait = 30 * time.Second

// masterPID returns the process id of the running master. It is running if
// and only if it holds the lock on its pid file, whatever the file says.
func masterPID(queueDir string) (pid int, running bool, err error) {
	name := filepath.Join(queueDir, "pid", "master.pid")
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if errors.Is(err, os.ErrPermission) {
		return 0, false, fmt.Errorf("%w: run as the owner of the mail system (root)", err)
	}
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	free, err := safefile.TryFlock(f)
	if err != nil {
		return 0, false, fmt.Errorf("lock %s: %w", name, err)
	}
	if free {
		return 0, false, nil
	}
	text, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return 0, true, fmt.Errorf("read %s: %w", name, err)
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 && os.Getpid() != 1 && pid != 1 {
		return 0, true, fmt.Errorf("%s is locked but has no process id: %q", name, text)
	}
	return pid, true, nil
}

// findMaster reads the configuration and returns the process id of the master
// that runs on it.
func (a *app) findMaster(name string, args []string) (pid int, running bool, s settings, err error) {
	if err := a.noArguments(name, args); err != nil {
		return 0, false, s, err
	}
	if _, s, err = a.load(); err != nil {
		return 0, false, s, err
	}
	pid, running, err = masterPID(s.QueueDir)
	return pid, running, s, err
}

// errNotRunning is the answer of commands that need a running mail system.
var errNotRunning = errors.New("the mail system is not running")

func (a *app) status(args []string) error {
	pid, running, _, err := a.findMaster("status", args)
	if err != nil {
		return err
	}
	if !running {
		fmt.Fprintf(a.out, "posthouse: %v\n", errNotRunning)
		return errQuiet
	}
	fmt.Fprintf(a.out, "posthouse: the mail system is running: PID: %d\n", pid)
	return nil
}

// prepareStart checks what must hold before master starts, and makes the
// directories that are missing.
func (a *app) prepareStart(name string, args []string) (settings, error) {
	pid, running, s, err := a.findMaster(name, args)
	if err != nil {
		return s, err
	}
	if running {
		return s, fmt.Errorf("the mail system is already running: PID: %d", pid)
	}
	shed()
	if err := a.applyPermissions(s, onlyMissing, "/"); err != nil {
		return s, err
	}
	// A mistake in one service or table is no reason to be without mail.
	_, err = a.problems(config.Error)
	return s, err
}

func (a *app) master(s settings, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.DaemonDir, "master"), append([]string{"-c", a.configDir}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "MAIL_CONFIG="+a.configDir)
	return cmd
}

// shed keeps master from inheriting what the caller left open: a lock or a
// socket would stay so for as long as the mail system runs.
func shed() {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

func (a *app) start(args []string) error {
	s, err := a.prepareStart("start", args)
	if err != nil {
		return err
	}
	if strings.HasPrefix(s.MaillogFile, "/dev/") {
		return fmt.Errorf("maillog_file = %s needs the foreground: use start-fg", s.MaillogFile)
	}
	// With -w master puts itself in the background and comes back here
	// when it serves, or with the reason why it cannot.
	if err := a.master(s, "-w").Run(); err != nil {
		return fmt.Errorf("mail system start-up: %w", err)
	}
	fmt.Fprintln(a.err, "posthouse: the mail system is started")
	return nil
}

func (a *app) startForeground(args []string) error {
	s, err := a.prepareStart("start-fg", args)
	if err != nil {
		return err
	}
	if os.Getpid() == 1 {
		program := filepath.Join(s.DaemonDir, "master")
		argv := []string{program, "-c", a.configDir, "-i"}
		return fmt.Errorf("exec %s: %w", program,
			syscall.Exec(program, argv, append(os.Environ(), "MAIL_CONFIG="+a.configDir)))
	}
	cmd := a.master(s, "-d")
	// Signals from the terminal reach only this process, which passes them
	// on as a stop, so that sessions may finish.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ctx, cancel := context.WithCancel(context.Background())
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		follow(ctx, s.MaillogFile, a.out)
	}()
	if err := cmd.Start(); err != nil {
		cancel()
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				sig = syscall.SIGTERM
			}
			cmd.Process.Signal(sig)
		case err := <-done:
			cancel()
			<-followed
			return err
		}
	}
}

// follow copies what is added to a log file to w until ctx is done. It does
// nothing for a log that is no regular file.
func follow(ctx context.Context, name string, w io.Writer) {
	if name == "" || strings.HasPrefix(name, "/dev/") {
		return
	}
	var offset int64
	if info, err := os.Stat(name); err == nil {
		offset = info.Size()
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for last := false; ; {
		offset = copyFrom(name, offset, w)
		if last {
			return
		}
		select {
		case <-ctx.Done():
			last = true
		case <-tick.C:
		}
	}
}

// copyFrom copies whole lines of a file after offset and returns the new
// offset; a file that became shorter was rotated and is read from its start.
func copyFrom(name string, offset int64, w io.Writer) int64 {
	f, err := os.Open(name)
	if err != nil {
		return offset
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() < offset {
		offset = 0
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return offset
	}
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return offset
		}
		offset += int64(len(line))
		io.WriteString(w, line)
	}
}

func (a *app) stop(args []string) error  { return a.end("stop", args, syscall.SIGTERM, stopWait) }
func (a *app) abort(args []string) error { return a.end("abort", args, syscall.SIGQUIT, 5*time.Second) }

// end signals master and waits until it is gone.
func (a *app) end(name string, args []string, sig syscall.Signal, wait time.Duration) error {
	pid, running, s, err := a.findMaster(name, args)
	if err != nil {
		return err
	}
	if !running {
		return errNotRunning
	}
	if err := syscall.Kill(pid, sig); err != nil {
		return fmt.Errorf("signal master, process %d: %w", pid, err)
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(50 * time.Millisecond) {
		if _, running, err := masterPID(s.QueueDir); err != nil || !running {
			fmt.Fprintln(a.err, "posthouse: the mail system is stopped")
			return err
		}
		if time.Now().After(deadline) {
			break
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill master, process %d: %w", pid, err)
	}
	fmt.Fprintln(a.err, "posthouse: the mail system did not stop in time and was killed")
	return nil
}

func (a *app) reload(args []string) error {
	pid, running, _, err := a.findMaster("reload", args)
	if err != nil {
		return err
	}
	if !running {
		return errNotRunning
	}
	// What runs has a configuration that works. Daemons that read a wrong one
	// would not start.
	told, err := a.problems(config.Error)
	if err != nil {
		return err
	}
	if told.errors > 0 {
		return fmt.Errorf("%s: the mail system keeps the configuration that it has", countErrors(told.errors))
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("signal master, process %d: %w", pid, err)
	}
	fmt.Fprintln(a.err, "posthouse: the configuration is read again")
	return nil
}

// flush asks qmgr to forget what it knows of dead destinations and to look at
// all deferred mail, whatever its time.
func (a *app) flush(args []string) error {
	_, _, s, err := a.findMaster("flush", args)
	if err != nil {
		return err
	}
	if err := ipc.Trigger(filepath.Join(s.QueueDir, "public/qmgr"), []byte("DFAI")); err != nil {
		// The words and the exit status of postqueue -f.
		fmt.Fprintln(a.err, "posthouse: fatal: Cannot flush mail queue - mail system is down")
		return &exitError{code: 69}
	}
	return nil
}
