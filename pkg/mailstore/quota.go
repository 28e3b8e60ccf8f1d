package mailstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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

// quotaDir returns the quota of the Maildir at root, and which it is. Without
// one in the options that of the file counts. line is "" if there is none.
func (s *Store) quotaDir(root string) (d *maildirsize.Dir, line string, q maildirsize.Quota, err error) {
	d = &maildirsize.Dir{FS: s.fs, Root: root, Now: s.sh.now, Ignore: func(dir string) bool {
		name, ok := s.folderName(root, dir)
		return ok && s.rule(name).Ignore
	}}
	line = s.o.Quota
	if line == "" || root != s.o.Root {
		if line, _, err = d.Line(); err != nil {
			return d, "", q, temporary(err)
		}
	}
	if q, err = maildirsize.Parse(line); err != nil {
		s.sh.log.Warn("quota is not understood", "folder", root, "quota", line)
		return d, "", q, nil
	}
	if q.None() {
		line = ""
	}
	return d, line, q, nil
}

// admit is checkQuota for who adds and counts before calling release: until
// then others wait, as two that each fit may be too much together.
func (s *Store) admit(p place, bytes, messages int64) (release func(), err error) {
	if s.rule(p.name).Ignore {
		return func() {}, nil
	}
	_, line, _, err := s.quotaDir(p.root)
	if err != nil || line == "" {
		return func() {}, err
	}
	if p.root != s.o.Root {
		// Its lock is its owner's.
		return func() {}, s.checkQuota(p, bytes, messages)
	}
	unlock, err := s.lockRoot(p.root)
	if err != nil {
		return nil, err
	}
	if err := s.checkQuota(p, bytes, messages); err != nil {
		unlock()
		return nil, err
	}
	return sync.OnceFunc(unlock), nil
}

// checkQuota refuses an addition that is more than the quota allows.
func (s *Store) checkQuota(p place, bytes, messages int64) error {
	r := s.rule(p.name)
	if r.Ignore {
		return nil
	}
	d, line, q, err := s.quotaDir(p.root)
	if err != nil || line == "" {
		return err
	}
	if q.Bytes > 0 {
		q.Bytes += r.Bytes
	}
	ok, _, err := d.Allow(line, q, maildirsize.Usage{Bytes: bytes, Messages: messages})
	if err != nil {
		return temporary(err)
	}
	if !ok {
		if bytes <= usualMessage && messages <= 1 {
			s.tellFull(p.root, true)
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

// tellUsage says whether there is room after a change. Who delivers asked
// before, and need not hear that there still is.
func (s *Store) tellUsage(d *maildirsize.Dir, line string, q maildirsize.Quota, less bool) {
	if s.o.Full == nil || d.Root != s.o.Root {
		return
	}
	now, err := d.Usage(line)
	if err != nil {
		return
	}
	full := q.Bytes > 0 && now.Bytes >= q.Bytes || q.Messages > 0 && now.Messages >= q.Messages
	if full || less {
		s.o.Full(full)
	}
}

// warnEvery is how often one level is told of at most.
const warnEvery = 24 * time.Hour

// quotaChange counts messages that came or went, and tells who wants to know.
func (s *Store) quotaChange(f *folder, bytes, messages int64) {
	if s.quotaAdd(f, bytes, messages) {
		s.quotaTell(f, bytes, messages)
	}
}

// quotaAdd counts messages that came or went. It reports whether there is a
// quota.
func (s *Store) quotaAdd(f *folder, bytes, messages int64) bool {
	if bytes == 0 && messages == 0 {
		return false
	}
	if name, ok := s.folderName(f.root, filepath.Base(f.dir)); ok && f.dir != f.root && s.rule(name).Ignore {
		return false
	}
	d, line, _, err := s.quotaDir(f.root)
	if err != nil || line == "" {
		return false
	}
	if err := d.Add(maildirsize.Usage{Bytes: bytes, Messages: messages}); err != nil {
		s.sh.log.Warn("quota is not counted", "folder", f.root, "reason", err)
		return false
	}
	return true
}

// quotaTell tells of a change that was counted.
func (s *Store) quotaTell(f *folder, bytes, messages int64) {
	d, line, q, err := s.quotaDir(f.root)
	if err != nil || line == "" {
		return
	}
	s.tellUsage(d, line, q, bytes < 0 || messages < 0)
	if len(s.o.WarnLevels) == 0 || bytes <= 0 {
		return
	}
	now, err := d.Usage(line)
	if err != nil {
		return
	}
	before := maildirsize.Usage{Bytes: now.Bytes - bytes, Messages: now.Messages - messages}
	for _, level := range s.o.WarnLevels {
		if before.Percent(q) < level && now.Percent(q) >= level && s.warnDue(level) {
			s.warn(QuotaWarning{Percent: level, Usage: Usage{Bytes: now.Bytes, Messages: now.Messages}, Limit: q})
		}
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
	d, line, q, err := s.quotaDir(root)
	if err != nil || line == "" {
		return
	}
	if _, err := d.Recount(line); err != nil {
		s.sh.log.Warn("quota is not counted", "folder", root, "reason", err)
		return
	}
	s.tellUsage(d, line, q, true)
}

// QuotaUsage returns the user's usage; ok is false if there is no quota.
func (s *Store) QuotaUsage() (u Usage, ok bool, err error) {
	d, line, q, err := s.quotaDir(s.o.Root)
	if err != nil || line == "" {
		return u, false, err
	}
	n, err := d.Usage(line)
	if err != nil {
		return u, false, temporary(err)
	}
	return Usage{Bytes: n.Bytes, Messages: n.Messages, MaxBytes: q.Bytes, MaxMessages: q.Messages, Percent: n.Percent(q)}, true, nil
}

// quotaCounts reports whether a message counts: as in Courier, one that is
// marked as deleted does not.
func quotaCounts(r *index.Record) bool { return r.Flags&Deleted == 0 }
