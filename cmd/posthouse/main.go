// Posthouse starts, stops and inspects the mail system.
//
// # Synopsis
//
//	posthouse [-c config_dir] [-v] command [arguments]
//
// # Description
//
// Posthouse is the administrator's command. It talks to the master process and
// changes nothing in the queue or the mailboxes by itself. The commands about
// users and domains edit text files, keep what else is in them, and count at
// once.
//
// Commands:
//
//	start             start the mail system in the background
//	start-fg          start it in the foreground; as process 1 of a
//	                  container, also collect orphaned processes
//	stop              stop it: sessions finish, then processes end
//	abort             stop it at once
//	reload            read the configuration again; no session is dropped,
//	                  and with an error in it all stays as it was
//	status            tell whether it runs (exit status 0) or not (1)
//	flush             try to deliver all queued mail now
//	check             look for mistakes in the configuration, and for wrong
//	                  owners and modes; exit status 1 if there are errors
//	logrotate         rename maillog_file, open a new one, compress the old
//	set-permissions   make the users, directories, owners and modes that an
//	                  installation needs (as root)
//	dkim              make and show the keys that sign outgoing mail
//	mailbox           look after the mailboxes of users
//	deliver           put the message on the standard input into a mailbox
//	init              make a self-contained instance in a directory
//	user ...          add, change, list, hold and import users; see below
//	domain ...        add, list and delete hosted domains and their aliases
//	version           print the version
//
// # Options
//
//	-c config_dir     the directory with main.cf and master.cf, instead of
//	                  $MAIL_CONFIG or the default
//	-v                say more
//	-h, --help        print the usage; behind a command's name, that of the command
//
// Options of init:
//
//	--dir DIR         where the instance goes; it may exist already, and
//	                  files in it are then left as they are
//	--domain D        the domain it serves (example.test)
//	--user ADDRESS    make a mailbox; may be given several times
//	--password-file F the passwords of these users, a line for each (- is
//	                  standard input), instead of random ones that are printed
//	--base-port N     SMTP port on 127.0.0.1 (2525)
//
// Dkim has commands of its own; the keys are listed in dkim_key_table:
//
//	dkim create DOMAIN   make keys for a domain, and print their DNS records;
//	                     the first ones sign at once
//	dkim rotate DOMAIN   make new keys or, when their records are published,
//	                     put them in the place of those that sign; what was
//	                     replaced the time before is deleted
//	dkim list            list all keys
//	dkim dns [DOMAIN]    print the records, as lines of a zone file
//	--selector NAME      instead of today's date; r or e is added
//	--algorithm KIND     rsa, ed25519 or both, which is the default
//	--also DOMAIN        sign for another domain too, .example.com for all
//	                     below it; may be given several times
//	--force              rotate without a look at the DNS
//
// Users, in the text of userdb_path:
//
//	user add ADDRESS        make a user and its mailbox. --password-file F
//	                        (- is standard input), --random, --no-password,
//	                        --scheme S, --scram, --cram-md5, --uid N, --gid N,
//	                        --home D, --mail D, --quota Q, --name N, --alias A,
//	                        --send-as A, --no-mailbox
//	user passwd ADDRESS     a new password; --service S for one service only.
//	                        At a terminal it is asked for; else, and with
//	                        --random, one is made and printed
//	user show ADDRESS       what is known of who gets the mail for ADDRESS
//	user list [DOMAIN]      all users
//	user set ADDRESS field=value ...   fields of userdb(8); "field=" takes one out.
//	                        --quota Q is quota=Q: bytes and messages, such as
//	                        1000000S,1000C; --quota "" takes it out
//	user delete ADDRESS     the mail stays where it is
//	user hold | release ADDRESS        it may not send; it may again
//	user import passwd [FILE] | dovecot FILE | userdb PATH
//	user import dovecot-sql FILE   prints settings for authd, for users that
//	                        stay in the database
//	                        --domain D, --shadow F, --min-uid N, --mail PATH
//	                        (with %u %n %d %h), --replace, --dry-run
//
// Domains, in $config_directory/hosteddomains; see makehosteddomains(8):
//
//	domain add DOMAIN | alias ALIAS DOMAIN | delete DOMAIN | list
//
// Mailbox has commands of its own. USER is a login, for which authd(8) must run,
// or the absolute path of a Maildir:
//
//	mailbox import USER   take over the Maildir of another server now, not
//	                      when it is first opened, and tell what was found
//	mailbox check USER    compare indexes with the messages, repair what can
//	                      be, and remove old files in tmp
//	mailbox rebuild USER  make the indexes again; UIDs stay
//	mailbox index USER    bring the full-text indexes up to date (fts_index)
//	mailbox stats USER    list the folders with messages and sizes
//	mailbox expire USER   remove old messages of Trash
//	mailbox move USER DIRECTORY   move the Maildir to another place
//	-m, --folder FOLDER   only this folder
//	--mbox FILE           import: the messages of an mbox file instead (- is
//	                      standard input)
//	--older-than DAYS     expire: 30 if not given
//	--quota QUOTA         such as 1000000S,1000C, instead of the user's
//
// Deliver is for other mail systems and scripts:
//
//	deliver USER          exit status 75: try again, 67: no such user, 77:
//	                      over quota
//	-f, --sender ADDRESS  write a Return-Path
//	-m, --folder FOLDER   instead of INBOX, if it is there
//	--create              make the folder, and subscribe to it
//	--flags LIST          flags and keywords: seen,flagged,work
//
// # Security
//
// As root, mailbox and deliver start again under the uid of the mailbox's
// owner before they open it. Start, stop and reload need the rights of the
// user who owns the instance: root for an installed one. Init and set-permissions write only below the
// instance and the directories of etc/files. Nothing is read from the network.
// What is made in a user's directories is made with the user's rights.
//
// # Exit status
//
// Zero when done. 1 when the mail system is in the wrong state for the
// command, or when check finds errors; 2 for wrong usage.
//
// # See also
//
// master(8), userdb(8), postconf(1), postqueue(1), postsuper(1), sendmail(1).
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// defaultConfigDir is where a packaged installation has its configuration.
const defaultConfigDir = "/etc/posthouse"

