package crash

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// injection is what to do with which calls of which processes.
type injection struct {
	act     string
	calls   string // names, comma-separated
	n       int    // which call; 0 is each
	errno   syscall.Errno
	dirs    bool   // only calls on directories
	program string // only in this program
	pids    []proc
	command []string // runs under the tracer
	stdin   string
}

// tracer is a running injector.
type tracer struct {
	cmd *exec.Cmd
	out strings.Builder
	end chan error

	mu   sync.Mutex
	seen []string
}

// inject starts an injector and waits until it holds its processes.
func (s *site) inject(i injection) *tracer {
	s.t.Helper()
	var pids []string
	for _, p := range i.pids {
		pids = append(pids, fmt.Sprint(p.pid))
	}
	errno := i.errno
	if errno == 0 {
		errno = syscall.EIO
	}
	args := []string{"-act", i.act, "-calls", i.calls, "-n", fmt.Sprint(i.n), "-errno", fmt.Sprint(int(errno)),
		"-below", s.mail.Dir, "-program", i.program, fmt.Sprintf("-dirs=%v", i.dirs), "-pids", strings.Join(pids, ",")}
	if len(i.command) > 0 {
		args = append(append(args, "--"), i.command...)
	}
	tr := &tracer{cmd: again(roleTool, args...), end: make(chan error, 1)}
	tr.cmd.Env = append(tr.cmd.Env, "MAIL_CONFIG="+s.mail.Etc(""))
	tr.cmd.Stdin, tr.cmd.Stdout, tr.cmd.Stderr = strings.NewReader(i.stdin), &tr.out, &tr.out
	r, w, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	tr.cmd.ExtraFiles = []*os.File{w}
	if err := tr.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	w.Close()
	ready := make(chan bool, 1)
	go tr.listen(r, ready)
	go func() { tr.end <- tr.cmd.Wait() }()
	select {
	case ok := <-ready:
		if !ok {
			s.t.Fatalf("the injector ended: %s", tr.out.String())
		}
	case <-time.After(time.Minute):
		s.t.Fatal("the injector is not ready")
	}
	return tr
}

func (tr *tracer) listen(r *os.File, ready chan<- bool) {
	defer r.Close()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if lines.Text() == "ready" {
			ready <- true
			continue
		}
		tr.mu.Lock()
		tr.seen = append(tr.seen, lines.Text())
		tr.mu.Unlock()
	}
	select {
	case ready <- false:
	default:
	}
}

// lines returns the calls that were seen: number, whether it was hit, name and
// file.
func (tr *tracer) lines() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return strings.Join(tr.seen, "\n")
}

// hit returns the call that something was done to.
func (tr *tracer) hit() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, line := range tr.seen {
		if strings.Contains(line, " true ") {
			return line
		}
	}
	return ""
}

// stop ends the tracing; the processes go on.
func (tr *tracer) stop() {
	tr.cmd.Process.Kill()
	select {
	case err := <-tr.end:
		tr.end <- err
	case <-time.After(time.Minute):
	}
}

// wait waits for the command that runs under the tracer.
func (tr *tracer) wait() (string, error) {
	err := <-tr.end
	tr.end <- err
	return tr.out.String(), err
}
