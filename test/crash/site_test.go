package crash

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// site is a mail system on its own file systems, with all kinds of recipients.
type site struct {
	t      testing.TB
	mail   *testkit.Instance
	queue  *testkit.Image
	boxes  *testkit.Image // the same as queue on a site with one file system
	sink   *sink
	ledger *ledger
	fig    *figures
	bin    string
	boots  int // power cuts
	// power counts when it went and when all processes were dead after that:
	// odd in between.
	power atomic.Int64
}

// plan is how a site is made.
type plan struct {
	fault    string
	seed     uint64
	oneFS    bool
	queueMB  int
	boxesMB  int
	queueOpt []string
	settings []string
	users    bool // with a user database, to read mail with readerPassword
}

// newSite makes a site and starts it.
func newSite(t testing.TB, p plan) *site {
	t.Helper()
	needFaults(t)
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	if p.queueMB == 0 {
		p.queueMB = 96
		if p.oneFS {
			p.queueMB += max(p.boxesMB, 300)
		}
	}
	s := &site{t: t, bin: testkit.Bin(t), ledger: newLedger(t, p.seed), sink: newSink(t), fig: &figures{Fault: p.fault, Seed: p.seed}}
	if p.oneFS {
		s.queue = testkit.NewImage(t, filepath.Join(dir, "disk"), p.queueMB, p.queueOpt...)
		s.boxes = s.queue
		for _, part := range []string{"spool", "mail"} {
			os.MkdirAll(filepath.Join(dir, "disk", part), 0o755)
			if err := os.Symlink("disk/"+part, filepath.Join(dir, part)); err != nil {
				t.Fatal(err)
			}
		}
	} else {
		s.queue = testkit.NewImage(t, filepath.Join(dir, "spool"), p.queueMB, p.queueOpt...)
		s.boxes = testkit.NewImage(t, filepath.Join(dir, "mail"), max(p.boxesMB, 300))
	}
	s.mail = testkit.New(t, testkit.In(dir), testkit.Users(append(slices.Clone(maildirUsers), "team-a", "team-b", "list-a", "sender")...))
	if p.users {
		s.mail.UserDB(t, readerPassword, maildirUsers)
	}
	s.configure(p.settings)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.killAll)
	return s
}

var maildirUsers = []string{"u0", "u1", "u2", "u3"}

// recipients are all that mail is sent to.
func recipients() []recipient {
	list := []recipient{
		{"phbox@localhost", classMbox, []string{"phbox@localhost"}},
		{"team@example.test", classAlias, []string{"team-a@example.test", "team-b@example.test"}},
		{"list@localhost", classAlias, []string{"phlist@localhost", "list-a@example.test"}},
		{"cmd@localhost", classCommand, []string{"cmd@localhost"}},
		{"r@ok.test", classOK, []string{"r@ok.test"}},
		{"r@soft.test", classSoft, []string{"r@soft.test"}},
		{"r@hard.test", classHard, []string{"r@hard.test"}},
	}
	for _, u := range maildirUsers {
		list = append(list, toMaildir(u))
	}
	return list
}

func toMaildir(user string) recipient {
	return recipient{user + "@example.test", classMaildir, []string{user + "@example.test"}}
}

