package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// reload reads the configuration again. If it is wrong, everything stays as it
// is: a mail system that stops because of a typing error helps nobody.
func (m *master) reload() {
	m.notify.reloading()
	defer m.notify.ready()
	p, err := readPlan(m.opts.configDir)
	if err == nil {
		err = m.unchangeable(p)
	}
	if err != nil {
		m.log.Error("", "reload: %v; the configuration stays as it was", err)
		return
	}
	m.plan = p
	m.generation++
	m.env = childEnvironment(p.set.Import, m.opts.configDir, os.LookupEnv)
	m.log.Close()
	m.openLog()
	m.log.Info("", "reload -- version %s, configuration %s", p.set.MailVersion, m.opts.configDir)
	m.logWarnings()
	// Running processes see the end of their status channel, finish their
	// sessions and exit.
	for _, c := range m.children {
		if c.link != nil {
			c.link.Close()
			c.link = nil
		}
	}
	for _, s := range m.services {
		s.machine.retireAll()
	}
	if err := m.applyPlan(time.Now()); err != nil {
		m.log.Error("", "reload: %v", err)
	}
}

// unchangeable refuses what needs a restart.
func (m *master) unchangeable(p *plan) error {
	for _, x := range []struct{ name, old, new string }{
		{"queue_directory", m.plan.set.QueueDir, p.set.QueueDir},
		{"data_directory", m.plan.set.DataDir, p.set.DataDir},
		{"mail_owner", m.plan.set.MailOwner, p.set.MailOwner},
	} {
		if x.old != x.new {
			return fmt.Errorf("%s changed from %s to %s, which needs a stop and a start", x.name, x.old, x.new)
		}
	}
	return nil
}

// applyPlan makes the services match the plan. At start, every error counts;
// at reload, what can work does.
func (m *master) applyPlan(now time.Time) error {
	var problems []error
	keep := map[string]bool{}
	for _, cfg := range m.plan.services {
		key := cfg.Type + " " + cfg.Name
		keep[key] = true
		s := m.services[key]
		if s == nil {
			s = &service{machine: newMachine()}
			m.services[key] = s
		}
		moved := s.cfg.Name != "" && s.cfg.Private != cfg.Private
		if moved {
			s.closeEndpoints(m.poll)
		}
		s.configure(cfg, &m.plan.set, now)
		if err := s.setEndpoints(&m.plan.set, m.poll); err != nil {
			problems = append(problems, err)
		}
	}
	for key, s := range m.services {
		if !keep[key] && !s.gone {
			m.remove(key, s)
		}
	}
	return errors.Join(problems...)
}

// remove ends a service that is no longer configured. It is kept under a key
// of its own until its processes have ended.
func (m *master) remove(key string, s *service) {
	s.closeEndpoints(m.poll)
	s.dropKept()
	s.gone = true
	delete(m.services, key)
	if len(s.machine.children) > 0 {
		m.services[strings.Join([]string{key, fmt.Sprintf("%p", s)}, " ")] = s
	}
}
