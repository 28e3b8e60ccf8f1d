// Package jail takes rights away from a daemon, once and for good.
//
// A daemon names a [Profile]; the profile decides which user it becomes, what
// it may do in the file system, whether it may use the network, and whether it
// may start programs. `grep jail\.` over the daemons shows the whole privilege
// design.
//
// [Enter] applies, in this order, what the profile and the caller's own rights
// allow: no core files, capability bounding set, chroot, user and groups,
// capabilities, no_new_privs, landlock, seccomp, and no ptrace by processes of
// the same user. Each step covers all threads of the process: the Go runtime
// has several long before main, and a thread that kept its rights would be the
// hole. [Applied] tells what was done, for the log and for tests.
package jail

import (
	"fmt"
	"strings"
)

// Profile names a set of rights.
type Profile int

// The profiles.
const (
	// QueueOnly is a process that works on queue files and talks to its
	// siblings: cleanup, qmgr, bounce, pickup, showq, trivial-rewrite, error.
	// No network, no programs.
	QueueOnly Profile = iota
	// Network is a server that talks to anybody and needs nothing but its
	// sockets: smtpd, lmtpd. It may open no file at all.
	Network
	// Submission is a Network with a user of its own (parameter
	// submission_owner), which may have messages signed: submission.
	Submission
	// Client is a delivery agent with a network: smtp, lmtp. It works on
	// queue files and connects to anybody.
	Client
	// Helper reads tables or databases wherever they are, and writes only in
	// the data directory: proxymap, anvil, verify. No programs.
	Helper
	// Keys is tlsmgr: a Helper with a user of its own (parameter tls_owner).
	Keys
	// Login is a server that talks to anybody before login: imapd, pop3d. It
	// is a Network with a user of its own (parameter login_owner), which owns
	// nothing; only daemons that say so take it as a client.
	Login
	// Auth is authd: a Helper with a user of its own (parameter auth_owner),
	// which reads the user database and talks to database servers.
	Auth
	// LogWriter is postlogd: it holds the open log file and one socket.
	LogWriter
	// Parent keeps root with few capabilities, because it starts workers
	// under the users' ids: local, virtual, pipe.
	Parent
	// Worker is a delivery process that already runs as the user. It may
	// start programs, so it keeps the right to do so.
	Worker
	// Open applies nothing but no core files and no ptrace; for tests.
	Open
)

// owner is the user that a profile runs as.
type owner int

const (
	mailOwner owner = iota
	tlsOwner
	loginOwner
	submissionOwner
	authOwner
	root    // stays root, with the capabilities of keepCaps
	current // stays who it is
)

// access is what a profile may do in the file system.
type access int

const (
	noFiles    access = iota // open nothing
	queueFiles               // everything below the queue directory
	readAll                  // read anywhere, write in the data directory
	anyFile                  // no landlock
)

// rules are the rights of one profile.
type rules struct {
	name     string
	owner    owner
	files    access
	network  bool // may make internet sockets
	fifos    bool // may make FIFOs, where landlock lets it
	programs bool // may exec; then no seccomp and no no_new_privs either
}

func (p Profile) rules() rules {
	switch p {
	case QueueOnly:
		return rules{name: "queue-only", files: queueFiles}
	case Network:
		return rules{name: "network", files: noFiles, network: true}
	case Submission:
		return rules{name: "submission", owner: submissionOwner, files: noFiles, network: true}
	case Client:
		return rules{name: "client", files: queueFiles, network: true}
	case Helper:
		return rules{name: "helper", files: readAll, network: true}
	case Keys:
		return rules{name: "keys", owner: tlsOwner, files: readAll}
	case Login:
		return rules{name: "login", owner: loginOwner, files: noFiles, network: true}
	case Auth:
		return rules{name: "auth", owner: authOwner, files: readAll, network: true}
	case LogWriter:
		return rules{name: "log-writer", files: noFiles}
	case Parent:
		return rules{name: "parent", owner: root, files: anyFile, network: true, programs: true}
	case Worker:
		return rules{name: "worker", owner: current, files: anyFile, network: true, programs: true}
	}
	return rules{name: "open", owner: current, files: anyFile, network: true, programs: true}
}

// String returns the name of the profile as it stands in the log.
func (p Profile) String() string { return p.rules().name }

// KeepsRoot reports whether the profile stays root where master.cf allows it.
func (p Profile) KeepsRoot() bool { return p.rules().owner == root }

// Owner returns the parameter that names the user of the profile: mail_owner,
// or that of a process with a user of its own.
func (p Profile) Owner() string {
	switch p.rules().owner {
	case tlsOwner:
		return "tls_owner"
	case loginOwner:
		return "login_owner"
	case submissionOwner:
		return "submission_owner"
	case authOwner:
		return "auth_owner"
	}
	return "mail_owner"
}

// StrangersGID is the group of processes that talk to strangers and need no
// files: smtpd and postlogd. They have the mail owner's user id, and the mail
// owner's group as a supplementary one; by this group, that of nobody, the
// siblings that would read them mail from the queue know them and refuse.
const StrangersGID = 65534

// Options are what a process knows about its place.
type Options struct {
	// QueueDir and DataDir are absolute paths.
	QueueDir, DataDir string
	// Chroot makes QueueDir the root directory.
	Chroot bool
	// UID and GID are who to become; ignored when not root or when the
	// profile keeps its user.
	UID, GID int
	// MailGID is the mail owner's group. A process with a user of its own that
	// calls its siblings has it as a supplementary one, since that group may
	// enter the directory of private endpoints.
	MailGID int
	// Groups are further groups that a process with a user of its own keeps,
	// such as the one that may read /etc/shadow.
	Groups []int
	// Unprivileged overrides a profile that would keep root.
	Unprivileged bool
}

// Applied is what Enter did.
type Applied struct {
	Profile    string
	UID, GID   int
	Chroot     bool
	Caps       string // what is left, "none" or names
	NoNewPrivs bool
	Landlock   int // ABI version, 0 = none
	Seccomp    bool
	// Skipped lists steps that were wanted and impossible, with the reason.
	Skipped []string
}

// String returns one line for the log.
func (a Applied) String() string {
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return "no"
	}
	// Not ": uid=", which pflogsumm counts as a received message.
	s := fmt.Sprintf("jail %s: runs as uid=%d gid=%d chroot=%s capabilities=%s no_new_privs=%s landlock=%d seccomp=%s",
		a.Profile, a.UID, a.GID, yes(a.Chroot), a.Caps, yes(a.NoNewPrivs), a.Landlock, yes(a.Seccomp))
	if len(a.Skipped) > 0 {
		s += "; not applied: " + strings.Join(a.Skipped, ", ")
	}
	return s
}
