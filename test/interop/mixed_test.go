package interop

import (
	"fmt"
	"slices"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// manyAgents has a domain for each transport. At each of them a recipient called
// good gets mail, others are refused, and some later.
func manyAgents(t *testing.T, name string, settings ...string) twin {
	routes := fmt.Sprintf("{said.test=smtp:%s, full.test=smtp:%s, dead.test=smtp:[127.0.0.1]:%d, {bad.test=error:5.1.1 nobody of that name}, {later.test=retry:4.3.0 not now}, p.test=piper:, q.test=piped:, off.test=discard:}",
		saying(t, "8BITMIME", "DSN"), saying(t, "8BITMIME", "SMTPUTF8"), testkit.NewClosed(t).Port)
	return twin{
		name: name, sorted: true,
		settings: append([]string{
			"transport_maps = inline:" + routes, "alias_maps = hash:ETC/aliases", "bounce_notice_recipient = pxbob", "2bounce_notice_recipient = pxbob+2", "delay_notice_recipient = pxbob+late",
			"recipient_delimiter = +", "minimal_backoff_time = 3000s", "queue_run_delay = 3000s", "virtual_mailbox_domains = v.test", "virtual_mailbox_base = DIR/drop",
			"virtual_mailbox_maps = inline:{good@v.test=vbox, two@v.test=vbox2, late@v.test=vbox3}", "virtual_uid_maps = inline:{good@v.test=4321, two@v.test=4321}", "virtual_gid_maps = static:4321",
			"piped_destination_recipient_limit = 1", "virtual_alias_maps = inline:{{team@mail.example.test=good@said.test, unknown@said.test, pxbob@mail.example.test}, moved@mail.example.test=unknown@said.test}",
			"smtp_connection_cache_on_demand = no"}, settings...),
		files: map[string]string{
			"aliases":   "fails: \"|exit 67\"\nlate: \"|exit 75\"\nlist: pxbob, nosuch, fails\nowner-owned: pxalice\nowned: pxbob, nosuch\naway: good@said.test, echo@said.test\none: pxbob\nnested: away\n",
			"script.sh": "cat > /dev/null\nfor i; do case $i in good*) ;; late*) echo come back; exit 75 ;; *) echo no $i; exit 67 ;; esac; done\n",
		},
		postmap:  []string{"postalias hash:ETC/aliases"},
		services: []string{"piper unix - n n - - pipe flags=q user=pxbob argv=/bin/sh ETC/script.sh ${user}", "piped unix - n n - - pipe flags=DORX user=pxbob argv=/bin/sh ETC/script.sh ${user}"},
	}
}

// at are recipients of a host.
func at(host string, names ...string) (rcpts []string) {
	for _, n := range names {
		rcpts = append(rcpts, n+"@"+host)
	}
	return rcpts
}

// mixed is a message for many.
func mixed(name string, rcpts []string, args ...string) twinCase {
	return twinCase{name: name, sender: noticeSender, rcpts: rcpts, args: args}
}

// mixedBySMTP is one whose wishes come by SMTP.
func mixedBySMTP(name, mail string, params string, rcpts ...string) twinCase {
	commands := []string{"MAIL FROM:<" + noticeSender + ">" + mail}
	for _, r := range rcpts {
		commands = append(commands, "RCPT TO:<"+r+">"+params)
	}
	return twinCase{name: name, smtp: commands, text: "Subject: x\n\nx\n"}
}

func mixedCases() []twinCase {
	var all []string
	for _, list := range [][]string{at("said.test", "full", "good", "unknown"), at("dead.test", "one"), at("bad.test", "one", "two"), at("later.test", "one"), at("localhost", "fails", "late", "nosuch", "pxbob"),
		at("v.test", "good", "late", "nosuch", "two"), at("p.test", "good"), at("q.test", "good", "late", "nosuch"), at("off.test", "one")} {
		all = append(all, list...)
	}
	plain := slices.DeleteFunc(slices.Clone(all), func(r string) bool { return r == "fails@localhost" || r == "late@localhost" })
	return []twinCase{
		mixed("all", all),
		mixed("all with reports", plain, "-N", "success,failure,delay"),
		because(mixed("all successes", plain, "-N", "success"), "Postfix begins a notice and drops it"),
		because(mixed("all never", all, "-N", "never"), "Postfix begins a notice and drops it"),
		mixed("all verified", all, "-bv"),
		mixed("all told", all, "-v"),
		{name: "all from the null sender", sender: "<>", rcpts: all},
		{name: "all from nobody", sender: "nosuch@mail.example.test", rcpts: all},
		mixed("failures alone", append(at("said.test", "full", "unknown"), "one@bad.test", "nosuch@localhost", "nosuch@v.test", "nosuch@q.test"), "-R", "hdrs"),
		mixed("successes alone", append(at("said.test", "good"), "pxbob@localhost", "good@v.test", "good@p.test", "good@q.test", "one@off.test"), "-N", "success,failure", "-V", "my-id"),
		mixed("deferrals alone", []string{"one@dead.test", "one@later.test", "late@v.test", "late@q.test"}, "-N", "success,failure"),
		because(mixed("deferral of an alias", []string{"late@localhost"}, "-N", "success,failure"), "Postfix tells of the alias at each attempt"),
		mixed("pipe of several", at("p.test", "good", "nosuch", "two")),
		mixed("pipe of several later", at("p.test", "good", "late")),
	}
}

// aliasReports are cases with addresses that stand for others.
func aliasReports() []twinCase {
	const single = "RFC 3461 5.2.7.2: an alias for one is not told of, and the wishes for it are its member's"
	return []twinCase{
		mixed("alias", []string{"list@localhost"}),
		mixed("alias with reports", []string{"list@localhost", "away@localhost"}, "-N", "success,failure"),
		because(mixed("alias for one", []string{"one@localhost"}, "-N", "success,failure"), single),
		because(mixed("alias for a failing command", []string{"fails@localhost"}, "-N", "success,failure"), single),
		because(mixed("alias for an alias", []string{"nested@localhost"}, "-N", "success,failure"), single),
		mixed("alias with owner", []string{"owned@localhost"}, "-N", "success,failure"),
		{name: "forward to several", sender: noticeSender, rcpts: []string{"pxbob@localhost"}, args: []string{"-N", "success,failure"}, before: func(t *testing.T, s *twinSite) {
			s.bob.Write(t, ".forward", "\\pxbob, echo@said.test, good@v.test\n", 0o644)
		}},
		because(twinCase{name: "forward to one", sender: noticeSender, rcpts: []string{"pxbob@localhost"}, args: []string{"-N", "success,failure"}, before: func(t *testing.T, s *twinSite) {
			s.bob.Write(t, ".forward", "echo@said.test\n", 0o644)
		}}, single),
		mixed("virtual alias", []string{"team"}, "-N", "success,failure"),
		because(mixed("virtual alias for one", []string{"moved"}, "-N", "success,failure"), single),
		mixed("same twice", []string{"unknown@said.test", "UNKNOWN@said.test", "unknown@SAID.test", "good@v.test", "GOOD@v.test"}, "-N", "success,failure"),
		mixedBySMTP("reports by SMTP", " RET=HDRS ENVID=x", " NOTIFY=SUCCESS,FAILURE", "good@said.test", "pxbob@mail.example.test", "one@off.test", "away@mail.example.test", "list@mail.example.test", "team@mail.example.test", "good@p.test"),
		mixedBySMTP("original recipients", "", " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@x.test", "good@p.test", "list@mail.example.test", "pxbob@mail.example.test", "team@mail.example.test"),
		{name: "mixed wishes", text: "Subject: x\n\nx\n", smtp: []string{"MAIL FROM:<" + noticeSender + ">", "RCPT TO:<unknown@said.test> NOTIFY=NEVER", "RCPT TO:<full@said.test> NOTIFY=FAILURE",
			"RCPT TO:<list@mail.example.test> NOTIFY=SUCCESS", "RCPT TO:<pxbob@mail.example.test> NOTIFY=SUCCESS", "RCPT TO:<one@later.test> NOTIFY=DELAY"}},
	}
}

// TestMixedRecipients: one message for all kinds of agents, of which some take
// it, some refuse it and some defer it.
func TestMixedRecipients(t *testing.T) {
	tw := manyAgents(t, "mixed", "notify_classes = bounce, 2bounce, delay")
	tw.cases = mixedCases()
	tw.test(t)
}

// TestAliasReports: the same for addresses that stand for others.
func TestAliasReports(t *testing.T) {
	tw := manyAgents(t, "aliases", "notify_classes =")
	tw.cases = aliasReports()
	tw.test(t)
}
