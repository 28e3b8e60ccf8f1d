package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// maxOutput is how much of a command's output is kept for the sender.
const maxOutput = 4096

// command runs a command of an alias or .forward file, by way of a shell where
// it needs one. Attributes: command, shell, and those of run.
func (w *worker) command(req ipc.List, file *os.File) ipc.List {
	argv := []string{"/bin/sh", "-c", req.Value("command")}
	if words, plain := splitCommand(req.Value("command")); plain && req.Value("shell") == "" && found(words[0]) {
		argv = words
	} else if shell := req.Value("shell"); shell != "" {
		argv = append(strings.Fields(shell), req.Value("command"))
	}
	fill, err := w.message(req, file)
	if err != nil {
		return failure("4.3.0", err)
	}
	return w.run(req, argv, fill)
}

// found reports whether a command is a path, or a name of a program; what else
// it may be is the shell's to say.
func found(name string) bool {
	if strings.Contains(name, "/") {
		return true
	}
	_, err := exec.LookPath(name)
	return err == nil
}

// pipe runs the command of a pipe(8) transport, without a shell. Attributes:
// argv (several), those of run, and those of [format].
func (w *worker) pipe(req ipc.List, file *os.File) ipc.List {
	argv := req.All("argv")
	if len(argv) == 0 {
		return failure("4.3.5", errors.New("no command"))
	}
	fill, err := w.message(req, file)
	if err != nil {
		return refusal(err)
	}
	return w.run(req, argv, formatted(req, fill))
}

// run runs a program with what fill writes as its input, a file. Attributes:
// dir, or home if the command needs none of its own; env (several), seconds. Reply: exit, or signal, or timeout; output.
func (w *worker) run(req ipc.List, argv []string, fill func(io.Writer) error) ipc.List {
	seconds, err := req.GetInt("seconds")
	if err != nil {
		return failure("4.3.0", err)
	}
	stdin, err := commandInput(w.fs, fill)
	if err != nil {
		return failure(mailboxCode(err), err)
	}
	defer stdin.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = workingDir(req), req.All("env")
	out := &limitedBuffer{left: maxOutput}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, out, out
	// A group of its own, so that what the command started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return runCommand(ctx, cmd, out)
}

// workingDir is where a command starts: in the directory that the site chose,
// else in the queue directory, as long as the user may enter it.
func workingDir(req ipc.List) string {
	if dir := req.Value("dir"); dir != "" {
		return dir
	}
	if home := req.Value("home"); home != "" && unix.Access(home, unix.X_OK) == nil {
		return home
	}
	return "/"
}

// runCommand runs a command and says how it ended.
func runCommand(ctx context.Context, cmd *exec.Cmd, out *limitedBuffer) ipc.List {
	// Else it would look as if the command were not there.
	if err := unix.Access(cmd.Dir, unix.X_OK); err != nil {
		return failure("4.3.0", fmt.Errorf("cannot change directory to \"%s\": %w", cmd.Dir, err))
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			// As a shell would report it.
			var failed *os.PathError
			if errors.As(err, &failed) {
				failed.Op = "execvp"
			}
			return success().Int("exit", 127).Str("output", err.Error())
		}
		return failure("4.3.0", err)
	}
	err := cmd.Wait()
	reply := success().Str("output", strings.ToValidUTF8(strings.ReplaceAll(out.b.String(), "\x00", "?"), "?"))
	switch status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus); {
	case ctx.Err() != nil:
		return reply.Bool("timeout", true)
	case status.Signaled():
		return reply.Int("signal", int64(status.Signal()))
	case err != nil && status.ExitStatus() == 0 && !errors.Is(err, exec.ErrWaitDelay):
		return failure("4.3.0", err)
	default:
		return reply.Int("exit", int64(status.ExitStatus()))
	}
}

// splitCommand cuts a command into words if it needs no shell: it has no
// character that a shell would treat specially and is no shell builtin.
func splitCommand(command string) (argv []string, plain bool) {
	const ordinary = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!@%-_=+:,./ \t"
	if strings.Trim(command, ordinary) != "" {
		return nil, false
	}
	argv = strings.Fields(command)
	if len(argv) == 0 || strings.Contains(argv[0], "=") {
		return nil, false
	}
	switch argv[0] {
	case ".", ":", "!", "alias", "bg", "break", "case", "cd", "command", "continue", "eval", "exec", "exit",
		"export", "fg", "for", "getopts", "hash", "if", "jobs", "local", "read", "readonly", "return", "set",
		"shift", "test", "times", "trap", "type", "ulimit", "umask", "unalias", "unset", "until", "wait", "while":
		return nil, false
	}
	return argv, true
}

// limitedBuffer keeps the beginning of what is written to it.
type limitedBuffer struct {
	b    bytes.Buffer
	left int
}

func (l *limitedBuffer) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.b.Write(p[:n])
	l.left -= n
	return len(p), nil
}
