package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/pam"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

// maxHelpers is how many helpers run at the same time.
const maxHelpers = 20

// params are the parameters of pamd.
type params struct {
	DaemonDir string        `param:"daemon_directory"`
	AuthOwner string        `param:"auth_owner"`
	TimeLimit time.Duration `param:"auth_pam_time_limit"`
}

// server answers authd.
type server struct {
	log    *maillog.Logger
	helper string
	limit  time.Duration
	mayAsk func(uid int) bool
	slots  chan struct{}
}

func prepare(env *service.Env) (*service.Hooks, error) {
	var p params
	if err := env.Config.Fill(&p); err != nil {
		return nil, err
	}
	s := &server{log: env.Log, helper: filepath.Join(p.DaemonDir, pam.Helper), limit: p.TimeLimit,
		mayAsk: service.OnlyUser(p.AuthOwner), slots: make(chan struct{}, maxHelpers)}
	if info, err := os.Stat(s.helper); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return nil, fmt.Errorf("%s is not there or no program: `make pam` builds it (%w)", s.helper, errors.Join(err, errNoHelper))
	}
	return &service.Hooks{Session: s.session}, nil
}

var errNoHelper = errors.New("no helper for PAM")

// session answers one connection's questions.
func (s *server) session(ctx context.Context, conn net.Conn) error {
	cred, err := ipc.PeerCred(conn)
	if err != nil {
		return err
	}
	if !s.mayAsk(cred.UID) {
		return fmt.Errorf("refused process %d of uid %d", cred.PID, cred.UID)
	}
	c := ipc.NewConn(conn)
	for req, err := range c.Requests(ctx) {
		if err != nil {
			return err
		}
		check, err := pam.ReadCheck(req)
		if err != nil {
			return err
		}
		if err := c.Send(ipc.List{}.Str("status", s.check(ctx, check).String())); err != nil {
			return fmt.Errorf("send reply: %w", err)
		}
	}
	return nil
}

// runWhole runs a helper that has a session of its own. What is left of the
// session when the helper ends is killed, before its number is free for others.
func runWhole(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		if err != unix.EINTR {
			return cmd.Wait()
		}
	}
}

// check has a helper answer one question.
func (s *server) check(ctx context.Context, check pam.Check) pam.Result {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		s.log.Warn("", "pam: %d helpers are busy", maxHelpers)
		return pam.Temporary
	}
	cmd := exec.CommandContext(ctx, s.helper)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdin = bytes.NewReader(check.Encode())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	// The helper ends what its modules started, and is killed if it does not.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Second
	err := runWhole(cmd)
	result := pam.Temporary
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("no answer within %s: %w", s.limit, ctx.Err())
	case errors.As(err, &exit):
		if result = pam.ParseResult(pam.Result(exit.ExitCode()).String()); result != pam.Temporary {
			err = nil
		}
	case err == nil:
		err = errNoHelper // no helper of ours ends with 0
	}
	switch {
	case err != nil:
		s.log.Warn("", "pam: service %s, login <%s>: %v", printable.Text(check.Service), printable.Text(check.Login), err)
	case result == pam.Expired:
		s.log.Info("", "pam: service %s, login <%s>: the account may not log in", printable.Text(check.Service), printable.Text(check.Login))
	}
	return result
}
