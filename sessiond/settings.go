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
	Hostname     string        `param:"myhostname"`
	MailName     string        `param:"mail_name"`
	Capability   []string      `param:"imap_capability"`
	Timeout      time.Duration `param:"imap_timeout"`
	IdleNotify   time.Duration `param:"imap_idle_notify_interval"`
	MaxLine      int           `param:"imap_max_line_length"`
	MessageLimit int64         `param:"message_size_limit"`
}

// sessionSettings returns the parameters in the form in which they travel:
// times in seconds, lists with blanks.
func sessionSettings(cfg *config.Config) (map[string]string, error) {
	var p sessionParams
	if err := cfg.Fill(&p); err != nil {
		return nil, err
	}
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	return map[string]string{
		"myhostname":                p.Hostname,
		"mail_name":                 p.MailName,
		"imap_capability":           strings.Join(p.Capability, " "),
		"imap_timeout":              seconds(p.Timeout),
		"imap_idle_notify_interval": seconds(p.IdleNotify),
		"imap_max_line_length":      strconv.Itoa(p.MaxLine),
		"message_size_limit":        strconv.FormatInt(p.MessageLimit, 10),
	}, nil
}
