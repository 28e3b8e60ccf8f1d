package deliver

import "time"

// MailboxParams are the parameters of every agent that stores messages in
// mailboxes. An agent has them in the struct of its own.
type MailboxParams struct {
	DaemonDir         string        `param:"daemon_directory"` // where its worker is
	LockAttempts      int           `param:"deliver_lock_attempts"`
	LockDelay         time.Duration `param:"deliver_lock_delay"`
	OriginalRecipient bool          `param:"enable_original_recipient"`
	MessageLimit      int64         `param:"message_size_limit"`
	Myhostname        string        `param:"myhostname"`
	Delimiter         string        `param:"recipient_delimiter"`
	StaleLock         time.Duration `param:"stale_lock_time"`
	StrictOwner       bool          `param:"strict_mailbox_ownership"`
}
