package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// userLists are values of authorized_flush_users or authorized_mailq_users; the
// caller is nobody, uid 65534, or a uid without a name.
var userLists = []string{
	"static:anyone", "nobody", "!nobody, static:anyone", "root, daemon", "root, nobody", "!root, static:anyone", "!nobody", "NOBODY", "nobody@localhost", "65534", "unknown", "!unknown, static:all",
	"DIR/users", "!DIR/users, static:anyone", "DIR/nosuch", "texthash:DIR/table", "regexp:DIR/rules", "inline:{nobody=1}", "fail:x", "nosuch:x", "", "static:", "no*", "{nobody}", "nobody root",
}

// asCaller lets a command of one side run as an ordinary user, with or without
// the group that the installed command has by its setgid bit.
func asCaller(t *testing.T, cmd *exec.Cmd, public string, uid, gid int) *exec.Cmd {
	t.Helper()
	if strings.HasPrefix(cmd.Path, testkit.Bin(t)) {
		// The source tree may be closed to others.
		if err := publish(public, cmd.Path); err != nil {
			t.Fatal(err)
		}
		cmd.Path = filepath.Join(public, filepath.Base(cmd.Path))
	}
	cmd.Args[0] = filepath.Base(cmd.Path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return cmd
}

// listedSite copies a configuration with other lists into a new directory.
func listedSite(t *testing.T, etc, dir, flush, mailq string) {
	t.Helper()
	text := contents(t, filepath.Join(etc, "main.cf"))
	users := strings.NewReplacer("DIR", filepath.Dir(dir))
	text += users.Replace(fmt.Sprintf("authorized_flush_users = %s\nauthorized_mailq_users = %s\n", flush, mailq))
	if err := writeAll(dir, map[string]string{"main.cf": text, "master.cf": ""}); err != nil {
		t.Fatal(err)
	}
}

// useOfQueue is one call of postqueue by an ordinary user.
type useOfQueue struct {
	what, flush, mailq, args string
	uid, gid                 int
}

// tries reports whether the message is tried again, if the system is up.
func (u useOfQueue) tries(group int) bool {
	return u.flush == "static:anyone" && u.gid == group && slices.Contains([]string{"-f", "-i ID", "-s dead.test"}, u.args)
}

// uses are all calls while the system is up, or those while it is down.
func uses(state string, group int) []useOfQueue {
	var list []useOfQueue
	if state == "up" {
		for _, users := range userLists {
			for _, uid := range []int{65534, 54321} {
				list = append(list, useOfQueue{fmt.Sprintf("flush %q by %d", users, uid), users, "nobody", "-s other.test", uid, group},
					useOfQueue{fmt.Sprintf("mailq %q by %d", users, uid), "nobody", users, "-p", uid, group})
			}
		}
	}
	for _, users := range []string{"static:anyone", "root"} {
		for _, args := range []string{"-p", "-j", "-f", "-i ID", "-i 0123456789", "-s dead.test", "-s other.test", "-v -p", "-c ETC -p", "-p x", "-i junk!", "-s junk!"} {
			list = append(list, useOfQueue{state + ", " + users, users, users, args, 65534, group},
				useOfQueue{state + ", " + users + ", without the group", users, users, args, 65534, 65534})
		}
	}
	return list
}

// usedQueue makes the calls side by side, since Postfix's commands sleep before
// they fail, but for those that alone tells to wait for. It returns what they say.
func (p *pair) usedQueue(t *testing.T, s side, base, id string, list []useOfQueue, alone func(u useOfQueue) (wait func())) []string {
	said := make([]string, len(list))
	var wg sync.WaitGroup
	var after []func()
	for n, u := range list {
		etc := map[string]string{"theirs": p.theirs.Dir + "/etc", "ours": p.ours.Dir + "/etc"}[s.name]
		dir, err := os.MkdirTemp(base, s.name)
		if err != nil {
			t.Fatal(err)
		}
		os.Chmod(dir, 0o755)
		listedSite(t, etc, dir, u.flush, u.mailq)
		args := strings.Fields(strings.NewReplacer("ID", id, "ETC", dir).Replace(u.args))
		cmd := asCaller(t, s.command("postqueue", args...), base, u.uid, u.gid)
		cmd.Env = append(cmd.Env, "MAIL_CONFIG="+dir)
		call := func() {
			var o, e bytes.Buffer
			cmd.Stdout, cmd.Stderr = &o, &e
			err := cmd.Run()
			text := strings.NewReplacer(dir, "ETC", base, "BASE").Replace(fmt.Sprintf("%v\n%s--\n%s", err, o.String(), e.String()))
			said[n] = u.what + " " + u.args + ": " + plainUse(p.plain(text))
		}
		if wait := alone(u); wait != nil {
			after = append(after, func() { call(); wait() })
			continue
		}
		wg.Go(call)
	}
	wg.Wait()
	for _, f := range after {
		f()
	}
	return said
}

// why tells why the two differ, if they do.
func (u useOfQueue) why(state string, group int) string {
	users := u.flush
	if u.args == "-p" {
		users = u.mailq
	}
	switch {
	case users == "{nobody}" && u.uid == 65534:
		return "braces around an element are no part of it"
	case users == "static:":
		return "it is no name of a table; to Postfix, whatever begins with it is everybody"
	case slices.Contains([]string{"DIR/nosuch", "fail:x", "nosuch:x"}, users):
		return "the error has the parameter and the table"
	case u.args == "-s other.test" && users == "static:anyone" && (state == "down" || u.gid != group):
		return "the flush service alone knows its sites"
	}
	return ""
}

// TestPostqueueOfOthers: what ordinary users may do with postqueue, by the lists
// of who is authorized, while the system runs and while it does not.
func TestPostqueueOfOthers(t *testing.T) {
	p := newPair(t, append(deadRoute(t), "local_recipient_maps =", "alias_maps =", "relay_domains = dead.test", "notify_classes =", "minimal_backoff_time = 3000s", "queue_run_delay = 3000s")...)
	fi, err := os.Stat(p.ours.Spool("public"))
	if err != nil {
		t.Fatal(err)
	}
	group := int(fi.Sys().(*syscall.Stat_t).Gid)
	base, err := os.MkdirTemp("", "users")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	os.Chmod(base, 0o755)
	if err := writeAll(base, map[string]string{"users": "root\nnobody\n", "table": "nobody x\n", "rules": "/^nob/ x\n"}); err != nil {
		t.Fatal(err)
	}
	results := map[string][]string{}
	calls := slices.Concat(uses("up", group), uses("down", group))
	for _, s := range p.sides(t) {
		s.start()
		s.send("Subject: waits\n\nx\n", "-f", "you@example.test", "r@dead.test")
		s.count(t, 1, `to=<r@dead\.test>, .*status=deferred`)
		id := s.id(t, ` ([0-9A-F]{9,}): to=<r@dead\.test>`)
		testkit.Wait(t, "deferred message", func() bool { return len(p.ours.Queue(t, "deferred")) == 1 })
		tries := 1
		results[s.name] = p.usedQueue(t, s, base, id, uses("up", group), func(u useOfQueue) func() {
			if !u.tries(group) {
				return nil
			}
			return func() {
				tries++
				s.count(t, tries, `to=<r@dead\.test>, .*status=deferred`)
				testkit.Wait(t, "deferred message", func() bool { return len(p.ours.Queue(t, "deferred")) == 1 })
			}
		})
		s.stop()
		testkit.Wait(t, "end of qmgr", func() bool { return !heard(p.ours.Spool("public/qmgr")) })
		results[s.name] = append(results[s.name], p.usedQueue(t, s, base, id, uses("down", group), func(useOfQueue) func() { return nil })...)
		p.run(t, s.command("postsuper", "-d", "ALL"), "")
	}
	for i, theirs := range results["theirs"] {
		state, _, _ := strings.Cut(calls[i].what, ",")
		d, why := cmp.Diff(theirs, results["ours"][i]), calls[i].why(state, group)
		if (d == "") != (why == "") {
			t.Errorf("%q (-theirs +ours):\n%s", why, d)
		}
	}
}

// plainUse takes out of a listing what changes: the time, the length of the
// suite's name, whether the message is being tried.
func plainUse(text string) string {
	return plainText(text, []substitution{
		{`(?m)^ID\*? +\d+`, "ID N"},
		{`"message_size": \d+`, `"message_size": N`},
		{`"queue_name": "(active|deferred|incoming)"`, `"queue_name": "QUEUE"`},
		{`\w{3} \w{3} [ \d]\d [\d:]{8}( \d{4})?`, "DATE"},
		{`"arrival_time": \d+`, `"arrival_time": N`},
		{`(?m)^postqueue: [a-z_]+: (warning|fatal): `, "postqueue: $1: "},
		{`(?m)^postqueue: (name_mask|inet_addr_local|been_here|mynetworks_core|dict_\w+|match_\w+|string_list_\w+): .*\n`, ""},
	})
}
