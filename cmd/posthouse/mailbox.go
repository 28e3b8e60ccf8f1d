package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mbox"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// mailboxFlags are the options of "posthouse mailbox" and "posthouse deliver".
type mailboxFlags struct {
	*pflag.FlagSet
	folder, mbox, sender string
	quota, login         string // of the user, told to the process with its rights
	days                 int
	create               bool
	flags                []string
	input                *os.File // the mbox
}

func newMailboxFlags(name string) *mailboxFlags {
	f := &mailboxFlags{FlagSet: newFlags(name)}
	f.StringVarP(&f.folder, "folder", "m", "", "")
	f.StringVar(&f.mbox, "mbox", "", "")
	f.StringVar(&f.quota, "quota", "", "")
	f.StringVar(&f.login, "login", "", "")
	f.StringVarP(&f.sender, "sender", "f", "", "")
	f.IntVar(&f.days, "older-than", 30, "")
	f.BoolVar(&f.create, "create", false, "")
	f.StringSliceVar(&f.flags, "flags", nil, "")
	return f
}

const mailboxUsage = "posthouse mailbox import | check | rebuild | index | stats | expire USER, or move USER DIRECTORY [-m FOLDER] [--mbox FILE] [--older-than DAYS] [--quota QUOTA]"

// mailboxCommand does "posthouse mailbox import|check|rebuild|index|stats|expire|move".
func (a *app) mailboxCommand(args []string) error {
	f := newMailboxFlags("mailbox")
	if err := a.parseWords(f.FlagSet, args, mailboxUsage, mailboxWords()); err != nil {
		return err
	}
	user, err := a.mailUser(f.Arg(1))
	if err != nil {
		return err
	}
	in := os.Stdin
	if f.mbox != "" && f.mbox != "-" && f.Arg(0) == "import" {
		// Opened with the caller's rights, where the caller is: the user may not
		// get there.
		if in, err = os.Open(f.mbox); err != nil {
			return err
		}
		defer in.Close()
	}
	f.input = in
	if done, err := a.asUser(user, "mailbox", args, in); done {
		return err
	}
	s, err := a.openStore(user, f)
	if err != nil {
		return err
	}
	defer s.Close()
	return mailboxActions()[f.Arg(0)](a, f, s)
}

func mailboxWords() []word {
	var list []word
	for name := range mailboxActions() {
		arguments := 1
		if name == "move" {
			arguments = 2
		}
		list = append(list, word{name, arguments, arguments})
	}
	return list
}

func mailboxActions() map[string]func(*app, *mailboxFlags, *mailstore.Store) error {
	return map[string]func(*app, *mailboxFlags, *mailstore.Store) error{
		"import": (*app).mailboxImport, "check": (*app).mailboxCheck, "rebuild": (*app).mailboxRebuild, "index": (*app).mailboxIndex,
		"stats": (*app).mailboxStats, "expire": (*app).mailboxExpire, "move": (*app).mailboxMove,
	}
}

// mailUser finds a user by login, or a Maildir by its path.
func (a *app) mailUser(name string) (*authclient.User, error) {
	if strings.HasPrefix(name, "/") {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || !info.IsDir() {
			return nil, fmt.Errorf("%s: not a directory", name)
		}
		u := new(authclient.User)
		u.MailDir, u.Home, u.UID, u.GID = filepath.Clean(name), filepath.Dir(filepath.Clean(name)), int(st.Uid), int(st.Gid)
		return u, nil
	}
	cfg, err := config.Load(a.configDir)
	if err != nil {
		return nil, err
	}
	var s settings
	if err := cfg.Fill(&s); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c := authclient.New(filepath.Join(s.QueueDir, authclient.Endpoint))
	defer c.Close()
	u, err := c.Lookup(ctx, name, "imap")
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	return u, nil
}

