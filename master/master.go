package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
)

// master is the supervisor. One goroutine, that of loop, changes it.
type master struct {
	opts       options
	plan       *plan
	log        *maillog.Logger
	env        []string
	stdio      [3]uintptr // of the children
	poll       *poller
	generation int
	services   map[string]*service
	children   map[int]*child
	reports    chan report
	signals    chan os.Signal
	notify     *notifier
	locks      []*os.File
	stopping   bool // children are told to end
}

// supervise is the life of master.
func supervise(o options) error {
	m, err := newMaster(o)
	if err != nil {
		tellStarter(o, err)
		return quietIfTold(o, err)
	}
	defer m.log.Close()
	if err := m.start(); err != nil {
		m.log.Fatal("", "%v", err)
		tellStarter(o, err)
		return quietIfTold(o, err)
	}
	if err := tellStarter(o, nil); err != nil {
		return err
	}
	m.notify.ready()
	m.loop()
	return nil
}

// newMaster reads the configuration, takes the locks and connects the log.
func newMaster(o options) (*master, error) {
	p, err := readPlan(o.configDir)
	if err != nil {
		return nil, err
	}
	if err := os.Chdir(p.set.QueueDir); err != nil {
		return nil, fmt.Errorf("queue_directory: %w", err)
	}
	m := &master{
		opts: o, plan: p, services: map[string]*service{}, children: map[int]*child{},
		reports: make(chan report, 64), signals: make(chan os.Signal, 64),
		notify: newNotifier(os.Getenv("NOTIFY_SOCKET")),
	}
	if err := m.lock(); err != nil {
		return nil, err
	}
	m.openLog()
	return m, nil
}

// openLog connects the log that the configuration asks for. Master may write
// the file by itself when postlogd is not there yet, or no longer.
func (m *master) openLog() {
	set := &m.plan.set
	m.log = maillog.Open(maillog.Options{
		Program: "master", Name: set.SyslogName, Facility: set.SyslogFacility,
		File: set.MaillogFile, WriteFile: true, Verbose: m.opts.verbose > 0,
	})
}

// start gives up what master does not need, opens the endpoints, and starts to
// listen for everything that can happen.
func (m *master) start() error {
	unix.Umask(0o077)
	// What our starter left open is not for our children.
	if err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		m.log.Debug("close inherited descriptors: %v", err)
	}
	if err := m.openStdio(); err != nil {
		return err
	}
	// Caught and dropped, not ignored: a child would inherit the latter.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signal.Notify(m.signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGCHLD)
	if err := m.dropRights(); err != nil {
		return err
	}
	m.relaxTimers()
	m.env = childEnvironment(m.plan.set.Import, m.opts.configDir, os.LookupEnv)
	var err error
	if m.poll, err = newPoller(); err != nil {
		return err
	}
	go m.poll.run()
	if err := m.applyPlan(time.Now()); err != nil {
		return err
	}
	m.log.Info("", "daemon started -- version %s, configuration %s", m.plan.set.MailVersion, m.opts.configDir)
	m.logWarnings()
	return nil
}

func (m *master) logWarnings() {
	for _, w := range m.plan.warnings {
		m.log.Warn("", "%s", w)
	}
}

// openStdio chooses what children see as standard input, output and error.
func (m *master) openStdio() error {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	m.stdio = [3]uintptr{uintptr(null), uintptr(null), uintptr(null)}
	if m.opts.debug || m.opts.init {
		m.stdio = [3]uintptr{0, 1, 2}
	} else if m.opts.stdout {
		m.stdio[1] = 1
	}
	return nil
}

// dropRights keeps the capabilities that master or its children need. A system
// command that a user runs by way of them is bounded by the same set.
func (m *master) dropRights() error {
	if os.Getuid() != 0 {
		m.log.Info("", "running as uid %d: daemons keep this uid, no chroot", os.Getuid())
		return nil
	}
	keep := map[int]string{}
	for _, c := range []int{
		unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_KILL,
		unix.CAP_NET_BIND_SERVICE, unix.CAP_SETGID, unix.CAP_SETUID, unix.CAP_SYS_CHROOT,
		unix.CAP_SETPCAP, // for children to drop more
	} {
		keep[c] = ""
	}
	if err := jail.DropBounding(keep); err != nil {
		m.log.Debug("capability bounding set: %v", err)
	}
	return jail.SetCaps(keep)
}

// lock makes sure that there is one master for this queue and this data
// directory. The locks are held until the process ends, however it ends.
func (m *master) lock() error {
	pid, err := lockFile(filepath.Join(m.plan.set.PidDir, "master.pid"), 0o644)
	if err != nil {
		return err
	}
	m.locks = append(m.locks, pid)
	if err := writePID(pid, os.Getpid()); err != nil {
		return err
	}
	data, err := lockFile(filepath.Join(m.plan.set.DataDir, "master.lock"), 0o600)
	if err != nil {
		return err
	}
	m.locks = append(m.locks, data)
	return nil
}

func writePID(f *os.File, pid int) error {
	text := fmt.Appendf(nil, "%10d\n", pid)
	if _, err := f.WriteAt(text, 0); err != nil {
		return fmt.Errorf("write %s: %w", f.Name(), err)
	}
	return f.Truncate(int64(len(text)))
}

// errLocked means that another process holds a lock.
var errLocked = errors.New("another master is running")

// lockFile opens and locks a file. Its directory may belong to the mail owner,
// so links are not followed.
func lockFile(path string, mode uint32) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, mode)
	if err != nil {
		return nil, fmt.Errorf("open lock file %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1) {
		err = errors.New("not a regular file with one name")
	}
	if err == nil {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == unix.EWOULDBLOCK {
			err = errLocked
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// testRunning implements -t.
func testRunning(o options) error {
	p, err := readPlan(o.configDir)
	if err != nil {
		return err
	}
	path := filepath.Join(p.set.PidDir, "master.pid")
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.set.QueueDir, path)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return errQuiet
	}
	return nil
}
