package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/etc"
	"github.com/posthouse-mail/posthouse/pkg/usertool/secret"
)

// instance is what init was asked to make.
type instance struct {
	dir, domain string
	users       []string
	passwords   []string // of the users; empty: random ones, which are printed
	basePort    int
	binDir      string // where this program is
	daemonDir   string // where the daemons are
	commandDir  string // command_directory: binDir, or a folder of the instance's
	owner       *user.User
	mail        *user.User // whose the mailboxes are
	tls         *user.User // who holds the keys
	login       *user.User // of the servers before login
	auth        *user.User // of authd
	submit      *user.User // of submission
	group       string
}

// paths in an instance
func (i *instance) etc(name string) string { return filepath.Join(i.dir, "etc", name) }

func (a *app) initInstance(args []string) error {
	i, err := a.parseInit(args)
	if err != nil {
		return err
	}
	a.configDir = i.etc("")
	if _, err := os.Stat(i.etc("main.cf")); err == nil {
		fmt.Fprintf(a.out, "%s is there already and stays as it is.\n", i.etc("main.cf"))
	} else if err := a.makeInstance(i); err != nil {
		return err
	}
	_, s, err := a.load()
	if err != nil {
		return err
	}
	if s.CommandDir == filepath.Join(i.dir, "sbin") {
		if err := i.makeCommands(s.CommandDir); err != nil {
			return err
		}
	}
	// The programs may belong to somebody else; that is not ours to change.
	if err := a.applyPermissions(s, everything, i.dir); err != nil {
		return err
	}
	return a.printHints(i)
}

const initUsage = "posthouse init --dir DIR [--domain D] [--user ADDRESS ... [--password-file F]] [--base-port N]"

func (a *app) parseInit(args []string) (*instance, error) {
	i := &instance{}
	var passwords string
	flags := newFlags("init")
	flags.StringVar(&i.dir, "dir", "", "")
	flags.StringVar(&i.domain, "domain", "example.test", "")
	flags.StringArrayVar(&i.users, "user", nil, "")
	flags.StringVar(&passwords, "password-file", "", "")
	flags.IntVar(&i.basePort, "base-port", 2525, "")
	if err := a.parse(flags, args, initUsage, 0, 0); err != nil {
		return nil, err
	}
	if i.dir == "" {
		return nil, wrongUsage(initUsage, "init: --dir is missing")
	}
	if i.basePort < 1 || i.basePort > 65535-10 {
		return nil, fmt.Errorf("%w: --base-port %d: not between 1 and 65525", errUsage, i.basePort)
	}
	if !validDomain(i.domain) {
		return nil, fmt.Errorf("%w: --domain %q is not a domain name", errUsage, i.domain)
	}
	for n, u := range i.users {
		if !strings.Contains(u, "@") {
			i.users[n] = u + "@" + i.domain
		}
		if err := checkMailboxAddress(i.users[n], i.domain); err != nil {
			return nil, fmt.Errorf("%w: %v", errUsage, err)
		}
	}
	var err error
	if passwords != "" {
		if i.passwords, err = secret.ReadLines(passwords, os.Stdin, len(i.users)); err != nil {
			return nil, fmt.Errorf("--password-file: %w", err)
		}
	}
	if i.dir, err = absolute(i.dir); err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("where am I: %w", err)
	}
	return i, i.findPrograms(filepath.Dir(exe))
}

func validDomain(name string) bool {
	return len(name) <= 253 && regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*$`).MatchString(name)
}

// checkMailboxAddress accepts addresses whose local part is safe as the name
// of a directory and as a key of a table.
func checkMailboxAddress(addr, domain string) error {
	local, dom, _ := strings.Cut(addr, "@")
	if !strings.EqualFold(dom, domain) && validDomain(dom) {
		return fmt.Errorf("--user %q is not in the domain %s; say --domain %s, or add other domains afterwards with \"posthouse domain add\"", addr, domain, dom)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`).MatchString(local) || !strings.EqualFold(dom, domain) {
		return fmt.Errorf("--user %q: want name@%s with letters, digits, '.', '_' and '-'", addr, domain)
	}
	return nil
}