// asUser runs the command again with the user's rights, if this process is
// root and the user is not: root opens no mailbox. done is false if this
// process is to do the work.
func (a *app) asUser(u *authclient.User, word string, args []string, in *os.File) (done bool, err error) {
	if os.Geteuid() != 0 || u.UID == 0 {
		return false, nil
	}
	self, err := os.Executable()
	if err != nil {
		return true, err
	}
	child := slices.Clone(args)
	for i, arg := range child {
		if arg == u.Login && u.Login != "" {
			child[i] = u.MailDir
		}
	}
	if u.Quota != "" {
		child = append(child, "--quota="+u.Quota)
	}
	if u.Login != "" {
		child = append(child, "--login="+u.Login)
	}
	if in != os.Stdin {
		child = append(child, "--mbox=-")
	}
	cmd := exec.Command(self, append([]string{"-c", a.configDir, word}, child...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, a.out, a.err
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + u.Home, "TZ=" + os.Getenv("TZ")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return true, &exitError{code: exit.ExitCode()}
	}
	return true, err
}

// exitError ends the command with the status of another process, which has
// said what there was to say.
type exitError struct{ code int }

func (e *exitError) Error() string { return "exit status " + strconv.Itoa(e.code) }

// quotaSettings are those that deliveries obey.
type quotaSettings struct {
	Hostname string   `param:"myhostname"`
	Rules    []string `param:"quota_rules"`
	Levels   []string `param:"quota_warning_levels"`
}

func (a *app) openStore(u *authclient.User, f *mailboxFlags) (*mailstore.Store, error) {
	syscall.Umask(0o077)
	host, _ := os.Hostname()
	log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o := mailstore.Options{Shared: mailstore.NewShared(new(safefile.FS), log), Root: u.MailDir, Host: host, User: cmp.Or(u.Login, f.login)}
	quota, err := userdb.ParseQuota(f.quota)
	if err != nil {
		return nil, err
	}
	// A Maildir can be looked after without an instance.
	var set quotaSettings
	cfg, err := config.Load(a.configDir)
	if err == nil {
		err = cfg.Fill(&set)
	}
	if errors.Is(err, os.ErrNotExist) {
		o.Quota = quota
		return mailstore.Open(o)
	}
	if err != nil {
		return nil, err
	}
	if err := o.SetQuota(mailstore.QuotaOptions{Quota: quota, Rules: set.Rules, Levels: set.Levels, Hostname: set.Hostname}); err != nil {
		return nil, err
	}
	return mailstore.Open(o)
}

// reports looks at all folders, or at the one that was named.
func (f *mailboxFlags) reports(s *mailstore.Store) (out []mailstore.Report, err error) {
	names, err := s.Folders()
	if f.folder != "" {
		names = []string{f.folder}
	}
	for _, name := range names {
		r, rerr := s.Report(name)
		if rerr != nil {
			r.Problems = append(r.Problems, rerr.Error())
		}
		out = append(out, r)
	}
	return out, err
}

// mailboxImport takes over a Maildir, or adds the messages of an mbox file.
func (a *app) mailboxImport(f *mailboxFlags, s *mailstore.Store) error {
	if f.mbox != "" {
		return a.importMbox(f, s)
	}
	list, err := f.reports(s)
	if err != nil {
		return err
	}
	failed := false
	for _, r := range list {
		source := r.Source
		switch {
		case !r.New:
			source = "already here"
		case source == "":
			source = "new"
		}
		fmt.Fprintf(a.out, "%-30s %8d messages, UIDVALIDITY %d, next UID %d, %d keywords, %d POP3 ids: %s\n",
			r.Name, r.Status.Messages, r.Status.UIDValidity, r.Status.UIDNext, r.Keywords, r.UIDsOfOther, source)
		failed = a.tellProblems(r) || failed
	}
	if failed {
		return errQuiet
	}
	return nil
}

func (a *app) tellProblems(r mailstore.Report) bool {
	for _, p := range r.Problems {
		fmt.Fprintf(a.out, "%s: %s\n", r.Name, p)
	}
	return len(r.Problems) > 0
}

// mboxBatch is how many messages of an mbox file become visible at once.
const mboxBatch = 100

// importMbox adds the messages of a file. Their flags are in Status and
// X-Status fields, if somebody wrote those.
func (a *app) importMbox(f *mailboxFlags, s *mailstore.Store) error {
	folder := f.folder
	if folder == "" {
		folder = "INBOX"
	}
	if err := s.Create(folder); err != nil && !errors.Is(err, mailstore.ErrExists) {
		return fmt.Errorf("folder %s: %w", folder, err)
	}
	total := 0
	for r, more := mbox.NewReader(f.input), true; more; {
		n, err := mboxPart(s, folder, r)
		if err != nil && err != io.EOF {
			return fmt.Errorf("%s, after %d messages: %w", f.mbox, total, err)
		}
		total += n
		more = err == nil
	}
	fmt.Fprintf(a.out, "%s: %d messages\n", folder, total)
	return nil
}

func mboxPart(s *mailstore.Store, folder string, r *mbox.Reader) (int, error) {
	p, err := s.Begin(folder)
	if err != nil {
		return 0, err
	}
	defer p.Abort()
	n := 0
	var end error
	for n < mboxBatch && end == nil {
		var m *mbox.Message
		if m, end = r.Next(); end != nil {
			break
		}
		head, in, done := splitHeader(m)
		err := p.Add(&mailstore.Incoming{Content: in, Internal: m.Time, Flags: mboxFlags(head)})
		done()
		if err != nil {
			return 0, err
		}
		n++
	}
	if end != nil && end != io.EOF {
		return 0, end
	}
	if n > 0 {
		if _, err := p.Commit(); err != nil {
			return 0, err
		}
	}
	return n, end
}

// splitHeader returns the header of a message, a reader of all of it, and a
// function to call when that is not read any more.
func splitHeader(m *mbox.Message) (string, io.Reader, func()) {
	r, w := io.Pipe()
	go func() {
		_, err := m.WriteTo(w)
		w.CloseWithError(err)
	}()
	const most = 256 << 10
	var head strings.Builder
	buf := make([]byte, 4096)
	for head.Len() < most && !strings.Contains(head.String(), "\n\n") {
		n, err := r.Read(buf)
		head.Write(buf[:n])
		if err == io.EOF {
			return head.String(), strings.NewReader(head.String()), func() {}
		}
		if err != nil {
			break // the reader of the rest gets it again
		}
	}
	return head.String(), io.MultiReader(strings.NewReader(head.String()), r), func() { r.Close() }
}

// mboxFlags reads Status and X-Status: R read, A answered, F flagged, T draft,
// D deleted.
func mboxFlags(head string) (flags mailstore.Flags) {
	head, _, _ = strings.Cut(head, "\n\n")
	for line := range strings.Lines(head) {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !strings.EqualFold(name, "Status") && !strings.EqualFold(name, "X-Status") {
			continue
		}
		for letter, flag := range map[string]mailstore.Flags{"R": mailstore.Seen, "A": mailstore.Answered, "F": mailstore.Flagged, "T": mailstore.Draft, "D": mailstore.Deleted} {
			if strings.Contains(value, letter) {
				flags |= flag
			}
		}
	}
	return flags
}

func (a *app) mailboxCheck(f *mailboxFlags, s *mailstore.Store) error {
	list, err := f.reports(s)
	if err != nil {
		return err
	}
	failed := false
	for _, r := range list {
		failed = a.tellProblems(r) || failed
		if r.OldTemp > 0 {
			n, err := s.CleanTemp(r.Name)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "%s: %d old files in tmp were removed\n", r.Name, n)
		}
	}
	if failed {
		return errQuiet
	}
	fmt.Fprintf(a.out, "%d folders, no problems\n", len(list))
	return nil
}

