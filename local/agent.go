package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/rewrite"
	"github.com/posthouse-mail/posthouse/pkg/service"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// params are the parameters that local obeys, apart from those of each
// delivery agent.
type params struct {
	deliver.MailboxParams

	AliasMaps           []string      `param:"alias_maps"`
	AllowCommands       []string      `param:"allow_mail_to_commands"`
	AllowFiles          []string      `param:"allow_mail_to_files"`
	ExecDirectory       string        `param:"command_execution_directory"`
	CommandFilter       string        `param:"command_expansion_filter"`
	CommandTimeLimit    time.Duration `param:"command_time_limit"`
	DefaultPrivs        string        `param:"default_privs"`
	ExpandOwner         bool          `param:"expand_owner_alias"`
	ExportEnvironment   []string      `param:"export_environment"`
	FallbackTransport   string        `param:"fallback_transport"`
	FallbackMaps        []string      `param:"fallback_transport_maps"`
	ForwardFilter       string        `param:"forward_expansion_filter"`
	ForwardPath         string        `param:"forward_path"`
	HomeMailbox         string        `param:"home_mailbox"`
	CommandShell        string        `param:"local_command_shell"`
	LuserRelay          string        `param:"luser_relay"`
	MailOwner           string        `param:"mail_owner"`
	MailSpool           string        `param:"mail_spool_directory"`
	MailboxCommand      string        `param:"mailbox_command"`
	MailboxCommandMaps  []string      `param:"mailbox_command_maps"`
	MailboxLock         []string      `param:"mailbox_delivery_lock"`
	MailboxLimit        int64         `param:"mailbox_size_limit"`
	MailboxTransport    string        `param:"mailbox_transport"`
	MailboxTransportMap []string      `param:"mailbox_transport_maps"`
	Myorigin            string        `param:"myorigin"`
	OwnerRequest        bool          `param:"owner_request_special"`
	PrependDelivered    []string      `param:"prepend_delivered_header"`
	QueueDir            string        `param:"queue_directory"`
	DoubleBounce        string        `param:"double_bounce_sender"`
}

// aliasTable is one of alias_maps, with the rights that commands and files in
// it have.
type aliasTable struct {
	maps  *table.Maps
	owner worker.Identity // zero: default_privs
}

// agent is local in a process.
type agent struct {
	params
	cfg     *config.Config
	log     *maillog.Logger
	service string

	split    address.Options
	aliases  []aliasTable
	users    *table.Maps
	fallback *table.Maps // fallback_transport_maps
	boxes    *table.Maps // mailbox_transport_maps
	commands *table.Maps // mailbox_command_maps
	nobody   worker.Identity
	owner    worker.Identity // mail_owner: who re-injects
	workers  *worker.Pool
	rewriter *rewrite.Client
	common   *deliver.Agent
}

// workerIdle is how long a worker waits for its next job.
const workerIdle = 10 * time.Second

func prepare(env *service.Env) (*service.Hooks, error) {
	a := &agent{cfg: env.Config, log: env.Log, service: env.Service}
	if err := env.Config.Fill(&a.params); err != nil {
		return nil, err
	}
	if a.MailboxLimit != 0 && a.MailboxLimit < a.MessageLimit {
		return nil, fmt.Errorf("mailbox_size_limit (%d) is smaller than message_size_limit (%d)", a.MailboxLimit, a.MessageLimit)
	}
	a.split = address.Options{Delimiters: a.Delimiter, OwnerRequestSpecial: a.OwnerRequest, DoubleBounce: a.DoubleBounce}
	if err := a.openTables(); err != nil {
		return nil, err
	}
	var err error
	if a.owner, err = a.identity(a.MailOwner); err != nil {
		return nil, fmt.Errorf("mail_owner: %w", err)
	}
	a.owner.Dirs = []string{a.QueueDir}
	if a.nobody, err = a.identity(a.DefaultPrivs); err != nil {
		return nil, fmt.Errorf("default_privs: %w", err)
	}
	if a.common, err = deliver.NewAgent(deliver.Options{Config: env.Config, Log: env.Log, Service: env.Service}); err != nil {
		return nil, err
	}
	a.rewriter = rewrite.NewClient(ipc.NewPool(rewrite.Endpoint, rewrite.Timeout))
	a.workers = worker.NewPool(filepath.Join(a.DaemonDir, "asuser"), workerIdle)
	return &service.Hooks{
		Session: func(ctx context.Context, conn net.Conn) error { return a.common.Serve(ctx, conn, a.deliver) },
		Changed: a.changed,
		Drain:   a.workers.Close,
	}, nil
}