// chooseOwners decides who runs the daemons and owns the mailboxes: the
// caller or, for root, system users that are made where missing.
func (i *instance) chooseOwners() error {
	current, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err != nil {
		return fmt.Errorf("mail_owner must have a name, and user id %d has none: add one to /etc/passwd: %w", os.Getuid(), err)
	}
	i.owner, i.mail, i.tls, i.login, i.auth, i.submit = current, current, current, current, current, current
	if current.Uid != "0" {
		g, err := user.LookupGroupId(current.Gid)
		if err != nil {
			return fmt.Errorf("setgid_group must have a name, and group id %s has none: add one to /etc/group: %w", current.Gid, err)
		}
		i.group = g.Name
		return nil
	}
	i.group = "postdrop"
	if err := makeGroup(i.group); err != nil {
		return err
	}
	for _, u := range []struct {
		name string
		dst  **user.User
	}{{"posthouse", &i.owner}, {"posthouse-tls", &i.tls}, {"posthouse-login", &i.login}, {"posthouse-auth", &i.auth}, {"posthouse-submit", &i.submit},
		{"posthouse-box", &i.mail}} {
		if err := makeUser(u.name, "/nonexistent"); err != nil {
			return err
		}
		if *u.dst, err = user.Lookup(u.name); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) makeInstance(i *instance) error {
	if err := i.chooseOwners(); err != nil {
		return err
	}
	for _, d := range []string{"", "etc", "etc/tls", "spool", "data", "mail", "log"} {
		if err := os.MkdirAll(filepath.Join(i.dir, d), 0o755); err != nil {
			return err
		}
	}
	cert, key, err := selfSigned("mail." + i.domain)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text string
		mode os.FileMode
	}{
		{"tls/cert.pem", cert, 0o644},
		{"tls/key.pem", key, 0o600},
		{"master.cf", i.masterCf(), 0o644},
		{"aliases", i.aliases(), 0o644},
		{"hosteddomains", i.domain + "\n", 0o644},
		{"hosteddomains.map", i.domain + "\t" + i.domain + "\n", 0o644},
	} {
		if err := os.WriteFile(i.etc(f.name), []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	if err := i.makeMailboxes(); err != nil {
		return err
	}
	if err := a.makeUsers(i); err != nil {
		return err
	}
	// The last: its presence means that all is complete.
	return os.WriteFile(i.etc("main.cf"), []byte(i.mainCf()), 0o644)
}

// aliases are the installed ones. In an ordinary user's instance nobody can deliver
// to root, who has the mail for postmaster: the first user gets it.
func (i *instance) aliases() string {
	if os.Geteuid() == 0 || len(i.users) == 0 {
		return etc.Aliases
	}
	return etc.Aliases + "root: " + i.users[0] + "\n"
}

// masterCf is the installed master.cf with services on loopback ports.
func (i *instance) masterCf() string {
	text := etc.MasterCf
	for _, l := range []struct {
		service string
		offset  int
	}{{"smtp", 0}, {"submission", 1}, {"submissions", 2}, {"imap", 3}, {"imaps", 4}, {"pop3", 5}, {"pop3s", 6}} {
		text = strings.Replace(text, fmt.Sprintf("\n%-11s inet", l.service), fmt.Sprintf("\n127.0.0.1:%d inet", i.basePort+l.offset), 1)
	}
	return text + fmt.Sprintf("\n# LMTP, for transfer agents that cannot use private/dovecot-lmtp.\n"+
		"127.0.0.1:%d inet n      -       y       -       1       lmtpd\n", i.basePort+7)
}

func (i *instance) mainCf() string {
	return fmt.Sprintf(`# A self-contained instance of Posthouse, made by "posthouse init". All that it
# has is below %[1]s; it listens on 127.0.0.1 only. Names and
# language are those of Postfix's main.cf; postconf(1) shows and edits it.

compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/data
daemon_directory = %[2]s
command_directory = %[9]s
mail_owner = %[3]s
tls_owner = %[4]s
login_owner = %[10]s
auth_owner = %[11]s
submission_owner = %[12]s
setgid_group = %[5]s
maillog_file = %[1]s/log/mail.log
maillog_file_prefixes = %[1]s, /dev/stdout

# Who we are, where we listen, and for whom.
myhostname = mail.%[6]s
mydomain = %[6]s
myorigin = $myhostname
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination = $myhostname, localhost

# Accounts of this machine: aliases, ~/.forward and the system mailbox.
alias_maps = hash:%[1]s/etc/aliases
alias_database = $alias_maps

# Domains and users: "posthouse domain" and "posthouse user" show and edit them,
# in the files hosteddomains and userdb.
virtual_mailbox_domains = texthash:%[1]s/etc/hosteddomains.map
domain_alias_maps = texthash:%[1]s/etc/hosteddomains.map
virtual_mailbox_maps = authd:mailbox
virtual_alias_maps = authd:alias
virtual_alias_domains =
mail_uid = %[7]s
mail_gid = %[8]s
mail_home = %[1]s/mail/%%d/%%n

# Mailboxes that other tables name, if you add some to virtual_mailbox_maps.
virtual_mailbox_base = %[1]s/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:%[7]s
virtual_gid_maps = static:%[8]s

# Encryption, with a certificate that this instance signed itself.
smtpd_tls_cert_file = %[1]s/etc/tls/cert.pem
smtpd_tls_key_file = %[1]s/etc/tls/key.pem
smtpd_tls_security_level = may
smtp_tls_security_level = may
`, i.dir, i.daemonDir, i.owner.Username, i.tls.Username, i.group, i.domain, i.mail.Uid, i.mail.Gid, i.commandDir, i.login.Username, i.auth.Username, i.submit.Username)
}

// maildir is where a user's mail goes, below DIR/mail.
func (i *instance) maildir(addr string) string {
	local, domain, _ := strings.Cut(strings.ToLower(addr), "@")
	return domain + "/" + local + "/"
}

// makeMailboxes makes the Maildirs, so that a mail reader can be pointed at
// them before the first message.
func (i *instance) makeMailboxes() error {
	uid, _ := strconv.Atoi(i.mail.Uid)
	gid, _ := strconv.Atoi(i.mail.Gid)
	base := filepath.Join(i.dir, "mail")
	if err := os.Chown(base, uid, gid); err != nil {
		return err
	}
	for _, u := range i.users {
		path := base
		for _, part := range strings.Split(strings.Trim(i.maildir(u), "/"), "/") {
			path = filepath.Join(path, part)
			if err := makeOwned(path, uid, gid); err != nil {
				return err
			}
		}
		for _, sub := range []string{"cur", "new", "tmp"} {
			if err := makeOwned(filepath.Join(path, sub), uid, gid); err != nil {
				return err
			}
		}
	}
	return nil
}

func makeOwned(path string, uid, gid int) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Lchown(path, uid, gid)
}

// printHints tells what to type next.
func (a *app) printHints(i *instance) error {
	to, landing := "root@localhost", "/var/mail"
	if len(i.users) > 0 {
		to = i.users[0]
		landing = filepath.Join(i.dir, "mail", i.maildir(to), "new")
	}
	port := strconv.Itoa(i.basePort)
	if _, _, err := net.SplitHostPort(net.JoinHostPort("127.0.0.1", port)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.out, `
Posthouse is set up in %[1]s.
  start:          %[2]s -c %[1]s/etc start-fg
  stop:           Ctrl-C, or %[2]s -c %[1]s/etc stop
  send, by hand:  printf 'Subject: hello\n\nFirst mail.\n' | %[3]s -C %[1]s/etc %[4]s
  send, by SMTP:  swaks --server 127.0.0.1:%[5]s --to %[4]s
  it lands in:    %[6]s
  read:           IMAP on 127.0.0.1:%[8]d, POP3 on %[9]d, with the password of %[4]s
  new password:   %[2]s -c %[1]s/etc user passwd %[4]s
  send as a user: submission on 127.0.0.1:%[10]d
  queue and log:  %[7]s -c %[1]s/etc -p; %[1]s/log/mail.log

`, i.dir, filepath.Join(i.binDir, "posthouse"), filepath.Join(i.binDir, "sendmail"), to, port, landing,
		filepath.Join(i.commandDir, "postqueue"), i.basePort+3, i.basePort+5, i.basePort+1)
	return err
}
