package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// settings are the parameters of master.
type settings struct {
	QueueDir       string        `param:"queue_directory"`
	DataDir        string        `param:"data_directory"`
	DaemonDir      string        `param:"daemon_directory"`
	PidDir         string        `param:"process_id_directory"`
	MailOwner      string        `param:"mail_owner"`
	ProcLimit      int           `param:"default_process_limit"`
	ThrottleTime   time.Duration `param:"service_throttle_time"`
	Disable        []string      `param:"master_service_disable"`
	Interfaces     []string      `param:"inet_interfaces"`
	Protocols      []string      `param:"inet_protocols"`
	Import         []string      `param:"import_environment"`
	SyslogName     string        `param:"syslog_name"`
	SyslogFacility string        `param:"syslog_facility"`
	MaillogFile    string        `param:"maillog_file"`
	MailVersion    string        `param:"mail_version"`
	Compatibility  string        `param:"compatibility_level"`

	uid, gid int // of mail_owner, or our own when not root
}

// plan is what the configuration files ask for.
type plan struct {
	set      settings
	services []config.Service
	warnings []string
}

// readPlan reads main.cf and master.cf.
func readPlan(configDir string) (*plan, error) {
	cfg, err := config.Load(configDir, config.WithService("master", "master"))
	if err != nil {
		return nil, err
	}
	p := &plan{}
	if err := cfg.Fill(&p.set); err != nil {
		return nil, err
	}
	if err := p.set.owner(); err != nil {
		return nil, err
	}
	m, err := config.LoadMaster(filepath.Join(configDir, "master.cf"))
	if err != nil {
		return nil, err
	}
	for _, w := range m.Warnings {
		p.warnings = append(p.warnings, w.String())
	}
	old, err := beforeLevel1(p.set.Compatibility)
	if err != nil {
		return nil, err
	}
	for _, s := range m.Services {
		if disabled(p.set.Disable, s) {
			continue
		}
		if s.ChrootDefault {
			s.Chroot = old
		}
		if s.MaxProc == config.MaxProcDefault {
			s.MaxProc = p.set.ProcLimit
		}
		p.services = append(p.services, s)
	}
	p.addPostlog()
	return p, nil
}

// beforeLevel1 reports whether compatibility_level gives an empty chroot
// column its old meaning.
func beforeLevel1(level string) (bool, error) {
	l, err := config.ParseLevel(level)
	if err != nil {
		return false, fmt.Errorf("compatibility_level = %s: %w", level, err)
	}
	one, err := config.ParseLevel("1")
	return l < one, err
}

// owner finds who owns the endpoints.
func (s *settings) owner() error {
	s.uid, s.gid = os.Getuid(), os.Getgid()
	if s.uid != 0 {
		return nil
	}
	u, err := user.Lookup(s.MailOwner)
	if err != nil {
		return fmt.Errorf("mail_owner = %s: %w", s.MailOwner, err)
	}
	if s.uid, err = strconv.Atoi(u.Uid); err == nil {
		s.gid, err = strconv.Atoi(u.Gid)
	}
	if err == nil && (s.uid == 0 || s.gid == 0) {
		err = fmt.Errorf("must not be root")
	}
	if err != nil {
		return fmt.Errorf("mail_owner = %s: %w", s.MailOwner, err)
	}
	return nil
}

// addPostlog copes with a master.cf from before Postfix 3.4: without this
// service nobody would write maillog_file.
func (p *plan) addPostlog() {
	if p.set.MaillogFile == "" {
		return
	}
	for _, s := range p.services {
		if s.Name == postlogName && s.Type == "unix-dgram" {
			return
		}
	}
	p.services = append(p.services, config.Service{
		Name: postlogName, Type: "unix-dgram", Unpriv: true, MaxProc: 1, Program: "postlogd",
	})
}

// postlogName is the service that must be there while the others log.
const postlogName = "postlog"

// disabled implements master_service_disable: "inet", "smtp.inet", "smtp/inet".
func disabled(list []string, s config.Service) bool {
	for _, d := range list {
		d = strings.Replace(d, "/", ".", 1)
		if d == s.Type || d == s.Name+"."+s.Type {
			return true
		}
	}
	return false
}