// openTables opens all tables. proxymap runs without root's trust, so aliases
// are never read through it.
func (a *agent) openTables() error {
	o := table.Options{ConfigDir: a.cfg.Dir(), Log: a.log, Sensitive: true}
	aliases := o
	aliases.Aliases = true
	for _, spec := range a.AliasMaps {
		for strings.HasPrefix(spec, "proxy:") {
			spec = strings.TrimPrefix(spec, "proxy:")
		}
		maps, err := table.OpenMaps([]string{spec}, aliases)
		if err != nil {
			return fmt.Errorf("alias_maps: %w", err)
		}
		a.aliases = append(a.aliases, aliasTable{maps: maps, owner: tableOwner(spec)})
	}
	for _, m := range []struct {
		name  string
		specs []string
		dst   **table.Maps
	}{
		{"unix:passwd.byname", []string{"unix:passwd.byname"}, &a.users},
		{"fallback_transport_maps", a.FallbackMaps, &a.fallback},
		{"mailbox_transport_maps", a.MailboxTransportMap, &a.boxes},
		{"mailbox_command_maps", a.MailboxCommandMaps, &a.commands},
	} {
		maps, err := table.OpenMaps(m.specs, o)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		*m.dst = maps
	}
	return nil
}

// tableOwner returns who owns the text of a table; the zero identity for root
// and for tables that are no files.
func tableOwner(spec string) worker.Identity {
	_, name, _ := table.SplitSpec(spec)
	info, err := os.Stat(name)
	if err != nil {
		return worker.Identity{}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return worker.Identity{}
	}
	return worker.Identity{UID: int(st.Uid), GID: int(st.Gid)}
}

func (a *agent) changed() bool {
	for _, t := range a.aliases {
		if t.maps.Changed() {
			return true
		}
	}
	return a.fallback.Changed() || a.boxes.Changed() || a.commands.Changed()
}

// identity returns the uid and gid of a user.
func (a *agent) identity(name string) (worker.Identity, error) {
	if os.Geteuid() != 0 {
		return worker.Identity{UID: os.Geteuid(), GID: os.Getegid()}, nil
	}
	u, found, err := a.lookupUser(context.Background(), name)
	if err != nil {
		return worker.Identity{}, err
	}
	if !found {
		return worker.Identity{}, fmt.Errorf("no such user: %s", name)
	}
	if u.uid == 0 {
		return worker.Identity{}, fmt.Errorf("must not be root: %s", name)
	}
	return worker.Identity{UID: u.uid, GID: u.gid}, nil
}

// account is an entry of the password file.
type account struct {
	name, home, shell string
	uid, gid          int
}

// lookupUser finds an account by name. Names that cannot be part of a path
// are not even looked up.
func (a *agent) lookupUser(ctx context.Context, name string) (account, bool, error) {
	if name == "" || name == "." || name == ".." || len(name) > 256 || strings.ContainsAny(name, "/:\x00\n") {
		return account{}, false, nil
	}
	line, found, err := a.users.Lookup(ctx, name)
	if err != nil || !found {
		return account{}, false, err
	}
	f := strings.Split(line, ":")
	if len(f) != 7 {
		return account{}, false, fmt.Errorf("password file entry of %s has %d fields", name, len(f))
	}
	uid, err := strconv.Atoi(f[2])
	if err != nil {
		return account{}, false, fmt.Errorf("password file entry of %s: uid: %w", name, err)
	}
	gid, err := strconv.Atoi(f[3])
	if err != nil {
		return account{}, false, fmt.Errorf("password file entry of %s: gid: %w", name, err)
	}
	return account{name: f[0], uid: uid, gid: gid, home: f[5], shell: f[6]}, true, nil
}
