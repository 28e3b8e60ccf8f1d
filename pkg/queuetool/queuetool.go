// Package queuetool is what the queue commands share: where the configuration
// is, what it says about the queue, and how problems are reported.
package queuetool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// DefaultConfigDir is where main.cf is if nobody says otherwise.
const DefaultConfigDir = "/etc/posthouse"

// Privileged reports whether the process runs with rights that its caller
// does not have, such as the group of a setgid file.
func Privileged() bool {
	return os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid()
}

// ConfigDir returns the configuration directory: that of -c, or of MAIL_CONFIG
// in the environment, or the default. A command with rights that its caller
// does not have ignores the environment, and takes from anyone but root only a
// directory that the default main.cf names in alternate_config_directories or
// multi_instance_directories, or that belongs to the same installation as the
// command itself, since main.cf says where files are made.
func ConfigDir(flag string) (string, error) {
	if !Privileged() || os.Getuid() == 0 {
		if flag == "" {
			flag = os.Getenv("MAIL_CONFIG")
		}
		return orDefault(flag), nil
	}
	if flag == "" || flag == DefaultConfigDir {
		return DefaultConfigDir, nil
	}
	if dir, ok := ownConfigDir(flag); ok {
		return dir, nil
	}
	cfg, err := config.Load(DefaultConfigDir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", unauthorized(flag)
	}
	if err != nil {
		return "", err
	}
	var p struct {
		Alternate []string `param:"alternate_config_directories"`
		Instances []string `param:"multi_instance_directories"`
	}
	if err := cfg.Fill(&p); err != nil {
		return "", err
	}
	for _, dir := range append(p.Alternate, p.Instances...) {
		if filepath.Clean(dir) == filepath.Clean(flag) {
			return flag, nil
		}
	}
	return "", unauthorized(flag)
}

func unauthorized(dir string) error {
	return fmt.Errorf("unauthorized configuration directory name: %s", dir)
}

func orDefault(dir string) string {
	if dir == "" {
		return DefaultConfigDir
	}
	return dir
}

// Params is what the queue commands read from main.cf.
type Params struct {
	QueueDir      string   `param:"queue_directory"`
	HashDepth     int      `param:"hash_queue_depth"`
	HashNames     []string `param:"hash_queue_names"`
	LongIDs       bool     `param:"enable_long_queue_ids"`
	MailOwner     string   `param:"mail_owner"`
	SyslogName    string   `param:"syslog_name"`
	SyslogFac     string   `param:"syslog_facility"`
	MaillogFile   string   `param:"maillog_file"`
	DaemonDir     string   `param:"daemon_directory"`
	MailName      string   `param:"mail_name"`
	ShowqService  string   `param:"showq_service_name"`
	PickupService string   `param:"pickup_service_name"`
	QueueService  string   `param:"queue_service_name"`
	FlushService  string   `param:"flush_service_name"`
}

// Tool is a running command.
type Tool struct {
	Params
	Name               string
	Config             *config.Config
	Log                *maillog.Logger
	OwnerUID, OwnerGID int
}

// Open reads the configuration and opens the log.
func Open(name, configFlag string, verbose bool) (*Tool, error) {
	return open(name, configFlag, verbose, func(string) *os.File { return nil })
}

// OpenLogged is Open for a command whose doings are logged while the mail system
// is down, too.
func OpenLogged(name, configFlag string, verbose bool) (*Tool, error) {
	return open(name, configFlag, verbose, logFile)
}

func open(name, configFlag string, verbose bool, held func(path string) *os.File) (*Tool, error) {
	dir, err := ConfigDir(configFlag)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(dir)
	if err != nil {
		return nil, err
	}
	t := &Tool{Name: name, Config: cfg}
	if err := cfg.Fill(&t.Params); err != nil {
		return nil, err
	}
	if t.OwnerUID, t.OwnerGID, err = Owner(t.MailOwner, t.QueueDir); err != nil {
		return nil, err
	}
	t.Log = maillog.Open(maillog.Options{Program: name, Name: t.SyslogName, Facility: t.SyslogFac,
		File: t.MaillogFile, Postlog: filepath.Join(t.QueueDir, maillog.PostlogSocket), Held: held(t.MaillogFile), Verbose: verbose})
	return t, nil
}

// logFile opens the log file for a command that its owner calls. A file that is
// not there yet is left to postlogd, whose it will be.
func logFile(path string) *os.File {
	if Privileged() || path == "" || strings.HasPrefix(path, "/dev/") {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil
	}
	return f
}

// Owner returns the ids of mail_owner. In an instance that an ordinary user
// runs, the queue directory belongs to that user, who is the owner then; a
// privileged command does not take its caller for one.
func Owner(name, queueDir string) (uid, gid int, err error) {
	if os.Geteuid() != 0 && !Privileged() {
		var st unix.Stat_t
		if err := unix.Stat(queueDir, &st); err == nil && int(st.Uid) == os.Getuid() {
			return os.Getuid(), os.Getgid(), nil
		}
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, fmt.Errorf("mail_owner: %w", err)
	}
	uid, err = strconv.Atoi(u.Uid)
	if err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	return uid, gid, err
}

// Queue returns the queue in dir, with the layout that main.cf gives.
func (t *Tool) Queue(dir string) *queue.Queue {
	return queue.Open(dir, queue.Options{HashDepth: t.HashDepth, HashNames: t.HashNames,
		LongIDs: t.LongIDs, Owner: t.OwnerUID})
}

// Info, Warn, Error and Fatal report to standard error and to the mail log.
func (t *Tool) Info(id, format string, args ...any) {
	t.Log.Info(id, format, args...)
	t.stderr("", id, format, args...)
}

// Warn reports what did not go as asked.
func (t *Tool) Warn(format string, args ...any) {
	t.Log.Warn("", format, args...)
	t.stderr("warning: ", "", format, args...)
}

// Trigger wakes a service, and warns where there is none to wake.
func (t *Tool) Trigger(service, request string) error {
	err := ipc.Trigger("public/"+service, []byte(request))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		t.Warn("unable to look up public/%s: %s", service, ErrnoText(err))
	}
	return err
}

// Error reports that the operation failed.
func (t *Tool) Error(format string, args ...any) {
	t.Log.Error("", format, args...)
	t.stderr("error: ", "", format, args...)
}

// Fatal reports why the command ends.
func (t *Tool) Fatal(format string, args ...any) {
	t.Log.Fatal("", format, args...)
	t.stderr("fatal: ", "", format, args...)
}

func (t *Tool) stderr(class, id, format string, args ...any) {
	if id != "" {
		class = id + ": " + class
	}
	fmt.Fprintln(os.Stderr, Line(t.Name, class+fmt.Sprintf(format, args...)))
}

// Close waits until the log has left.
func (t *Tool) Close() { _ = t.Log.Close() }

// Line returns a message of a command, safe for a terminal.
func Line(name, text string) string {
	return name + ": " + strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
}

// OpenStandardFiles makes sure that descriptors 0 to 2 are open, so that no
// file that is opened later becomes one of them.
func OpenStandardFiles() error {
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/null: %w", err)
		}
		if fd > 2 {
			return unix.Close(fd)
		}
	}
}

// ErrnoText returns the system's text for an error, as C programs show it.
func ErrnoText(err error) string {
	for e := err; e != nil; {
		if errno, ok := e.(unix.Errno); ok {
			text := errno.Error()
			return strings.ToUpper(text[:1]) + text[1:]
		}
		u, ok := e.(interface{ Unwrap() error })
		if !ok {
			break
		}
		e = u.Unwrap()
	}
	return err.Error()
}
