package mailstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/mailstore/index"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/maildirsize"
)

// QuotaRule is about one folder and those below it.
type QuotaRule struct {
	Folder string
	Ignore bool  // its messages do not count
	Bytes  int64 // so much more is allowed there: clients must be able to use Trash
}

// ParseQuotaRule reads a rule in Dovecot's form: "Trash:ignore",
// "Trash:storage=+100M", "*:storage=1G" is not one.
func ParseQuotaRule(text string) (QuotaRule, error) {
	name, what, ok := strings.Cut(text, ":")
	name, err := Canonical(name)
	if !ok || err != nil {
		return QuotaRule{}, fmt.Errorf("%w: rule %q", maildirsize.ErrBadQuota, text)
	}
	r := QuotaRule{Folder: name}
	if what == "ignore" {
		r.Ignore = true
		return r, nil
	}
	size, ok := strings.CutPrefix(what, "storage=+")
	if !ok || size == "" {
		return r, fmt.Errorf("%w: rule %q", maildirsize.ErrBadQuota, text)
	}
	unit := int64(1)
	if i := strings.IndexByte("KMGT", size[len(size)-1]&^0x20); i >= 0 {
		unit = 1 << (10 * (i + 1))
		size = size[:len(size)-1]
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 || n > 1<<50/unit {
		return r, fmt.Errorf("%w: rule %q", maildirsize.ErrBadQuota, text)
	}
	r.Bytes = n * unit
	return r, nil
}

// QuotaWarning tells that a mailbox became this full.
type QuotaWarning struct {
	Percent int // the level that was reached
	Usage   Usage
	Limit   maildirsize.Quota
}

// Usage is how much of the quota is used.
type Usage struct {
	Bytes, Messages       int64
	MaxBytes, MaxMessages int64 // 0: no limit
	Percent               int
}

// defaultRules are Courier's: what is in Trash does not count.
var defaultRules = []QuotaRule{{Folder: "Trash", Ignore: true}}

func (s *Store) rules() []QuotaRule {
	if s.o.QuotaRules != nil {
		return s.o.QuotaRules
	}
	return defaultRules
}

// rule returns the rule of a folder.
func (s *Store) rule(name string) QuotaRule {
	for _, r := range s.rules() {
		if name == r.Folder || strings.HasPrefix(name, r.Folder+"/") {
			return r
		}
	}
	return QuotaRule{}
}

// account is the quota of a Maildir, for one change. Its file is read once, and
// again only where another process may have changed it.
type account struct {
	s     *Store
	root  string
	file  *maildirsize.Account
	line  string // "" if there is no quota
	limit maildirsize.Quota
}

// account opens the quota of the Maildir at root, to be closed. With an error
// it is one without a limit, for who does not ask.
func (s *Store) account(root string) (*account, error) {
	d := &maildirsize.Dir{FS: s.fs, Root: root, Now: s.sh.now, Ignore: func(dir string) bool {
		name, ok := s.folderName(root, dir)
		return ok && s.rule(name).Ignore
	}}
	a := &account{s: s, root: root, file: new(maildirsize.Account)}
	file, err := d.Open()
	if err != nil {
		return a, temporary(err)
	}
	a.file = file
	a.setLimit()
	return a, nil
}

func (a *account) close() { a.file.Close() }

// setLimit finds the quota. Without one in the options that of the file counts.
func (a *account) setLimit() {
	a.line = a.s.o.Quota
	if a.line == "" || a.root != a.s.o.Root {
		a.line = a.file.Line()
	}
	var err error
	if a.limit, err = maildirsize.Parse(a.line); err != nil {
		a.s.sh.log.Warn("quota is not understood", "folder", a.root, "quota", a.line)
		a.limit = maildirsize.Quota{}
	}
	if a.limit.None() {
		a.line = ""
	}
}

// admit is check for who adds and counts before calling release: until then
// others wait, as two that each fit may be too much together.
func (a *account) admit(p place, bytes, messages int64) (release func(), err error) {
	release = func() {}
	if a.line == "" || a.s.rule(p.name).Ignore {
		return release, nil
	}
	if a.root == a.s.o.Root { // the lock of another's is its owner's
		if release, err = a.s.lockRoot(a.root); err != nil {
			return nil, err
		}
	}
	if err = temporary(a.file.Refresh()); err == nil {
		a.setLimit()
		err = a.check(p, bytes, messages)
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// check refuses an addition that is more than the quota allows.
func (a *account) check(p place, bytes, messages int64) error {
	r := a.s.rule(p.name)
	if a.line == "" || r.Ignore {
		return nil
	}
	q := a.limit
	if q.Bytes > 0 {
		q.Bytes += r.Bytes
	}
	ok, _, err := a.file.Allow(a.line, q, maildirsize.Usage{Bytes: bytes, Messages: messages})
	if err != nil {
		return temporary(err)
	}
	if !ok {
		if bytes <= usualMessage && messages <= 1 {
			a.s.tellFull(a.root, true)
		}
		return ErrOverQuota
	}
	return nil
}

// usualMessage is the size of a message for which there should be room. A
// mailbox that one of 20 MB does not fit into is not full: mail servers refuse
// all mail for one that is.
const usualMessage = 100 << 10

// tellFull lets the caller know, if it is about the user's own mailbox.
func (s *Store) tellFull(root string, full bool) {
	if s.o.Full != nil && root == s.o.Root {
		s.o.Full(full)
	}
}

// warnEvery is how often one level is told of at most.
const warnEvery = 24 * time.Hour

// quotaChange counts messages that came or went, and tells who wants to know.
func (s *Store) quotaChange(f *folder, bytes, messages int64) { s.quotaCount(f, bytes, messages, true) }

// quotaCount is quotaChange, which may tell nobody.
func (s *Store) quotaCount(f *folder, bytes, messages int64, tell bool) {
	if bytes == 0 && messages == 0 {
		return
	}
	a, err := s.account(f.root)
	if err != nil {
		s.sh.log.Warn("quota is not counted", "folder", f.root, "reason", err)
		return
	}
	defer a.close()
	if a.add(f, bytes, messages) && tell {
		a.tell(bytes, messages)
	}
}

// add counts messages that came or went. It reports whether they count.
func (a *account) add(f *folder, bytes, messages int64) bool {
	if a.line == "" || bytes == 0 && messages == 0 {
		return false
	}
	if name, ok := a.s.folderName(f.root, filepath.Base(f.dir)); ok && f.dir != f.root && a.s.rule(name).Ignore {
		return false
	}
	if err := a.file.Add(maildirsize.Usage{Bytes: bytes, Messages: messages}); err != nil {
		a.s.sh.log.Warn("quota is not counted", "folder", f.root, "reason", err)
		return false
	}
	return true
}

// tell tells of a change that was counted.
func (a *account) tell(bytes, messages int64) {
	full := a.s.o.Full != nil && a.root == a.s.o.Root
	warn := len(a.s.o.WarnLevels) > 0 && bytes > 0
	if a.line == "" || !full && !warn {
		return
	}
	now, err := a.file.Usage(a.line)
	if err != nil {
		return
	}
	if full {
		a.tellUsage(now, bytes < 0 || messages < 0)
	}
	if !warn {
		return
	}
	before := maildirsize.Usage{Bytes: now.Bytes - bytes, Messages: now.Messages - messages}
	for _, level := range a.s.o.WarnLevels {
		if before.Percent(a.limit) < level && now.Percent(a.limit) >= level && a.s.warnDue(level) {
			a.s.warn(QuotaWarning{Percent: level, Usage: Usage{Bytes: now.Bytes, Messages: now.Messages}, Limit: a.limit})
		}
	}
}

// tellUsage says whether there is room after a change. Who delivers asked
// before, and need not hear that there still is.
func (a *account) tellUsage(now maildirsize.Usage, less bool) {
	full := now.Reaches(a.limit)
	if full || less {
		a.s.tellFull(a.root, full)
	}
}

// warnDue reports whether a level was not told of lately, and notes that it is
// now. The file is Courier's, for each level one.
func (s *Store) warnDue(level int) bool {
	path := filepath.Join(s.o.Root, "quotawarn."+strconv.Itoa(level))
	if info, err := os.Lstat(path); err == nil && s.sh.now().Sub(info.ModTime()) < warnEvery {
		return false
	}
	f, err := s.fs.Create(path, 0o600)
	if err == nil {
		return s.fs.Close(f) == nil
	}
	return s.fs.SetTimes(path, s.sh.now()) == nil
}

// quotaForget has the messages counted anew when next asked.
func (s *Store) quotaForget(root string) {
	a, err := s.account(root)
	if err != nil {
		s.sh.log.Warn("quota is not counted", "folder", root, "reason", err)
		return
	}
	defer a.close()
	if a.line == "" {
		return
	}
	now, err := a.file.Recount(a.line)
	if err != nil {
		s.sh.log.Warn("quota is not counted", "folder", root, "reason", err)
		return
	}
	a.tellUsage(now, true)
}

// QuotaUsage returns the user's usage; ok is false if there is no quota.
func (s *Store) QuotaUsage() (u Usage, ok bool, err error) {
	a, err := s.account(s.o.Root)
	if err != nil {
		return u, false, err
	}
	defer a.close()
	if a.line == "" {
		return u, false, nil
	}
	n, err := a.file.Usage(a.line)
	if err != nil {
		return u, false, temporary(err)
	}
	q := a.limit
	return Usage{Bytes: n.Bytes, Messages: n.Messages, MaxBytes: q.Bytes, MaxMessages: q.Messages, Percent: n.Percent(q)}, true, nil
}

// quotaCounts reports whether a message counts: as in Courier, one that is
// marked as deleted does not.
func quotaCounts(r *index.Record) bool { return r.Flags&Deleted == 0 }