// configure adds the recipients to a fresh instance.
func (s *site) configure(settings []string) {
	t, mail := s.t, s.mail
	testkit.NewAccount(t, mail.Dir, "phbox")
	testkit.NewAccount(t, mail.Dir, "phlist")
	for name, mode := range map[string]os.FileMode{"mbox": 0o775 | os.ModeSetgid, "cmd": 0o777} {
		dir := filepath.Join(mail.Dir, "mail", name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		os.Chown(dir, 0, 8) // root:mail
		os.Chmod(dir, mode)
	}
	// The command keeps to the rules of delivery itself.
	keep := fmt.Sprintf("#!/bin/sh\ncd %s/mail/cmd && cat >.$$ && sync .$$ && mv .$$ $$.$(date +%%s%%N) && sync . || exit 75\n", mail.Dir)
	mail.Write(t, "keep", keep)
	os.Chmod(mail.Etc("keep"), 0o755)
	mail.Write(t, "aliases", "list: phlist@localhost, list-a@example.test\ncmd: \"|"+mail.Etc("keep")+"\"\npostmaster: /dev/null\n")
	mail.Write(t, "virtual", "team@example.test team-a@example.test, team-b@example.test\n")
	relay := fmt.Sprintf("smtp:[127.0.0.1]:%d", s.sink.port)
	mail.Set(t, "virtual_alias_maps = texthash:"+mail.Etc("virtual"),
		"transport_maps = inline:{ok.test="+relay+", soft.test="+relay+", hard.test="+relay+"}",
		"mail_spool_directory = "+filepath.Join(mail.Dir, "mail", "mbox"), "recipient_delimiter = +",
		"minimal_backoff_time = 1s", "maximal_backoff_time = 2s", "queue_run_delay = 1s", "transport_retry_time = 1s",
		"smtp_tls_security_level = none", "smtpd_error_sleep_time = 0", "smtpd_client_event_limit_exceptions = 127.0.0.0/8",
		// A mailbox that has reached its limit bounces, which the ledger would call a fault.
		"mailbox_size_limit = 0", "virtual_mailbox_limit = 0")
	mail.Set(t, settings...)
	unix.Sync() // what an installation makes is older than any power cut
}

// start starts the mail system and waits until the new master has started and
// the system greets.
func (s *site) start() error {
	log, err := os.OpenFile(filepath.Join(s.mail.Dir, "log", "start"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	// One that was killed may be seen, with its children, for a moment more.
	dead := s.procs("master")
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		cmd := s.mail.Command("posthouse", "start-fg")
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			return err
		}
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		if s.comesUp(ended, deadline, dead) {
			return nil
		}
	}
	return fmt.Errorf("the mail system does not start: %s", s.whatHangs(log.Name()))
}

// whatHangs returns what processes of the mail system there are, and the stacks
// of those that start it.
func (s *site) whatHangs(log string) string {
	before, _ := os.ReadFile(log)
	var list strings.Builder
	for _, p := range s.procs() {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
		fmt.Fprintf(&list, "%s: %s\n", p.name, line)
	}
	for _, p := range s.procs("posthouse", "master") {
		syscall.Kill(p.pid, syscall.SIGQUIT)
	}
	time.Sleep(time.Second)
	after, _ := os.ReadFile(log)
	return fmt.Sprintf("%s\n%s\n%s", lastLines(string(before), 20), list.String(), after[min(len(before), len(after)):])
}

// comesUp waits for a start. Until the new master has a queue manager, what
// greets may be a daemon of one that was killed. (The log does not tell: it is
// never at rest under load, and its first lines may be lost with a postlogd.)
func (s *site) comesUp(ended <-chan struct{}, deadline time.Time, dead []proc) bool {
	for time.Now().Before(deadline) {
		for _, p := range s.procs("master") {
			if !slices.Contains(dead, p) && s.hasQueueManager(p) && s.greets() {
				return true
			}
		}
		select {
		case <-ended:
			time.Sleep(5 * time.Millisecond)
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return false
}

// hasQueueManager reports whether a master has started its qmgr.
func (s *site) hasQueueManager(master proc) bool {
	return slices.ContainsFunc(s.procs("qmgr"), func(p proc) bool { return parentOf(p.pid) == master.pid })
}

// parentOf returns a process's parent, 0 if it is gone.
func parentOf(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	var parent int
	var state string
	_, _ = fmt.Sscan(string(text[bytes.LastIndexByte(text, ')')+1:]), &state, &parent)
	return parent
}

func (s *site) greets() bool {
	c, err := dialSMTP(s.mail.Addr())
	if err != nil {
		return false
	}
	c.close()
	return true
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// proc is a process of the mail system.
type proc struct {
	pid  int
	name string
}

// procs returns the processes of the mail system; the PID namespace has no
// other one with its programs. The lists of names limits them.
func (s *site) procs(names ...string) []proc {
	var out []proc
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		exe, err := os.Readlink("/proc/" + d.Name() + "/exe")
		exe = strings.TrimSuffix(exe, " (deleted)")
		if err != nil || filepath.Dir(exe) != s.bin {
			continue
		}
		if name := filepath.Base(exe); len(names) == 0 || slices.Contains(names, name) {
			out = append(out, proc{pid, name})
		}
	}
	return out
}

// killAll ends the mail system as a power cut does.
func (s *site) killAll() {
	for range 12000 {
		list := s.procs()
		if len(list) == 0 {
			return
		}
		for _, p := range list {
			syscall.Kill(p.pid, syscall.SIGKILL)
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.t.Error("processes of the mail system do not die")
}

// powerCut stops the file systems and all processes, and starts again from
// what is on disk. It returns how long the start took.
func (s *site) powerCut() {
	s.t.Helper()
	images := []*testkit.Image{s.boxes, s.queue}
	if s.boxes == s.queue {
		images = images[:1]
	}
	s.power.Add(1)
	testkit.Cut(s.t, images...)
	s.killAll()
	s.power.Add(1)
	s.anotherBoot()
	for _, i := range images {
		i.Unmount(s.t)
		i.Mount(s.t)
	}
	begin := time.Now()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
	s.fig.Recover = append(s.fig.Recover, time.Since(begin))
}

// anotherBoot gives the kernel another boot id, as a start has after a power cut.
func (s *site) anotherBoot() {
	s.t.Helper()
	s.boots++
	path := filepath.Join(s.mail.Dir, "boot_id")
	if err := os.WriteFile(path, fmt.Appendf(nil, "%08x-0000-4000-8000-000000000000\n", s.boots), 0o444); err != nil {
		s.t.Fatal(err)
	}
	if s.boots > 1 {
		return
	}
	const at = "/proc/sys/kernel/random/boot_id"
	if err := unix.Mount(path, at, "", unix.MS_BIND, ""); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
}
