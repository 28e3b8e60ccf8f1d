package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/service/masterlink"
)

// maxChildren bounds all processes together, whatever master.cf says.
const maxChildren = 5000

// child is one process.
type child struct {
	pid     int
	service *service
	link    *net.UnixConn // status channel; nil after it was told to retire
	path    string
}

// report is one event from a status channel.
type report struct {
	child *child
	masterlink.Report
	err error
}

// spawn starts a process of a service.
func (m *master) spawn(s *service, stress bool) (pid int, err error) {
	ours, theirs, err := statusChannel()
	if err != nil {
		return 0, err
	}
	defer unix.Close(theirs)
	path := s.cfg.Program
	if !filepath.IsAbs(path) {
		path = filepath.Join(m.plan.set.DaemonDir, path)
	}
	attr := &syscall.ProcAttr{Env: m.env, Files: []uintptr{m.stdio[0], m.stdio[1], m.stdio[2], uintptr(theirs)}}
	for _, e := range s.endpoints {
		attr.Files = append(attr.Files, uintptr(e.fd))
	}
	if fd := m.keptFile(s); fd > 0 {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	pid, err = syscall.ForkExec(path, m.arguments(s, path, stress), attr)
	if err != nil {
		ours.Close()
		return 0, fmt.Errorf("start %s: %w", path, err)
	}
	c := &child{pid: pid, service: s, link: ours, path: path}
	m.children[pid] = c
	go c.listen(ours, m.reports)
	return pid, nil
}

// statusChannel makes the socket pair between master and a child.
func statusChannel() (ours *net.UnixConn, theirs int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("status channel: %w", err)
	}
	f := os.NewFile(uintptr(fds[0]), "status channel")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		unix.Close(fds[1])
		return nil, 0, fmt.Errorf("status channel: %w", err)
	}
	return conn.(*net.UnixConn), fds[1], nil
}

// listen passes the reports of a child on. It ends with the child, or when
// master closes the channel.
func (c *child) listen(conn *net.UnixConn, to chan<- report) {
	buf := make([]byte, 64)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		r, err := masterlink.Decode(buf[:n])
		to <- report{child: c, Report: r, err: err}
		if err != nil {
			return
		}
	}
}

// arguments is the command line of a daemon; see package service for the
// generic options. What master.cf adds comes last.
func (m *master) arguments(s *service, path string, stress bool) []string {
	args := []string{filepath.Base(path), "-n", s.cfg.Name, "-t", s.cfg.Type, "-c", m.opts.configDir,
		"-s", strconv.Itoa(len(s.endpoints)), "-g", strconv.Itoa(m.generation)}
	for _, f := range []struct {
		on   bool
		flag string
	}{
		{s.cfg.Unpriv, "-u"}, {s.cfg.Chroot, "-j"}, {s.cfg.Private, "-p"},
		{s.cfg.MaxProc == 1, "-l"}, {s.kept > 0, "-k"}, {stress, "-S"},
	} {
		if f.on {
			args = append(args, f.flag)
		}
	}
	for range m.opts.verbose {
		args = append(args, "-v")
	}
	for _, o := range s.cfg.Overrides {
		args = append(args, "-o", o.Name+"="+o.Value)
	}
	return append(args, s.cfg.Args...)
}

// childEnvironment is what children get of our environment: the names of
// import_environment, or name=value to set one.
func childEnvironment(imports []string, configDir string, lookup func(string) (string, bool)) []string {
	env := map[string]string{"PATH": "/bin:/usr/bin:/sbin:/usr/sbin"}
	order := []string{"PATH"}
	set := func(name, value string) {
		if _, ok := env[name]; !ok {
			order = append(order, name)
		}
		env[name] = value
	}
	for _, word := range imports {
		if name, value, ok := strings.Cut(word, "="); ok {
			set(name, value)
		} else if value, ok := lookup(word); ok {
			set(word, value)
		}
	}
	set("MAIL_CONFIG", configDir)
	out := make([]string, len(order))
	for i, name := range order {
		out[i] = name + "=" + env[name]
	}
	return out
}
