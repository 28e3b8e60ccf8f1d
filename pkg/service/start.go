package service

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/service/masterlink"
)

// settings are the parameters that every daemon obeys.
type settings struct {
	QueueDir       string        `param:"queue_directory"`
	DataDir        string        `param:"data_directory"`
	MailOwner      string        `param:"mail_owner"`
	TLSOwner       string        `param:"tls_owner"`
	LoginOwner     string        `param:"login_owner"`
	SubmitOwner    string        `param:"submission_owner"`
	AuthOwner      string        `param:"auth_owner"`
	MaxUse         int           `param:"max_use"`
	MaxIdle        time.Duration `param:"max_idle"`
	DaemonTimeout  time.Duration `param:"daemon_timeout"`
	ClientLimit    int           `param:"client_limit"`
	SyslogName     string        `param:"syslog_name"`
	LoginName      string        `param:"login_syslog_name"`
	SyslogFacility string        `param:"syslog_facility"`
	MaillogFile    string        `param:"maillog_file"`
}

// process is a daemon from its first instruction to its last.
type process struct {
	daemon   Daemon
	env      *Env
	opts     options
	set      settings
	hooks    *Hooks
	endpoint endpoint
	link     *link
	owners   []int // uids that may use a private endpoint
	mailGID  int   // the mail owner's group
}

