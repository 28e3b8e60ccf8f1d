package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/alias"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/usertool"
)

// command is one run.
type command struct {
	out       io.Writer
	configDir string
	src, dst  string
	dump, chk bool
}

var (
	errUsage = errors.New("usage: makealiases [-c config_dir] [-src=pathname] [-alias=filename] [-dump | -chk]")
	errBad   = errors.New("bad addresses")
)

func (c *command) parse(args []string) error {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		name, value, _ := strings.Cut(arg, "=")
		switch {
		case arg == "-c" && len(args) > 0:
			c.configDir, args = args[0], args[1:]
		case name == "-src" && value != "":
			c.src = value
		case name == "-alias" && value != "":
			c.dst = value
		case name == "-tmp", name == "-protocol", name == "-xaliasdir", name == "-xaliastmpdir":
		case arg == "-dump":
			c.dump = true
		case arg == "-chk":
			c.chk = true
		case strings.HasPrefix(arg, "-") || len(args) > 0:
			return errUsage
		}
	}
	return nil
}

func (c *command) run(args []string) error {
	if err := c.parse(args); err != nil {
		return err
	}
	site, err := usertool.Open(c.configDir)
	if err != nil {
		return err
	}
	if c.src == "" {
		c.src = filepath.Join(site.Dir, usertool.AliasesFile)
	}
	if c.dst == "" {
		c.dst = c.src
	}
	list, err := usertool.ReadAliases(strings.TrimRight(c.src, "/"))
	if err != nil {
		return err
	}
	switch {
	case c.dump:
		for _, a := range list {
			fmt.Fprintf(c.out, "%s: %s\n", a.Name, a.Value())
		}
		return nil
	case c.chk:
		return c.check(site, list)
	}
	return site.WriteAliases(strings.TrimSuffix(strings.TrimRight(c.dst, "/"), usertool.MapSuffix), list)
}

// check asks the SMTP server of this machine about each address.
func (c *command) check(site *usertool.Site, list []usertool.Alias) error {
	var addresses []string
	for _, a := range list {
		for _, t := range a.Targets {
			if t.Kind == alias.Address && !slices.Contains(addresses, t.Value) {
				addresses = append(addresses, t.Value)
			}
		}
	}
	slices.Sort(addresses)
	addr, err := listener(site)
	if err != nil {
		return err
	}
	s, err := dialog(addr)
	if err != nil {
		return err
	}
	defer s.close()
	bad := false
	for _, addr := range addresses {
		reply, err := s.ask("RCPT TO:<" + addr + ">")
		if err != nil {
			return err
		}
		if reply[0] != '2' {
			fmt.Fprintf(c.out, "<%s>: %s\n", addr, reply)
			bad = true
		}
		if reply[0] == '2' {
			// A transaction has room for only so many recipients.
			if err := s.begin(); err != nil {
				return err
			}
		}
	}
	if bad {
		return errBad
	}
	return nil
}

// listener finds where smtpd listens: the first line for it in master.cf.
func listener(site *usertool.Site) (string, error) {
	master, err := config.LoadMaster(filepath.Join(site.Dir, "master.cf"))
	if err != nil {
		return "", err
	}
	for _, svc := range master.Services {
		if svc.Type != "inet" || svc.Program != "smtpd" {
			continue
		}
		host, port, err := net.SplitHostPort(svc.Name)
		if err != nil {
			host, port = "", svc.Name
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		return net.JoinHostPort(host, port), nil
	}
	return "", errors.New("master.cf has no smtpd that listens on the network")
}

// smtp is a conversation with smtpd.
type smtp struct {
	conn net.Conn
	out  *bufio.Reader
}

// replyTime bounds the wait for one reply.
const replyTime = 2 * time.Minute

func dialog(addr string) (*smtp, error) {
	conn, err := net.DialTimeout("tcp", addr, replyTime)
	if err != nil {
		return nil, err
	}
	s := &smtp{conn, bufio.NewReader(conn)}
	if _, err = s.reply(); err == nil {
		if _, err = s.ask("HELO localhost"); err == nil {
			err = s.begin()
		}
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("SMTP server %s: %w", addr, err)
	}
	return s, nil
}

func (s *smtp) begin() error {
	if _, err := s.ask("RSET"); err != nil {
		return err
	}
	reply, err := s.ask("MAIL FROM:<>")
	if err == nil && reply[0] != '2' {
		err = errors.New(reply)
	}
	return err
}

func (s *smtp) ask(line string) (string, error) {
	if strings.ContainsAny(line, "\r\n") {
		return "", errors.New("a line end in an address")
	}
	s.conn.SetDeadline(time.Now().Add(replyTime))
	if _, err := io.WriteString(s.conn, line+"\r\n"); err != nil {
		return "", err
	}
	return s.reply()
}

// reply reads a reply and returns its last line.
func (s *smtp) reply() (string, error) {
	s.conn.SetDeadline(time.Now().Add(replyTime))
	for {
		line, err := s.out.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if err != nil || len(line) < 3 || len(line) > 2000 {
			return "", fmt.Errorf("reply %q: %w", line, errors.Join(err, errors.New("not an SMTP reply")))
		}
		if len(line) == 3 || line[3] != '-' {
			return line, nil
		}
	}
}

func (s *smtp) close() {
	s.ask("QUIT")
	s.conn.Close()
}
