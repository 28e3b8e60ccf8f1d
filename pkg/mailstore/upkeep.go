package mailstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/printable"
)

// QuotaOptions are the parts of Options about the quota in the form in which
// parameters have them.
type QuotaOptions struct {
	Quota    string   // of the user
	Rules    []string // quota_rules
	Levels   []string // quota_warning_levels, in percent
	Hostname string
}

// SetQuota puts q into the options. Warnings go to INBOX as messages.
func (o *Options) SetQuota(q QuotaOptions) error {
	o.Quota = q.Quota
	o.QuotaRules = []QuotaRule{}
	for _, text := range q.Rules {
		r, err := ParseQuotaRule(text)
		if err != nil {
			return err
		}
		o.QuotaRules = append(o.QuotaRules, r)
	}
	for _, text := range q.Levels {
		n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
		if err != nil || n < 1 || n > 100 {
			return fmt.Errorf("quota warning level %q: not a number of percent", text)
		}
		o.WarnLevels = append(o.WarnLevels, n)
	}
	o.WarnFrom = q.Hostname
	return nil
}

// warn tells that the mailbox is nearly full: by the hook of the options, or
// by a message, which is delivered whether there is room or not.
func (s *Store) warn(w QuotaWarning) {
	if s.o.Warn != nil {
		s.o.Warn(w)
		return
	}
	if s.o.WarnFrom == "" {
		return
	}
	p, err := s.place(inbox)
	if err == nil {
		_, err = s.deliverNew(p, Delivery{NoQuota: true, quiet: true, Fill: func(out io.Writer) error {
			_, err := io.WriteString(out, s.warning(w))
			return err
		}})
	}
	if err != nil {
		s.sh.log.Warn("quota warning is not delivered", "folder", s.o.Root, "reason", err)
	}
}

// warning is the text of the message.
func (s *Store) warning(w QuotaWarning) string {
	var b strings.Builder
	now := s.sh.now()
	to := s.o.User
	if to == "" {
		to = "postmaster"
	}
	fmt.Fprintf(&b, "From: Mail Delivery System <postmaster@%s>\nTo: <%s>\nDate: %s\n", printable.Text(s.o.WarnFrom), printable.Text(to), now.Format(time.RFC1123Z))
	fmt.Fprintf(&b, "Message-ID: <quota.%d.%d@%s>\nSubject: Your mailbox is %d%% full\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\n",
		now.UnixNano(), w.Percent, printable.Text(s.o.WarnFrom), w.Percent)
	b.WriteString("Your mailbox is nearly full:\n\n")
	switch {
	case w.Limit.Bytes >= 10<<20:
		fmt.Fprintf(&b, "    %d of %d megabytes\n", w.Usage.Bytes>>20, w.Limit.Bytes>>20)
	case w.Limit.Bytes > 0:
		fmt.Fprintf(&b, "    %d of %d kilobytes\n", w.Usage.Bytes>>10, w.Limit.Bytes>>10)
	}
	if w.Limit.Messages > 0 {
		fmt.Fprintf(&b, "    %d of %d messages\n", w.Usage.Messages, w.Limit.Messages)
	}
	b.WriteString("\nWhen it is full, mail for you is returned to its senders. Please delete\nmessages that you do not need, and empty the trash.\n")
	return b.String()
}

// fileExpired is touched when old messages were removed.
const fileExpired = "posthouse-expired"

// expireEvery is how often old messages are looked for.
const expireEvery = 24 * time.Hour

// ExpireRules removes old messages by rules such as "Trash=30", which is a
// folder and a number of days, and what killed deliveries left in tmp. It does
// so at most once a day.
func (s *Store) ExpireRules(rules []string) error {
	path := filepath.Join(s.o.Root, fileExpired)
	now := s.sh.now()
	if info, err := os.Lstat(path); err == nil && now.Sub(info.ModTime()) < expireEvery {
		return nil
	}
	f, err := s.fs.Create(path, 0o600)
	switch {
	case err == nil:
		err = s.fs.Close(f)
	case errors.Is(err, os.ErrExist):
		err = s.fs.SetTimes(path, now)
	}
	if err != nil {
		return temporary(err)
	}
	names, err := s.Folders()
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := s.CleanTemp(name); err != nil && !errors.Is(err, ErrNoMailbox) {
			return err
		}
	}
	for _, rule := range rules {
		name, days, err := ParseExpire(rule)
		if err != nil {
			return err
		}
		if _, err := s.Expire(name, now.AddDate(0, 0, -days)); err != nil {
			return err
		}
	}
	return nil
}

// ParseExpire reads a rule of ExpireRules.
func ParseExpire(rule string) (folder string, days int, err error) {
	name, num, _ := strings.Cut(rule, "=")
	folder, err = Canonical(name)
	if err == nil {
		days, err = strconv.Atoi(strings.TrimSuffix(num, "d"))
	}
	if err != nil || days < 1 || days > 36500 {
		return "", 0, fmt.Errorf("rule %q is not a folder and a number of days", rule)
	}
	return folder, days, nil
}
