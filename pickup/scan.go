package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

// parallel is how many files are copied at a time: messages that are queued at
// the same time share their waits for the disk.
const parallel = 8

// params are what pickup reads from main.cf.
type params struct {
	Cleanup       string   `param:"cleanup_service_name"`
	ContentFilter string   `param:"content_filter"`
	LineLimit     int      `param:"line_length_limit"`
	MailName      string   `param:"mail_name"`
	Hostname      string   `param:"myhostname"`
	Override      []string `param:"receive_override_options"`
	UTF8          bool     `param:"smtputf8_enable"`
	UTF8Classes   []string `param:"smtputf8_autodetect_classes"`
}

// pickup is the running daemon.
type pickup struct {
	params
	queue  *queue.Queue
	client *inject.Client
	log    *maillog.Logger
	flags  inject.Flags
	owner  int
}

func prepare(env *service.Env) (*service.Hooks, error) {
	if len(env.Args) > 0 {
		return nil, fmt.Errorf("unexpected command-line argument: %s", env.Args[0])
	}
	p, err := newPickup(env.Config, env.Log, ".", env.UID)
	if err != nil {
		return nil, err
	}
	return &service.Hooks{Trigger: func(ctx context.Context, _ []byte) { p.scan(ctx) }}, nil
}

func newPickup(cfg *config.Config, log *maillog.Logger, dir string, owner int) (*pickup, error) {
	p := &pickup{log: log, owner: owner, queue: queue.Open(dir, queue.Options{Owner: owner})}
	if err := cfg.Fill(&p.params); err != nil {
		return nil, err
	}
	var err error
	if p.flags, err = overrides(inject.FlagBounce|inject.FlagsExternal, p.Override); err != nil {
		return nil, err
	}
	endpoint := "public/" + p.Cleanup
	if dir != "." {
		endpoint = dir + "/" + endpoint
	}
	p.client = inject.NewClient(ipc.NewPool(endpoint, inject.Timeout))
	return p, nil
}

// overrides applies receive_override_options to the flags for cleanup.
func overrides(flags inject.Flags, options []string) (inject.Flags, error) {
	for _, o := range options {
		switch o {
		case "no_unknown_recipient_checks":
		case "no_address_mappings":
			flags &^= inject.FlagBccOK | inject.FlagMapOK
		case "no_header_body_checks":
			flags &^= inject.FlagFilter
		case "no_milters":
			flags &^= inject.FlagMilter
		default:
			return 0, fmt.Errorf("receive_override_options: unknown option %q", o)
		}
	}
	return flags, nil
}

// scan empties the maildrop. It ends when a look at all files found none that
// could be handed over: what is left waits for the next time.
func (p *pickup) scan(ctx context.Context) {
	for ctx.Err() == nil && p.pass(ctx) {
	}
}

// pass looks at each file once, a few at a time, and reports whether it pays to
// look again. The directory is read in pieces and no list is kept, so that a
// flood of files neither costs memory nor hides the ones behind it.
func (p *pickup) pass(ctx context.Context) bool {
	var taken, down atomic.Bool
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for e, err := range p.queue.Scan(queue.Maildrop) {
		if err != nil {
			p.log.Warn("", "scan maildrop: %v", err)
			break
		}
		if ctx.Err() != nil || down.Load() {
			break
		}
		if e.Bad {
			continue // still under its temporary name, or garbage
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			switch p.take(ctx, e) {
			case done:
				taken.Store(true)
			case cleanupDown:
				down.Store(true)
			}
		})
	}
	wg.Wait()
	return taken.Load() && !down.Load()
}

// outcome is what became of a file.
type outcome int

const (
	kept        outcome = iota // it stays for another time
	done                       // it is gone
	cleanupDown                // no mail can be handed over now
)

// take hands one file over.
func (p *pickup) take(ctx context.Context, e queue.Entry) outcome {
	f, st, err := p.queue.FS().Open(e.Path, os.O_RDONLY, safefile.Check{Owner: safefile.AnyOwner})
	switch {
	case errors.Is(err, os.ErrNotExist):
		return done
	case errors.Is(err, safefile.ErrUnsafe):
		return p.putAside(e, err)
	case err != nil:
		p.log.Warn("", "open input file %s: %v", e.Path, err)
		return kept
	}
	defer f.Close()
	if st.Mode&unix.S_IRWXU != queue.ModeReady {
		return kept // still being written
	}
	if st.Mode&0o022 != 0 {
		return p.putAside(e, fmt.Errorf("mode is %#o", st.Mode&0o7777))
	}
	m := newMessage(p, e, f, st)
	// Begun is finished, also when the process has to end: cleanup may have
	// queued the message already, and giving up would make a second one.
	return p.settle(e, m.send(context.WithoutCancel(ctx)))
}

// errUnreadable is a failure of the disk, which may pass.
var errUnreadable = errors.New("cannot read the file now")

// settle decides about a file by how its copy went.
func (p *pickup) settle(e queue.Entry, err error) outcome {
	var refused *refusal
	switch {
	case err == nil:
	case errors.Is(err, queue.ErrCorrupt):
		return p.putAside(e, err)
	case errors.Is(err, errUnreadable):
		p.log.Warn("", "%s: %v", e.Path, err)
		return kept
	case errors.As(err, &refused):
		if refused.reason == "" {
			p.log.Warn("", "%s: error writing %s: status %d", e.Path, refused.id, refused.status)
		}
		if refused.status&inject.StatBad != 0 {
			return p.putAside(e, err)
		}
		// Without recipients there is nothing to deliver: the message was
		// requeued when it was just finished.
		if refused.status&inject.StatRcpt == 0 {
			return kept
		}
	default:
		p.log.Warn("", "%s: %v", e.Path, err)
		return cleanupDown
	}
	if err := p.queue.FS().Remove(e.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		p.log.Warn("", "remove %s: %v", e.Path, err)
		return kept
	}
	return done
}

// putAside moves a file that is no good to the corrupt queue, so that it is
// neither tried again and again nor lost.
func (p *pickup) putAside(e queue.Entry, why error) outcome {
	p.log.Warn("", "%s: %v -- moved to the corrupt queue", e.Path, why)
	if err := p.queue.FS().RenameNew(e.Path, p.queue.Path(queue.Corrupt, e.ID)); err != nil {
		p.log.Warn("", "save corrupt file: %v", err)
		return kept
	}
	return done
}
