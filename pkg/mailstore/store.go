package mailstore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/maildir"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// What callers tell apart. Every other error is one that may pass.
var (
	ErrNoMailbox    = errors.New("no such mailbox")
	ErrExists       = errors.New("mailbox exists")
	ErrBadName      = errors.New("invalid mailbox name")
	ErrHasChildren  = errors.New("mailbox has children")
	ErrOverQuota    = errors.New("over quota")
	ErrTooBig       = errors.New("message is too large")
	ErrNoPermission = errors.New("permission denied")
	ErrReadOnly     = errors.New("mailbox is read-only")
	ErrExpunged     = errors.New("message is expunged")
	ErrKeywordLimit = errors.New("too many keywords")
	ErrTemporary    = errors.New("mailbox is temporarily unavailable")
	// ErrNoRoom is of a mailbox that cannot be opened while the disk is full:
	// it never was before, or has lost its index.
	ErrNoRoom = errors.New("no room on disk for the mailbox's first index")
	// ErrReplaced tells a session that its mailbox was deleted, or has a
	// new UIDVALIDITY: what its client knows is void.
	ErrReplaced = errors.New("mailbox was replaced")
)

// Shared is what the stores of one process have in common. Each process has
// one.
type Shared struct {
	fs   *safefile.FS
	log  *slog.Logger
	boot string
	now  func() time.Time

	mu      sync.Mutex
	folders map[string]*folder // by directory
	names   map[string]knownNames
	hub     *hub

	unwatched bool          // see WithoutInotify
	poll      time.Duration // how often folders are looked at that are not watched
	retry     time.Duration // how often it is tried to have them watched
}

// NewShared returns the common part. fs does what must survive a power cut. It
// is to be called before a process is confined, as it reads the boot id.
func NewShared(fs *safefile.FS, log *slog.Logger) *Shared {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	sh := &Shared{fs: fs, log: log, boot: bootID(), now: time.Now, folders: make(map[string]*folder),
		poll: pollEvery, retry: retryEvery}
	if sh.boot == unknownBoot {
		log.Warn("the boot id cannot be read: after a power cut UIDs may repeat")
	}
	return sh
}

// unknownBoot stands for a boot id that could not be read, which is then not
// compared.
const unknownBoot = "unknown"

// bootID names the run of the kernel: what was written in another one and not
// synced may be lost.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if id := strings.TrimSpace(string(b)); err == nil && len(id) == 36 {
		return id
	}
	return unknownBoot
}

// sameBoot reports whether a log was begun since the kernel was started.
func (sh *Shared) sameBoot(boot [16]byte) bool {
	return sh.boot == unknownBoot || boot == bootBytes(sh.boot) || boot == bootBytes(unknownBoot)
}

// Options say whose store it is.
type Options struct {
	Shared *Shared // nil for one of its own
	Root   string  // the Maildir that is INBOX
	Host   string  // ends the names of message files
	User   string  // who uses it, for access rights
	Owner  string  // whose it is; "" for User
	Quota  string  // as in Maildir++: "1000000S,1000C"
	Trees  []Tree  // of others, whose folders the user may see by their rights
	// QuotaRules are for single folders; nil for Courier's, by which Trash
	// does not count.
	QuotaRules []QuotaRule
	// Warn is called when the mailbox becomes WarnLevels percent full. Without
	// it the user gets a message from postmaster@WarnFrom, if that is set.
	Warn       func(QuotaWarning)
	WarnLevels []int
	WarnFrom   string
	// Full is told when the user's own mailbox has no room for a message of
	// usual size, and when it has some again; not with each change.
	Full func(bool)
	// CacheVersion is that of the fields that callers put in the cache: another
	// one makes a cache worthless.
	CacheVersion uint32
	// SpecialUse are folders that are made when the store is opened first:
	// name to attribute without backslash, such as "Sent": "Sent".
	SpecialUse map[string]string
	// SyncChanges has Store and Expunge return when what they did is on disk,
	// as Append, Copy and Move always do with messages.
	SyncChanges bool
	// Subscribe subscribes the user to folders of SpecialUse when made.
	Subscribe bool
}

// Store is the mail of one user. It is safe for concurrent use.
type Store struct {
	sh   *Shared
	fs   *safefile.FS
	o    Options
	dirs *maildir.Deliverer
	utf8 map[string]bool // by root: folder names on disk are UTF-8, not modified UTF-7
}

// Open returns the store at o.Root, which is made if it is not there but its
// parent is.
func Open(o Options) (*Store, error) {
	if !filepath.IsAbs(o.Root) {
		return nil, fmt.Errorf("mail directory %q: not an absolute path", o.Root)
	}
	if o.Shared == nil {
		o.Shared = NewShared(new(safefile.FS), nil)
	}
	if o.Host == "" {
		o.Host = "localhost"
	}
	s := &Store{sh: o.Shared, fs: o.Shared.fs, o: o, dirs: &maildir.Deliverer{FS: o.Shared.fs, Host: o.Host}}
	if _, err := os.Lstat(filepath.Join(o.Root, "cur")); err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", ErrTemporary, err)
		}
		if err := s.dirs.Make(o.Root); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrTemporary, err)
		}
	}
	s.utf8 = make(map[string]bool)
	utf8, err := s.sh.decideNames(o.Root)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	s.utf8[o.Root] = utf8
	for _, t := range o.Trees {
		// One that cannot be read is one that the user cannot see.
		s.utf8[t.Root], _ = s.sh.decideNames(t.Root)
		// Whoever may write there may put links in place of directories.
		s.fs.Guard(t.Root)
	}
	err = s.makeSpecialUse()
	if isFull(err) { // next time
		o.Shared.log.Warn("special folders are not made", "folder", o.Root, "reason", err)
		err = nil
	}
	return s, err
}

// Close gives up what the store holds. Mailboxes that are open stay good.
func (s *Store) Close() error { return nil }

// Root is the Maildir of INBOX.
func (s *Store) Root() string { return s.o.Root }
