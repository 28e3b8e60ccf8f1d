package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// sessionParams are the parameters that sessions obey. The worker gets them
// with each session, since it cannot read main.cf.
type sessionParams struct {
	Hostname    string        `param:"myhostname"`
	MailName    string        `param:"mail_name"`
	Capability  []string      `param:"imap_capability"`
	Timeout     time.Duration `param:"imap_timeout"`
	IdleNotify  time.Duration `param:"imap_idle_notify_interval"`
	MaxLine     int           `param:"imap_max_line_length"`
	AppendLimit int64         `param:"imap_append_limit"`
	SearchTime  time.Duration `param:"imap_search_time_limit"`
	FullText    bool          `param:"fts_index"`
	MaxText     int64         `param:"fts_message_max_size"`
	Special     []string      `param:"mail_special_folders"`
	Shared      []string      `param:"mail_shared_folders"`
	Expire      []string      `param:"mail_expire"`
	Fsync       string        `param:"mail_fsync"`
	QuotaRules  []string      `param:"quota_rules"`
	QuotaLevels []string      `param:"quota_warning_levels"`

	POP3Expire string        `param:"pop3_expire"`
	POP3Idle   time.Duration `param:"pop3_idle_timeout"`
	POP3Lock   bool          `param:"pop3_lock_session"`
	POP3Delay  time.Duration `param:"pop3_login_delay"`
	POP3NoSeen bool          `param:"pop3_no_flag_updates"`
	POP3UIDL   string        `param:"pop3_uidl_format"`
}

// sessionSettings returns the parameters in the form in which they travel:
// times in seconds, lists with blanks, yes as 1.
func sessionSettings(cfg *config.Config) (map[string]string, error) {
	var p sessionParams
	if err := cfg.Fill(&p); err != nil {
		return nil, err
	}
	yes := map[bool]string{true: "1", false: "0"}
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	return map[string]string{
		"myhostname":                p.Hostname,
		"mail_name":                 p.MailName,
		"imap_capability":           strings.Join(p.Capability, " "),
		"imap_timeout":              seconds(p.Timeout),
		"imap_idle_notify_interval": seconds(p.IdleNotify),
		"imap_max_line_length":      strconv.Itoa(p.MaxLine),
		"imap_append_limit":         strconv.FormatInt(p.AppendLimit, 10),
		"imap_search_time_limit":    seconds(p.SearchTime),
		"fts_index":                 yes[p.FullText],
		"fts_message_max_size":      strconv.FormatInt(p.MaxText, 10),
		"mail_expire":               strings.Join(p.Expire, " "),
		"mail_fsync":                p.Fsync,
		"quota_rules":               strings.Join(p.QuotaRules, " "),
		"quota_warning_levels":      strings.Join(p.QuotaLevels, " "),
		"mail_shared_folders":       strings.Join(p.Shared, " "),
		"mail_special_folders":      strings.Join(p.Special, " "),

		"pop3_expire":          p.POP3Expire,
		"pop3_idle_timeout":    seconds(p.POP3Idle),
		"pop3_lock_session":    yes[p.POP3Lock],
		"pop3_login_delay":     seconds(p.POP3Delay),
		"pop3_no_flag_updates": yes[p.POP3NoSeen],
		"pop3_uidl_format":     p.POP3UIDL,
	}, nil
}