func (a *app) mailboxStats(f *mailboxFlags, s *mailstore.Store) error {
	list, err := f.reports(s)
	if err != nil {
		return err
	}
	var messages int
	var bytes int64
	fmt.Fprintf(a.out, "%-30s %10s %10s %16s %12s\n", "folder", "messages", "unseen", "bytes", "index bytes")
	for _, r := range list {
		fmt.Fprintf(a.out, "%-30s %10d %10d %16d %12d\n", r.Name, r.Status.Messages, r.Status.Unseen, r.Status.Size, r.OwnBytes)
		messages, bytes = messages+r.Status.Messages, bytes+r.Status.Size
	}
	fmt.Fprintf(a.out, "%-30s %10d %10s %16d\n", "all", messages, "", bytes)
	u, ok, err := s.QuotaUsage()
	if err == nil && ok {
		fmt.Fprintf(a.out, "quota: %d of %d bytes, %d of %d messages, %d%%\n", u.Bytes, u.MaxBytes, u.Messages, u.MaxMessages, u.Percent)
	}
	return err
}

// mailboxExpire removes old messages of Trash, or of the folder that was named.
func (a *app) mailboxExpire(f *mailboxFlags, s *mailstore.Store) error {
	folder := f.folder
	if folder == "" {
		var err error
		if folder, err = s.FolderForUse("Trash", "Trash"); err != nil {
			return err
		}
	}
	if f.days < 1 {
		return fmt.Errorf("%w: --older-than is a number of days", errUsage)
	}
	n, err := s.Expire(folder, time.Now().AddDate(0, 0, -f.days))
	if err != nil {
		return fmt.Errorf("folder %s: %w", folder, err)
	}
	fmt.Fprintf(a.out, "%s: %d messages removed\n", folder, n)
	return nil
}
