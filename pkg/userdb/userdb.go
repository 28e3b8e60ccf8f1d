// Package userdb is the user database in text: one line for each user, in the
// format of Courier's userdb.
//
//	you@example.com<TAB>uid=1000|gid=1000|home=/home/you|systempw=$argon2id$...
//
// The fields of Courier keep their meaning:
//
//	uid gid home shell   of the account
//	mail                 the Maildir, when it is not $home/Maildir
//	quota                of the Maildir: 1000000S,1000C
//	systempw             the password for all services
//	imappw, pop3pw ...   the password for one service
//	hmac-md5pw           state for CRAM-MD5, by userdbpw -hmac-md5
//	gecos                the display name
//	options              disableimap=1,disablepop3=1,... and others
//
// These are ours:
//
//	aliases    other logins and addresses of the user, separated by commas;
//	           @example.com takes what nobody else in the domain takes
//	disabled   services that are off: imap,pop3,smtp,submission,sieve
//	networks   the only networks that logins may come from
//	sendas     addresses and @domains the user may write as, beyond the own
//	limits     messages_hour=100,messages_day=1000,recipients_hour=500,
//	           recipients_day=2000,connections=10
//	held       1: the account may not send
//
// A line that starts with '#', and an empty one, is a comment. The database is
// a file, or a directory of files and directories: all files together are the
// database, names that start with a dot excepted. Neither may be accessible
// to group and world.
//
// [Open] gives lookups, [Edit] changes, and [Make] the index files.
package userdb

import (
	"errors"
	"fmt"
)

// Limits of the text, which a person or a program wrote.
const (
	MaxLine    = 64 << 10  // bytes in a line
	MaxFile    = 512 << 20 // bytes in a file
	MaxFiles   = 20000     // files below the directory
	MaxDepth   = 8         // directories inside each other
	MaxLogin   = 512       // bytes in a login or an alias
	MaxAliases = 1000      // items in one list of a record
	maxFields  = 200
)

// ErrUnknown reports a login that is not in the database.
var ErrUnknown = errors.New("unknown user")

// ErrUnsafe reports a source that group or world may read or write, or that
// is a symbolic link.
var ErrUnsafe = errors.New("may not have group or world permissions")

// SyntaxError is a line that cannot be understood. A lookup that ends there
// has failed: it does not say that the user is unknown.
type SyntaxError struct {
	File string
	Line int
	Text string
}

func (e *SyntaxError) Error() string {
	if e.File == "" {
		return e.Text
	}
	return e.place() + ": " + e.Text
}

// place is file:line.
func (e *SyntaxError) place() string { return fmt.Sprintf("%s:%d", e.File, e.Line) }

func syntaxErrorf(format string, args ...any) *SyntaxError {
	return &SyntaxError{Text: fmt.Sprintf(format, args...)}
}