// start brings the process from its options into its jail.
func (p *process) start() error {
	for _, step := range []func() error{
		p.loadConfig, p.openLog, p.adopt, p.preload, p.prepare, p.enterJail,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (p *process) loadConfig() error {
	dir, err := filepath.Abs(p.opts.configDir)
	if err != nil {
		return err
	}
	if p.opts.service == "" {
		p.opts.service = p.daemon.Name
	}
	p.env.Service, p.env.Type, p.env.Args = p.opts.service, p.opts.typ, p.opts.args
	p.env.Stress, p.env.Verbose = p.opts.stress, p.opts.verbose > 0
	p.env.Private, p.env.MaxProc1 = p.opts.private, p.opts.single
	p.env.StandAlone = p.opts.listen != ""
	p.env.Config, err = config.Load(dir,
		config.WithOverrides(p.opts.overrides),
		config.WithStress(p.opts.stress),
		config.WithService(p.opts.service, p.daemon.Name))
	if err != nil {
		return err
	}
	return p.env.Config.Fill(&p.set)
}

// openLog goes to the queue directory and connects the log. The order matters:
// the name of postlogd's socket is relative, so that it can be found again
// from inside the jail.
func (p *process) openLog() error {
	if err := p.listenPathAbsolute(); err != nil {
		return err
	}
	if err := os.Chdir(p.set.QueueDir); err != nil {
		return fmt.Errorf("queue_directory: %w", err)
	}
	file, isLog := p.set.MaillogFile, p.daemon.Name == "postlogd"
	if isLog {
		file = "" // it cannot log through itself
	}
	o := maillog.Options{
		Program: p.daemon.Name, Name: p.set.SyslogName, Facility: p.set.SyslogFacility,
		File: file, Pipe: maillog.PostlogPipe, Stderr: p.env.StandAlone, StderrErrors: isLog, Verbose: p.env.Verbose,
	}
	if p.daemon.LoginLog {
		o.Name, o.Program = "", p.set.LoginName
	}
	p.env.Log = maillog.Open(o)
	return nil
}

// listenPathAbsolute keeps the meaning of --listen when the working directory
// changes.
func (p *process) listenPathAbsolute() error {
	if p.opts.listen == "" || p.opts.typ == "inet" {
		return nil
	}
	abs, err := filepath.Abs(p.opts.listen)
	if err != nil {
		return err
	}
	p.opts.listen = abs
	return nil
}

func (p *process) adopt() error {
	var err error
	if p.env.StandAlone {
		p.endpoint, err = makeEndpoint(p.daemon.Kind, p.opts.typ, p.opts.listen)
		return err
	}
	if p.link, err = openLink(p.opts.generation, p.daemon.Solitary); err != nil {
		return err
	}
	if p.endpoint, err = adoptEndpoint(p.daemon.Kind, p.opts.typ, p.opts.sockets); err != nil || !p.opts.keep {
		return err
	}
	f := os.NewFile(uintptr(masterlink.ListenFD+p.opts.sockets), "kept file")
	if !p.daemon.Keeps {
		return f.Close()
	}
	syscall.CloseOnExec(int(f.Fd()))
	p.env.Keep = &Keep{f}
	return nil
}

// preload reads what cannot be reached from inside the jail. The time zone is
// loaded with the log; the resolver belongs to the daemons that have one.
func (p *process) preload() error {
	if p.daemon.Solitary && !p.env.StandAlone && !p.opts.single {
		return fmt.Errorf("service %s must have a process limit of 1 in master.cf", p.env.Service)
	}
	p.env.QueueDir = p.set.QueueDir
	p.env.UID, p.env.GID = os.Getuid(), os.Getgid()
	p.owners = []int{0, os.Getuid()}
	if os.Getuid() != 0 {
		return nil
	}
	p.env.Jailed = p.opts.chroot || p.opts.unpriv
	if p.env.StandAlone && !p.env.Jailed {
		return nil
	}
	mail, err := lookup("mail_owner", p.set.MailOwner)
	if err != nil {
		return err
	}
	p.mailGID = mail[1]
	run := mail
	if param := p.daemon.Jail.Owner(); param != "mail_owner" {
		if run, err = lookup(param, p.owner(param)); err != nil {
			return err
		}
	}
	p.owners = append(p.owners, mail[0], run[0])
	for _, more := range []struct {
		wanted bool
		param  string
	}{{p.daemon.Login, "login_owner"}, {p.daemon.Submission, "submission_owner"}, {p.daemon.Auth, "auth_owner"}} {
		if !more.wanted {
			continue
		}
		ids, err := lookup(more.param, p.owner(more.param))
		var unknown user.UnknownUserError
		if err != nil && !errors.As(err, &unknown) {
			return err
		}
		if err == nil {
			p.owners = append(p.owners, ids[0])
		} // else the site has no such service, and nobody is to be let in
	}
	if p.opts.unpriv || !p.daemon.Jail.KeepsRoot() {
		p.env.UID, p.env.GID = run[0], run[1]
		p.env.Jailed = true
	}
	return nil
}

// owner returns the user that one of the parameters for owners names.
func (p *process) owner(param string) string {
	switch param {
	case "tls_owner":
		return p.set.TLSOwner
	case "login_owner":
		return p.set.LoginOwner
	case "submission_owner":
		return p.set.SubmitOwner
	case "auth_owner":
		return p.set.AuthOwner
	}
	return p.set.MailOwner
}

// lookup returns the uid and gid of a user that a parameter names.
func lookup(param, name string) ([2]int, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return [2]int{}, fmt.Errorf("%s = %s: %w", param, name, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return [2]int{}, fmt.Errorf("%s = %s: uid %q", param, name, u.Uid)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return [2]int{}, fmt.Errorf("%s = %s: gid %q", param, name, u.Gid)
	}
	if uid == 0 || gid == 0 {
		return [2]int{}, fmt.Errorf("%s = %s: must not be root", param, name)
	}
	return [2]int{uid, gid}, nil
}

func (p *process) prepare() error {
	if p.daemon.Prepare == nil {
		return fmt.Errorf("program %s has no Prepare function", p.daemon.Name)
	}
	hooks, err := p.daemon.Prepare(p.env)
	if err != nil {
		return err
	}
	p.hooks = hooks
	missing := p.daemon.Kind == Stream && hooks.Session == nil ||
		p.daemon.Kind == Trigger && hooks.Trigger == nil ||
		p.daemon.Kind == Datagram && hooks.Packet == nil
	if missing {
		return fmt.Errorf("program %s has no function for its kind of requests", p.daemon.Name)
	}
	return nil
}

// enterJail gives up rights. A run without master, which is for tests and
// debugging, keeps them unless it is asked with -u or -j.
func (p *process) enterJail() error {
	if p.env.StandAlone && !p.opts.unpriv && !p.opts.chroot {
		return nil
	}
	applied, err := jail.Enter(p.daemon.Jail, jail.Options{
		QueueDir: p.set.QueueDir, DataDir: p.set.DataDir, Chroot: p.opts.chroot,
		UID: p.env.UID, GID: p.env.GID, MailGID: p.mailGID, Groups: p.env.Groups, Unprivileged: p.opts.unpriv,
	})
	if err != nil {
		return fmt.Errorf("enter jail: %w", err)
	}
	p.env.Log.Info("", "%s", applied)
	return nil
}