// app is one run of the command.
type app struct {
	configDir string
	verbose   bool
	out, err  io.Writer
}

// command is one word that the user may type, and those that may follow it.
type command struct {
	name  string
	run   func(*app, []string) error
	words []word
}

func commands() []command {
	return []command{
		{"start", (*app).start, nil}, {"start-fg", (*app).startForeground, nil},
		{"stop", (*app).stop, nil}, {"abort", (*app).abort, nil}, {"reload", (*app).reload, nil},
		{"status", (*app).status, nil}, {"flush", (*app).flush, nil}, {"check", (*app).check, nil},
		{"set-permissions", (*app).setPermissions, nil}, {"init", (*app).initInstance, nil},
		{"logrotate", (*app).logrotate, nil}, {"dkim", (*app).dkimCommand, dkimWords()}, {"version", (*app).version, nil},
		{"user", (*app).userCommand, userWords()}, {"domain", (*app).domainCommand, domainWords()},
		{"mailbox", (*app).mailboxCommand, mailboxWords()}, {"deliver", (*app).deliverCommand, nil},
	}
}

func main() {
	a := &app{out: os.Stdout, err: os.Stderr}
	os.Exit(a.report(a.dispatch(os.Args[1:])))
}

// report tells how a command ended and returns the exit status.
func (a *app) report(err error) int {
	var exit *exitError
	switch {
	case err == nil, errors.Is(err, errHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(a.err, "posthouse: %v\n", err)
		return 2
	case errors.Is(err, errQuiet):
		return 1
	case errors.As(err, &exit):
		return exit.code
	}
	fmt.Fprintf(a.err, "posthouse: fatal: %v\n", err)
	return 1
}

// errQuiet ends the command with status 1 when all has been said.
var errQuiet = errors.New("failed")

func (a *app) dispatch(argv []string) error {
	flags := newFlags("command line")
	flags.SetInterspersed(false)
	flags.StringVarP(&a.configDir, "config", "c", "", "")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "")
	if err := a.parse(flags, argv, usage(), 0, -1); err != nil {
		return err
	}
	if a.configDir == "" {
		a.configDir = os.Getenv("MAIL_CONFIG")
	}
	if a.configDir == "" {
		a.configDir = defaultConfigDir
	}
	dir, err := filepath.Abs(a.configDir)
	if err != nil {
		return err
	}
	a.configDir = dir
	if flags.NArg() == 0 {
		return wrongUsage(usage(), "a command is missing")
	}
	for _, c := range commands() {
		if c.name == flags.Arg(0) {
			return c.run(a, flags.Args()[1:])
		}
	}
	return wrongUsage(usage(), "unknown command %q", flags.Arg(0))
}

// usage has all commands in one line.
func usage() string {
	text := "posthouse [-c config_dir] [-v] "
	for i, c := range commands() {
		if i > 0 {
			text += " | "
		}
		text += c.name
	}
	return text
}

// settings are the parameters that this command works with.
type settings struct {
	QueueDir    string `param:"queue_directory"`
	DataDir     string `param:"data_directory"`
	DaemonDir   string `param:"daemon_directory"`
	CommandDir  string `param:"command_directory"`
	MailOwner   string `param:"mail_owner"`
	SetgidGroup string `param:"setgid_group"`
	TLSOwner    string `param:"tls_owner"`
	LoginOwner  string `param:"login_owner"`
	AuthOwner   string `param:"auth_owner"`
	SubmitOwner string `param:"submission_owner"`
	MaillogFile string `param:"maillog_file"`
	MailVersion string `param:"mail_version"`
	MailName    string `param:"mail_name"`
}

func (a *app) load() (*config.Config, settings, error) {
	var s settings
	cfg, err := config.Load(a.configDir)
	if err != nil {
		return nil, s, err
	}
	if err := cfg.Fill(&s); err != nil {
		return nil, s, err
	}
	return cfg, s, nil
}

func (a *app) version(args []string) error {
	if err := a.noArguments("version", args); err != nil {
		return err
	}
	p, _ := config.Find("mail_version")
	fmt.Fprintf(a.out, "posthouse %s\n", p.Default)
	return nil
}
