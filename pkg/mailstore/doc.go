// Package mailstore is the mail of a user: folders of messages in the Maildir++
// form, with what IMAP asks of them.
//
// The message files are the truth: their names tell the flags, and any program
// that knows Maildirs may add, move and remove them at any time. Beside them
// each folder has a UID list, which is text and synced, and files that can be
// made again: an index with a record of fixed size for each message, a log of
// changes, and a cache of what was once found in messages. Several processes
// may use a folder at once. Whoever changes something holds a lock for as long
// as that takes, and never while waiting for a client or a disk.
//
// A [Mailbox] is what one session sees of a folder. It changes by
// [Mailbox.Sync] only, so that sequence numbers stay what the client knows.
//
// docs/decisions/0010-the-stores-index.md tells why it is made this way, and
// docs/mail-store.md what each file is for.
package mailstore
