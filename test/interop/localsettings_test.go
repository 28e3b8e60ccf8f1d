package interop

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// settingWhys are reasons for what differs, by the twin's name and the message's.
var settingWhys = map[string]string{
	"elsewhere team":                  "a message comes to a mailbox once",
	"in a directory of each user cmd": "the reason is in the log line",
	"in none cmd":                     "the reason is in the log line",
	"in none forward command":         "the reason is in the log line",
	"Maildirs pxalice":                "a spool that the group mail may write is used with that group",
	"Maildirs pxbob+x":                "a spool that the group mail may write is used with that group",
	"Maildirs team":                   "a spool that the group mail may write is used with that group",
	"Maildirs forward both":           "a spool that the group mail may write is used with that group",
	"mbox at home pxalice":            "a file that cannot be made now may be later",
}

// settingTwin is a site with some settings of local(8), and messages for the
// names of its aliases and users.
func settingTwin(name string, settings []string, rcpts ...string) twin {
	tw := twin{name: name, settings: append([]string{"alias_maps = hash:ETC/aliases", "recipient_delimiter = +", "default_transport = discard:"}, settings...),
		files: map[string]string{
			"aliases": "cmd: \"|pwd > DIR/drop/cmd; id >> DIR/drop/cmd\"\nfile: DIR/drop/file\nlist: :include:DIR/etc/members\nfilelist: :include:DIR/etc/files\nteam: pxalice, pxbob\n",
			"members": "pxbob\n\"|cat > DIR/drop/member\"\n", "files": "DIR/drop/member\npxbob\n",
			"fwd.pxalice": "pxbob\n", "fwd.pxalice+ext": "DIR/drop/ext\n", "dir.pxalice": "someone@away.test\n",
		}, postmap: []string{"postalias hash:ETC/aliases"}}
	for _, r := range rcpts {
		tw.cases = append(tw.cases, twinCase{name: r, rcpts: []string{r + "@localhost"}, why: settingWhys[name+" "+r]})
	}
	return tw
}

// forwarding has messages for users with .forward files of a content each.
func (tw twin) forwarding(names ...string) twin {
	texts := map[string]string{"command": "\"|pwd > DIR/drop/fwd; id >> DIR/drop/fwd\"\n", "file": "DIR/drop/fwdfile\n", "include": ":include:DIR/etc/members\n", "address": "pxbob\n", "both": "\\pxalice, pxbob\n"}
	for _, name := range names {
		tw.cases = append(tw.cases, twinCase{name: "forward " + name, rcpts: []string{"pxalice+ext@localhost"}, why: settingWhys[tw.name+" forward "+name], before: func(t *testing.T, s *twinSite) {
			s.alice.Write(t, ".forward", s.expand(texts[name]), 0o644)
		}})
	}
	return tw
}

// with is a twin with one more message.
func (tw twin) with(c ...twinCase) twin {
	tw.cases = slices.Concat(tw.cases, c)
	return tw
}

func twinCaseFor(name, rcpt string, before func(t *testing.T, s *twinSite)) twinCase {
	return twinCase{name: name, rcpts: []string{rcpt + "@localhost"}, before: before}
}

// forwardPaths are settings about .forward files.
func forwardPaths() []twin {
	s := func(lines ...string) []string { return lines }
	return []twin{
		settingTwin("elsewhere", s("forward_path = ETC/fwd.${user}${recipient_delimiter}${extension}, ETC/fwd.$user"), "pxalice", "pxalice+ext", "pxalice+other", "pxbob", "team", "list").forwarding("address"),
		settingTwin("shell and home", s("forward_path = $home/.forward, ETC/dir.${user}"), "pxalice", "pxbob").forwarding("address", "both"),
		settingTwin("domain", s("forward_path = ETC/fwd.$local, ETC/$domain/$user, ETC/dir.$mailbox"), "pxalice+ext", "pxalice"),
		settingTwin("none", s("forward_path ="), "pxalice", "pxbob").forwarding("address"),
		settingTwin("filtered", s("forward_path = ETC/fwd.$user+${extension}", "forward_expansion_filter = abcdefghijklmnopqrstuvwxyz"), "pxalice+ext", "pxalice+e.t"),
		settingTwin("slash", s("forward_path = ETC/fwd.$user+$extension"), "pxalice+../x", "pxalice+ext/", "pxalice+."),
	}
}

// commandSettings are settings about commands and files.
func commandSettings() []twin {
	s := func(lines ...string) []string { return lines }
	return []twin{
		settingTwin("in the home directory", s("command_execution_directory = $home"), "cmd", "list").forwarding("command"),
		settingTwin("in a directory of each user", s("command_execution_directory = DIR/home/$user", "mailbox_command = pwd > DIR/drop/box; id -un >> DIR/drop/box"), "pxalice", "pxbob+x", "cmd").forwarding("command"),
		settingTwin("in none", s("command_execution_directory = DIR/nosuch"), "cmd").forwarding("command"),
		settingTwin("for aliases", s("allow_mail_to_commands = alias", "allow_mail_to_files = alias"), "cmd", "list", "file", "filelist").forwarding("command", "include", "file"),
		settingTwin("for lists", s("allow_mail_to_commands = forward, include", "allow_mail_to_files = include"), "cmd", "list", "file", "filelist").forwarding("command", "include", "file"),
		settingTwin("for nobody", s("allow_mail_to_commands =", "allow_mail_to_files ="), "cmd", "list", "file", "filelist").forwarding("command", "file"),
	}
}

// mailboxSettings are settings about where mail goes.
func mailboxSettings() []twin {
	s := func(lines ...string) []string { return lines }
	missing := because(twinCaseFor("no such directory", "pxalice", nil), "a directory that is not there may be later")
	return []twin{
		settingTwin("Maildirs", s("mail_spool_directory = DIR/spool/"), "pxalice", "pxbob+x", "team").forwarding("both"),
		settingTwin("no directory", s("mail_spool_directory = DIR/nosuch")).with(missing),
		settingTwin("mbox at home", s("home_mailbox = mail/box"), "pxalice").with(twinCaseFor("with directory", "pxalice", func(t *testing.T, s *twinSite) {
			os.Mkdir(s.alice.Home+"/mail", 0o700)
			os.Chown(s.alice.Home+"/mail", s.alice.UID, s.alice.GID)
		})),
		settingTwin("command of maps", s("mailbox_command_maps = inline:{{pxalice=cat > DIR/drop/box}}", "home_mailbox = Maildir/"), "pxalice", "pxalice+x", "pxbob"),
		settingTwin("no delivered-to", s("prepend_delivered_header = command"), "pxalice", "file", "cmd", "list").forwarding("address"),
		settingTwin("limit", s("mailbox_size_limit = 9000", "message_size_limit = 9000"), "pxalice").with(twinCase{name: "too large", why: "words", rcpts: []string{"pxalice@localhost"}, before: func(t *testing.T, s *twinSite) {
			path := s.dir + "/spool/pxalice"
			os.WriteFile(path, []byte("From x\n\n"+strings.Repeat("text of a mailbox\n", 500)+"\n\n"), 0o600)
			os.Chown(path, s.alice.UID, 8)
		}}),
	}
}

// TestForwardPath: .forward files in other places.
func TestForwardPath(t *testing.T) {
	for _, tw := range forwardPaths() {
		t.Run(tw.name, tw.test)
	}
}

// TestLocalCommandSettings: where commands run, and who may name commands and
// files.
func TestLocalCommandSettings(t *testing.T) {
	for _, tw := range commandSettings() {
		t.Run(tw.name, tw.test)
	}
}

// TestLocalMailboxSettings: where mailboxes are.
func TestLocalMailboxSettings(t *testing.T) {
	for _, tw := range mailboxSettings() {
		t.Run(tw.name, tw.test)
	}
}
